//! An edge with one filter in front of the backend, and what is asked of its admin port: its metrics, and
//! another module for the filter.
//!
//! ```text
//!   wrk ─▶ edge, one worker, group "local" ─▶ backend
//!            └ filter "one": a module written as text, replaced by PUT /filters/one
//! ```
//!
//! It refuses to count by itself what the edge counts: traps and instances are read from `/metrics`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::children::{CONTENDER_CORE, Nursery, Running, free_port};
use crate::probe;

/// Which callbacks a filter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// Request headers: once they have passed, the request needs the filter no more.
    Request,
    /// Request and response headers: in between, the request depends on the instance that began with it.
    Both,
}

/// A filter that counts requests in a global and traps at the one that makes `limit`, and then begins anew in
/// another instance. `mark` makes it differ from others.
///
/// # Errors
/// What is wrong with the text.
pub fn module(phases: Phases, limit: u32, mark: usize) -> Result<Vec<u8>, String> {
    let response = match phases {
        Phases::Request => "",
        Phases::Both => "(func (export \"proxy_on_response_headers\") (param i32 i32 i32) (result i32) (i32.const 0))",
    };
    let text = format!(
        r#"(module
          (memory (export "memory") 1)
          (data (i32.const 0) "module {mark}")
          (global $seen (mut i32) (i32.const 0))
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
            (if (i32.eq (global.get $seen) (i32.const {limit})) (then unreachable))
            (i32.const 0))
          {response})"#
    );
    wat::parse_str(text).map_err(|error| error.to_string())
}

/// A running edge with the filter `one`.
pub struct FilterEdge {
    pub address: SocketAddr,
    admin: SocketAddr,
    process: Running,
}

impl FilterEdge {
    /// Starts it and waits until it answers.
    pub fn start(
        nursery: &Nursery,
        name: &str,
        lockgate: &Path,
        backend: SocketAddr,
        module: &[u8],
    ) -> Result<Self, String> {
        let (address, https, admin) = (free_port()?, free_port()?, free_port()?);
        let wasm = nursery.path(&format!("{name}.wasm"));
        std::fs::write(&wasm, module).map_err(|error| format!("{}: {error}", wasm.display()))?;
        let data = nursery.path(&format!("{name}-data"));
        let text = format!(
            "data_dir = \"{}\"\npublic_address = \"{https}\"\ngrace_period = \"1s\"\nworkers = 1\n\
             [listen]\nhttps = \"{https}\"\nhttp = \"{address}\"\nadmin = \"{admin}\"\n\
             [log]\naccess = false\n\
             [[app]]\nname = \"perf\"\nexternal_url = \"http://{address}/\"\ninternal_url = \"http://{backend}/\"\n\
             group = \"local\"\ntranslate_urls_in_headers = false\nfilters = [\"one\"]\n\
             [filter.one]\nmodule = \"{}\"\n",
            data.display(),
            wasm.display()
        );
        let config = nursery.write(&format!("{name}.toml"), &text)?;
        let process = nursery.start(name, CONTENDER_CORE, lockgate, |command| {
            command.arg("edge").arg("--config").arg(config);
        })?;
        let mut edge = Self { address, admin, process };
        let deadline = Instant::now() + Duration::from_secs(15);
        while !probe::ask_once(address, "/").is_ok_and(|answer| answer.is_the_backends()) {
            edge.process.check()?;
            if Instant::now() > deadline {
                return Err(format!("{name} is not ready after 15 s; its log ends: {}", edge.process.last_words()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(edge)
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Bytes below its data directory: compiled modules are kept there.
    pub fn kept_bytes(nursery: &Nursery, name: &str) -> u64 {
        let folder = nursery.path(&format!("{name}-data")).join("filters");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    /// The sum of all samples of a metric of the filter whose line contains `label`.
    pub fn metric(&self, name: &str, label: &str) -> Result<f64, String> {
        let answer = self.ask("GET /metrics", &[])?;
        let lines = answer.lines().filter(|line| line.starts_with(name) && line.contains(label));
        let lines = lines.filter(|line| line.contains("filter=\"one\""));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Puts another module into the place of the filter's.
    pub fn replace(&self, module: &[u8]) -> Result<(), String> {
        let answer = self.ask("PUT /filters/one", module)?;
        match answer.starts_with("HTTP/1.1 200 ") {
            true => Ok(()),
            false => Err(format!("the module was not taken: {answer}")),
        }
    }

    fn ask(&self, line: &str, body: &[u8]) -> Result<String, String> {
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let exchange = || -> std::io::Result<String> {
            let patience = Duration::from_secs(20);
            let mut connection = TcpStream::connect_timeout(&self.admin, patience)?;
            connection.set_read_timeout(Some(patience))?;
            connection.write_all(&[head.as_bytes(), body].concat())?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        };
        exchange().map_err(|error| format!("the admin port, {line}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_modules_and_differ() {
        let both = module(Phases::Both, 1000, 1).expect("it is right");
        assert!(both.starts_with(b"\0asm"));
        assert_ne!(both, module(Phases::Both, 1000, 2).expect("it is right"));
        assert!(both.len() > module(Phases::Request, 1000, 1).expect("it is right").len());
    }
}
