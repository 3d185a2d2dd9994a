//! The Wasm side: heads and chunks to the logic, what came of them to the host.

use std::rc::Rc;

use abi::Pairs;
use abi::contexts::{Action, Filter};
use abi::host::{self, Counter, Level, Map};
use origins::AppId;

use crate::head::{self, Response};
use crate::{Body, Maps};

abi::export!(LinkTranslation, bodies);

struct LinkTranslation {
    maps: Rc<Maps>,
    /// Addresses that were translated.
    links: Counter,
    /// Bodies passed on because their charset hides ASCII.
    unreadable: Counter,
    /// Tags passed on because they were longer than the limit.
    long: Counter,
}

#[derive(Default)]
struct Stream {
    has_our_tag: bool,
    body: Option<Box<Body>>,
    is_begun: bool,
    out: Vec<u8>,
}

impl LinkTranslation {
    fn app(&self) -> Option<AppId> {
        self.maps.table.app(&host::property(b"xds\0route_name")?)
    }

    /// What the first chunk shows: a body that cannot be read goes on without us.
    fn begin(&self, body: &mut Body) {
        let charset = host::property(b"lockgate\0response\0charset").unwrap_or_default();
        if Body::is_unreadable(&charset) {
            body.pass();
        }
    }

    fn count(&self, body: &Body) {
        self.links.add(body.translated());
        self.long.add(body.long_tokens());
        self.unreadable.add(usize::from(body.is_passed()));
        if body.long_tokens() > 0 {
            host::log(Level::Warn, "a tag longer than `limits.held` was passed on; addresses may be left in it");
        }
        if body.is_passed() {
            host::log(Level::Warn, "a body was passed on as it is: its charset cannot be read");
        }
    }
}

impl Filter for LinkTranslation {
    type Stream = Stream;

    fn configure(configuration: &[u8]) -> Result<Self, String> {
        let maps = Maps::read(configuration).map_err(|invalid| invalid.to_string())?;
        Ok(LinkTranslation {
            maps: Rc::new(maps),
            links: Counter::define("links_translated"),
            unreadable: Counter::define("bodies_unreadable"),
            long: Counter::define("tags_too_long"),
        })
    }

    fn request_headers(&self, stream: &mut Stream) -> Action {
        let pairs = host::pairs(Map::Request);
        let request = head::request(&self.maps.version, Pairs::parse(&pairs));
        stream.has_our_tag = request.has_our_tag;
        host::apply(Map::Request, &request.edits);
        Action::Continue
    }

    fn response_headers(&self, stream: &mut Stream) -> Action {
        let pairs = host::pairs(Map::Response);
        let app = self.app();
        let edits = match head::response(&self.maps, app, stream.has_our_tag, Pairs::parse(&pairs)) {
            Response::Translated(kind, edits) => {
                stream.body = Some(Box::new(Body::new(&self.maps, app, kind)));
                edits
            }
            Response::Head(edits) => {
                host::skip_body(host::Body::Response);
                edits
            }
            Response::Passed => {
                host::skip_body(host::Body::Response);
                return Action::Continue;
            }
        };
        host::apply(Map::Response, &edits);
        Action::Continue
    }

    fn body(&self, stream: &mut Stream, which: host::Body, size: usize, end: bool) -> Action {
        let (host::Body::Response, Some(body)) = (which, &mut stream.body) else { return Action::Continue };
        let chunk = if size > 0 { host::body(which, size) } else { Vec::new() };
        if !stream.is_begun && size > 0 {
            stream.is_begun = true;
            self.begin(body);
        }
        stream.out.clear();
        let is_as_it_came = body.write(&chunk, &mut stream.out);
        if end {
            body.end(&mut stream.out);
            self.count(body);
        }
        // With nothing held back, the end adds nothing.
        if !is_as_it_came {
            host::replace_body(which, size, &stream.out);
        }
        Action::Continue
    }

    fn trailers(&self, stream: &mut Stream, which: host::Body) -> Action {
        let (host::Body::Response, Some(body)) = (which, &mut stream.body) else { return Action::Continue };
        stream.out.clear();
        body.end(&mut stream.out);
        self.count(body);
        if !stream.out.is_empty() {
            host::replace_body(which, 0, &stream.out);
        }
        Action::Continue
    }
}
