//! The thin layer between the SDK and the logic: where the values come from, and what becomes of a verdict. Uses the
//! byte functions of the SDK, because a header value need not be UTF-8.

use crate::bucket::{Bucket, Verdict};
use crate::client;
use crate::config::{Config, Rate};
use crate::size::Size;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, Status};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

/// How often a request tries to take its token while other workers take theirs.
const TRIES_MAX: usize = 8;

/// A compare-and-swap value that matches nothing: stores a key that is not there, and no other.
const IF_ABSENT: Option<u32> = Some(u32::MAX);

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The filter.
#[derive(Default)]
struct Root {
    config: Rc<Config>,
    seed: u64,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        match Config::parse(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => {
                (self.config, self.seed) = (Rc::new(config), shared_seed());
                true
            }
            Err(error) => {
                let _ = hostcalls::log(LogLevel::Error, &format!("rate-guard: {error}"));
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let size = self.config.max_request_bytes.map(Size::new);
        Some(Box::new(Stream { config: self.config.clone(), seed: self.seed, size, refused: false }))
    }
}

/// The seed all workers have: the first one's.
fn shared_seed() -> u64 {
    const KEY: &str = "rate-guard/seed";
    let mine = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), KEY);
    let _ = hostcalls::set_shared_data(KEY, Some(&mine.to_le_bytes()), IF_ABSENT);
    let stored = hostcalls::get_shared_data(KEY).ok().and_then(|(bytes, _)| bytes);
    stored.and_then(|bytes| bytes.try_into().ok()).map_or(mine, u64::from_le_bytes)
}

/// One request.
struct Stream {
    config: Rc<Config>,
    seed: u64,
    size: Option<Size>,
    refused: bool,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let declared = self.get_http_request_header_bytes("content-length");
        if self.size.is_some_and(|size| !size.admits_declared(declared.as_deref())) {
            return self.refuse_size();
        }
        let config = self.config.clone();
        let Some(rate) = &config.rate else { return Action::Continue };
        let header = rate.header.as_deref().and_then(|name| self.get_http_request_header_bytes(name));
        let source = self.get_property(vec!["source", "address"]).unwrap_or_default();
        let fingerprint = client::fingerprint(self.seed, &client::identity(header.as_deref(), &source));
        match self.take(fingerprint, rate) {
            Verdict::Admitted => Action::Continue,
            Verdict::Limited { retry_after_seconds } => {
                let seconds = retry_after_seconds.to_string();
                self.refuse(429, &[("retry-after", seconds.as_str())], b"too many requests\n")
            }
        }
    }

    fn on_http_request_body(&mut self, size: usize, _: bool) -> Action {
        if self.refused {
            return Action::Pause;
        }
        if self.size.as_mut().is_some_and(|limit| !limit.admits_piece(size)) {
            return self.refuse_size();
        }
        Action::Continue
    }
}

impl Stream {
    /// Takes a token. Whoever loses the race to store the bucket reads it again; after `TRIES_MAX` the request is let
    /// through, because a guard that is overrun should not also be an outage.
    fn take(&self, fingerprint: u64, rate: &Rate) -> Verdict {
        let key = client::bucket_key(fingerprint, rate.buckets);
        let now_ns = self.get_current_time().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
        for _ in 0..TRIES_MAX {
            let (stored, cas) = self.get_shared_data(&key);
            let found = stored.as_deref().and_then(Bucket::parse);
            let (bucket, verdict) = Bucket::take(found, fingerprint, now_ns, rate);
            if verdict != Verdict::Admitted {
                return verdict;
            }
            match self.set_shared_data(&key, Some(&bucket.serialise()), cas.or(IF_ABSENT)) {
                Err(Status::CasMismatch) => {}
                _ => return verdict,
            }
        }
        Verdict::Admitted
    }

    fn refuse_size(&mut self) -> Action {
        self.refuse(413, &[], b"request too large\n")
    }

    fn refuse(&mut self, status: u32, headers: &[(&str, &str)], body: &[u8]) -> Action {
        self.refused = true;
        let mut headers = headers.to_vec();
        headers.push(("cache-control", "no-store"));
        self.send_http_response(status, headers, Some(body));
        Action::Pause
    }
}
