//! A worker with filters and nothing else, and an exchange as a browser and an application make one: what
//! the benches about filters measure; and a page that goes through a filter as it would stream.

use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use lockgate::backend::Target;
use lockgate::filters::{
    BodyMode, Builtin, Chain, Data, Facts, Grants, Host, Library, Outbound, Passage, Passed, Plugin, Sending, Settings,
    Source,
};
use lockgate::http::{Body, Outgoing, Response};
use lockgate::id::RequestId;
use lockgate::metrics::{Metrics, Shard};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

/// The proxy's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Nobody calls out here.
struct Nowhere;

impl Outbound for Nowhere {
    fn send(&self, _: &str, _: Arc<Target>, _: Outgoing) -> Sending {
        Box::pin(std::future::pending())
    }
}

/// A worker with filters.
pub struct World {
    runtime: Runtime,
    local: LocalSet,
    pub library: Library,
    host: RefCell<Option<Rc<Host>>>,
    metrics: Arc<Metrics>,
}

impl World {
    pub fn new() -> Self {
        let metrics = Arc::new(Metrics::new().expect("names are unique"));
        let library = Library::open(1, Some("target/bench-filters".into()), metrics.clone(), None).expect("an engine");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, local: LocalSet::new(), library, host: RefCell::default(), metrics }
    }

    pub fn host(&self) -> Rc<Host> {
        let start = || {
            self.local.block_on(&self.runtime, async {
                Host::start(self.runtime.handle().clone(), Box::new(Nowhere), Shard::start(&self.metrics))
            })
        };
        self.host.borrow_mut().get_or_insert_with(start).clone()
    }

    pub fn load(&self, settings: Settings, source: &Source) -> Arc<Plugin> {
        match self.library.load(settings, source, &[]) {
            Ok(loaded) => loaded.plugin,
            Err(fault) => panic!("{}: {}", fault.filter, fault.reason),
        }
    }

    /// One exchange without bodies.
    pub fn exchange(&self, host: &Rc<Host>, chain: &Chain, request: &HeaderMap, response: &HeaderMap) -> StatusCode {
        self.local.block_on(&self.runtime, async {
            let passage = Passage::begin(host, chain, data(request.clone())).await.expect("a passage");
            let Ok(Passed::On(body)) = passage.request(Body::Empty, true).await else { panic!("it goes on") };
            black_box(body);
            let answer = Response::new(StatusCode::OK, response.clone(), Body::Empty);
            let answer = passage.response(answer, false).await.expect("a response");
            black_box(&answer.headers);
            answer.status
        })
    }
}

/// What backends give at once.
pub const CHUNK_BYTES: usize = 16 << 10;

impl World {
    /// An exchange whose response is this page; gives the bytes that came out.
    pub fn page(&self, host: &Rc<Host>, chain: &Chain, content_type: &'static str, page: &Bytes) -> usize {
        let (sender, receiver) = mpsc::channel(page.len() / CHUNK_BYTES + 1);
        let mut rest = page.clone();
        while !rest.is_empty() {
            sender.try_send(rest.split_to(CHUNK_BYTES.min(rest.len()))).expect("there is room for all chunks");
        }
        drop(sender);
        self.local.block_on(&self.runtime, async {
            let passage = Passage::begin(host, chain, data(request())).await.expect("a passage");
            let Ok(Passed::On(body)) = passage.request(Body::Empty, true).await else { panic!("it goes on") };
            black_box(body);
            let answer = Response::new(StatusCode::OK, map(&[("content-type", content_type)]), Body::Channel(receiver));
            let mut body = passage.response(answer, false).await.expect("a response").body;
            let mut length = 0;
            while let Some(frame) = std::future::poll_fn(|cx| body.poll_frame(cx)).await {
                length += frame.expect("a chunk").data_ref().map_or(0, Bytes::len);
            }
            length
        })
    }

    /// Link translation in front of an application that names itself by this URL.
    pub fn link_translation(&self, internal: &str) -> Chain {
        let configuration = format!(
            r#"{{"version":"1","apps":[{{"name":"shop","external":"https://shop.example.com/","internal":"{internal}"}},
                {{"name":"wiki","external":"https://wiki.example.com/","internal":"http://wiki.corp/"}}]}}"#
        );
        let settings = Settings {
            configuration: Bytes::from(configuration),
            bodies: [BodyMode::Off, BodyMode::Decoded],
            ..Settings::new("link-translation")
        };
        Chain::new(vec![self.load(settings, &Builtin::find("link-translation").expect("built in").source())])
    }
}

fn data(headers: HeaderMap) -> Data {
    let facts = Facts {
        app: "shop".into(),
        id: RequestId::random(),
        protocol: "HTTP/1.1",
        scheme: "https",
        peer: ([192, 0, 2, 1], 4000).into(),
        local: ([192, 0, 2, 9], 443).into(),
        connection: 1,
        tls_version: None,
        server_name: None,
        began: SystemTime::now(),
    };
    let host = HeaderValue::from_static("shop.example.com");
    Data::new(facts, Method::GET, host, PathAndQuery::from_static("/cart?item=7"), headers)
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

/// 12 fields, as a browser sends them.
pub fn request() -> HeaderMap {
    map(&[
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "en-GB,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("referer", "https://shop.example.com/catalogue?page=2"),
        ("cookie", "session=0123456789abcdef; theme=dark"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "0af7651916cd43dd8448eb211c80319c"),
        ("x-remove-me", "1"),
    ])
}

/// 10 fields, as an application sends them after a form.
pub fn response() -> HeaderMap {
    map(&[
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "1234"),
        ("cache-control", "no-store"),
        ("date", "Sat, 21 Nov 2026 13:00:00 GMT"),
        ("server", "Apache"),
        ("location", "http://shop.corp:8080/cart"),
        ("set-cookie", "session=0123456789abcdef; Domain=shop.corp; Path=/; HttpOnly; SameSite=Lax"),
        ("vary", "Accept-Encoding"),
        ("x-powered-by", "PHP/8.4"),
        ("x-remove-me", "1"),
    ])
}

fn example(name: &str) -> Option<Source> {
    let file = format!("filters/target/wasm32-wasip1/release/{name}.wasm");
    Path::new(&file).exists().then(|| Source::File(file.into()))
}

impl World {
    /// `none`, `set-remove` of the examples or a built-in filter; `None`: its module has not been built.
    pub fn chain(&self, name: &str) -> Option<Chain> {
        let configuration = match name {
            "none" => return Some(Chain::new(Vec::new())),
            "set-remove" => {
                let source = example("set_remove")?;
                return Some(Chain::new(vec![self.load(Settings::new(name), &source)]));
            }
            "header-translation" => {
                r#"{"apps":[{"name":"shop","external":"https://shop.example.com/","internal":"http://shop.corp:8080/"},
                    {"name":"wiki","external":"https://wiki.example.com/","internal":"http://wiki.corp/"}]}"#
            }
            "header-rewrite" => {
                r#"{"rules":[{"on":"request","do":[{"set":{"x-client":"${client.address}"}}]},
                    {"on":"response","do":[{"remove":["server","x-powered-by"]}]}]}"#
            }
            _ => "{}",
        };
        let settings = Settings {
            configuration: Bytes::from_static(configuration.as_bytes()),
            grants: Grants { protected_headers: vec![http::header::SET_COOKIE], ..Grants::default() },
            ..Settings::new(name)
        };
        Some(Chain::new(vec![self.load(settings, &Builtin::find(name)?.source())]))
    }
}
