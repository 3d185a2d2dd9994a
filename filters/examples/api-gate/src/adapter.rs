//! The thin layer between the SDK and the gate. Uses the byte functions of the SDK, because a header value need not be
//! UTF-8; logs why a request was refused, never a credential.

use crate::config::Config;
use crate::gate::{self, Denial};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The filter.
#[derive(Default)]
struct Root {
    config: Option<Rc<Config>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        match Config::parse(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => self.config = Some(Rc::new(config)),
            Err(error) => {
                let _ = hostcalls::log(LogLevel::Error, &format!("api-gate: {error}"));
            }
        }
        self.config.is_some()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { config: self.config.clone()? }))
    }
}

/// One request.
struct Stream {
    config: Rc<Config>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let headers = self.get_http_request_headers_bytes();
        let path =
            headers.iter().find(|(name, _)| name == ":path").map(|(_, path)| path.as_slice()).unwrap_or_default();
        let now = self.get_current_time().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        match gate::decide(&self.config, path, &headers, now) {
            Ok(entry) => {
                for name in &entry.remove {
                    self.remove_http_request_header(name);
                }
                for (name, value) in &entry.set {
                    self.set_http_request_header_bytes(name, Some(value.as_bytes()));
                }
                Action::Continue
            }
            Err(denial) => self.refuse(denial),
        }
    }
}

impl Stream {
    fn refuse(&self, denial: Denial) -> Action {
        let _ = hostcalls::log(LogLevel::Info, &format!("api-gate: refused, {denial:?}"));
        let challenge = denial.challenge(&self.config);
        let headers = vec![("www-authenticate", challenge.as_str()), ("cache-control", "no-store")];
        self.send_http_response(401, headers, Some(b"unauthorized\n"));
        Action::Pause
    }
}
