//! The thin layer between the SDK and the logic. Uses the byte functions throughout: a header value need not be UTF-8,
//! and the string functions of the SDK end the module on one that is not.

use crate::banner::Config;
use crate::page;
use crate::scanner::Scanner;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The filter: its markup, made once.
#[derive(Default)]
struct Root {
    markup: Rc<Vec<u8>>,
    host_decodes: bool,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        match Config::parse(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => {
                (self.markup, self.host_decodes) = (Rc::new(config.markup()), config.host_decodes);
                true
            }
            Err(error) => {
                let _ = proxy_wasm::hostcalls::log(LogLevel::Error, &format!("html-banner: {error}"));
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { markup: self.markup.clone(), host_decodes: self.host_decodes, search: None }))
    }
}

/// One response; `search` is there while the place is still to be found.
struct Stream {
    markup: Rc<Vec<u8>>,
    host_decodes: bool,
    search: Option<Scanner>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if !self.host_decodes {
            self.set_http_request_header_bytes("accept-encoding", Some(b"identity"));
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let status = self.get_http_response_header_bytes(":status").unwrap_or_default();
        let content_type = self.get_http_response_header_bytes("content-type");
        let encoded =
            !self.host_decodes && page::is_encoded(self.get_http_response_header_bytes("content-encoding").as_deref());
        if end_of_stream || encoded || !page::is_page(&status, content_type.as_deref()) {
            return Action::Continue;
        }
        for name in page::BODY_HEADERS {
            self.remove_http_response_header(name);
        }
        let etag = self.get_http_response_header_bytes("etag");
        if let Some(weak) = etag.and_then(|etag| page::weakened(&etag)) {
            self.set_http_response_header_bytes("etag", Some(&weak));
        }
        self.search = Some(Scanner::default());
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
        if let Some(search) = &mut self.search {
            let piece = proxy_wasm::hostcalls::get_buffer(proxy_wasm::types::BufferType::HttpResponseBody, 0, size);
            let Ok(Some(piece)) = piece else { return Action::Continue };
            if let Some(at) = search.feed(&piece) {
                let (before, after) = piece.split_at(at);
                // The whole piece at once: Envoy supports no insertion in the middle.
                self.set_http_response_body(0, size, &[before, &self.markup, after].concat());
                self.search = None;
            }
        }
        Action::Continue
    }
}
