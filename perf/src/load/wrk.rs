//! One run of wrk and what it found: a closed loop, for saturation. Refuses to believe a run with any error in it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Found, real};
use crate::children::{LOAD_CORE, Nursery, Running};
use crate::warden::signal;

/// Runs only when wrk has finished, so it costs no request anything. `percentile` is in µs.
const SCRIPT: &str = r#"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("\nfound %d %d %d %d %d %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
    summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
"#;

/// Before it, where requests go to many hosts in turn: made once, so a request costs wrk no more than before.
const HOSTS: &str = r#"
local requests = {}
init = function()
  for number = 1, HOSTS do
    requests[number] = wrk.format("GET", "/", { Host = string.format("app-%04d.test", number) })
  end
end
local turn = 0
request = function()
  turn = turn % HOSTS + 1
  return requests[turn]
end
"#;

/// What drives the load.
pub struct Wrk {
    program: PathBuf,
    script: PathBuf,
    connections: usize,
    path: &'static str,
}

/// What wrk found in one run.
#[derive(Clone, Debug)]
pub struct Counts {
    pub requests: u64,
    pub duration_us: u64,
    /// Bytes of all answers, heads included.
    pub bytes: u64,
    /// By kind, in the order connect, read, write, status above 399, timeout.
    pub errors: [u64; 5],
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

impl Wrk {
    pub fn new(program: &Path, nursery: &Nursery, connections: usize) -> Result<Self, String> {
        let script = nursery.write("done.lua", SCRIPT)?;
        Ok(Self { program: program.to_owned(), script, connections, path: "/" })
    }

    /// Asks for another path than `/`.
    pub fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// Asks so many hosts in turn: `app-0001.test`, and so on.
    pub fn over_hosts(self, nursery: &Nursery, hosts: usize) -> Result<Self, String> {
        let script = nursery.write("hosts.lua", &(HOSTS.replace("HOSTS", &hosts.to_string()) + SCRIPT))?;
        Ok(Self { script, ..self })
    }

    /// Loads `address` for some seconds; `midway` is called once, half-way.
    pub fn run(
        &self,
        nursery: &Nursery,
        address: SocketAddr,
        seconds: u64,
        midway: impl FnOnce(),
    ) -> Result<Counts, String> {
        let running = self.start(nursery, address, seconds)?;
        std::thread::sleep(Duration::from_millis(seconds * 500));
        midway();
        Self::finish(running)
    }

    /// Begins to load `address`; it goes on for some seconds.
    pub fn start(&self, nursery: &Nursery, address: SocketAddr, seconds: u64) -> Result<Running, String> {
        nursery.start("wrk", LOAD_CORE, &self.program, |command| {
            command.args(["-t1", &format!("-c{}", self.connections), &format!("-d{seconds}s"), "-s"]);
            command.arg(&self.script).arg(format!("http://{address}{}", self.path));
        })
    }

    /// Ends the load now, as Ctrl-C does, and says what it found.
    pub fn stop(running: Running) -> Result<Counts, String> {
        signal(running.pid(), "INT");
        Self::finish(running)
    }

    /// Waits for the end of the load.
    pub fn finish(running: Running) -> Result<Counts, String> {
        Counts::parse(&running.output().map_err(|error| format!("wrk: {error}"))?)
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts and microseconds of a run of at most an hour fit 52 bits")]
impl Counts {
    fn parse(output: &str) -> Result<Self, String> {
        let line = output.lines().find_map(|line| line.strip_prefix("found "));
        let numbers: Vec<u64> = line.unwrap_or_default().split(' ').filter_map(|number| number.parse().ok()).collect();
        let [requests, duration_us, bytes, connect, read, write, status, timeout, p50_us, p99_us, p999_us, max_us] =
            numbers[..]
        else {
            return Err(format!("wrk said nothing that can be read: {output}"));
        };
        let errors = [connect, read, write, status, timeout];
        Ok(Self { requests, duration_us, bytes, errors, p50_us, p99_us, p999_us, max_us })
    }

    pub fn per_second(&self) -> f64 {
        self.requests as f64 * 1e6 / self.duration_us.max(1) as f64
    }

    pub fn count(&self) -> f64 {
        self.requests as f64
    }

    /// Failures of the connection, none of which an answer explains: connect, read, write, timeout.
    pub fn broken(&self) -> u64 {
        let [connect, read, write, _, timeout] = self.errors;
        connect + read + write + timeout
    }

    /// Answers with a status above 399.
    pub fn refused(&self) -> u64 {
        self.errors[3]
    }

    /// The same in the terms of all loads.
    pub fn found(&self, void: Option<String>) -> Found {
        Found {
            turns: self.count(),
            seconds: real(self.duration_us) / 1e6,
            p50: real(self.p50_us),
            p99: real(self.p99_us),
            p999: real(self.p999_us),
            void,
            ..Found::default()
        }
    }

    /// Why this run proves nothing, if so. `answer` is the length of one whole answer, `served` how
    /// many requests the backend saw meanwhile.
    pub fn void(&self, answer: usize, served: u64, connections: usize) -> Option<String> {
        let [connect, read, write, status, timeout] = self.errors;
        if self.errors != [0; 5] {
            return Some(format!(
                "errors: {connect} connect, {read} read, {write} write, {status} status, {timeout} timeout"
            ));
        }
        if self.requests == 0 {
            return Some("no request finished".into());
        }
        // wrk counts the bytes of answers cut off by its end, at most one a connection.
        let expected = answer as u64 * self.requests;
        let slack = (answer * connections * 2) as u64;
        if self.bytes.abs_diff(expected) > slack {
            return Some(format!("{} bytes where {expected} were expected: other answers came", self.bytes));
        }
        if served.abs_diff(self.requests) > 2 * connections as u64 {
            return Some(format!("wrk counts {} requests, the backend {served}", self.requests));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        Counts::parse("Running\nfound 1000 5000000 200000 0 0 0 0 0 800 1200 5000 9000\n").expect("the script's line")
    }

    #[test]
    fn the_scripts_line_is_read() {
        assert!((counts().per_second() - 200.0).abs() < 1e-9);
        assert_eq!((counts().p50_us, counts().p99_us, counts().max_us), (800, 1200, 9000));
        Counts::parse("unable to connect").expect_err("no line");
    }

    #[test]
    fn a_run_with_errors_or_other_answers_is_void() {
        assert_eq!(counts().void(200, 1000, 1), None);
        assert!(counts().void(210, 1000, 1).is_some());
        assert!(counts().void(200, 900, 1).is_some());
        assert!(Counts { errors: [0, 1, 0, 0, 0], ..counts() }.void(200, 1000, 1).is_some());
    }
}
