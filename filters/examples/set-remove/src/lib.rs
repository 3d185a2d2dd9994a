//! Sets one header and removes one, on request and response.
//!
//! The smallest useful filter of an author who took the SDK: what the overhead of a filter is measured with, in
//! Lockgate and in Envoy (`perf/envoy`). It refuses configuration and looks at nothing.

#[cfg(target_arch = "wasm32")]
mod adapter {
    use proxy_wasm::traits::{Context, HttpContext};
    use proxy_wasm::types::{Action, LogLevel};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Warn);
        proxy_wasm::set_http_context(|_, _| Box::new(SetRemove));
    }}

    struct SetRemove;

    impl Context for SetRemove {}

    impl HttpContext for SetRemove {
        fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
            self.set_http_request_header_bytes("x-filter-set", Some(b"request"));
            self.remove_http_request_header("x-filter-remove");
            Action::Continue
        }

        fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
            self.set_http_response_header_bytes("x-filter-set", Some(b"response"));
            self.remove_http_response_header("x-filter-remove");
            Action::Continue
        }
    }
}
