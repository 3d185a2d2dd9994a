//! The built-in filters twice: their logic as a native crate, and their module in the filter host with the
//! settings an edge gives it. The same exchanges go through both, and the same must come out.
//!
//! ```text
//!   exchange ─┬─▶ header_translation, header_rewrite, websocket ─ edits ─▶ abi::apply ─┐
//!             └─▶ Passage ─▶ the module of this binary, host calls ─▶ HeaderMap ───────┴─▶ equal?
//! ```
//!
//! It refuses to say whether either is right: the crates' own tests do. What differs in order only is equal,
//! as long as the values of one name keep theirs.

mod handshakes;
mod rewriting;
mod translation;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use abi::{Edit, apply};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use lockgate::backend::Target;
use lockgate::config::{EdgeConfig, FilterSettings, ModuleSource, Payload, parse_manifest};
use lockgate::filters::{Builtin, Chain, Data, Facts, Host, Library, Outbound, Passage, Passed, Plugin, Sending};
use lockgate::http::{Body, Outgoing, Response};
use lockgate::id::RequestId;
use lockgate::metrics::{Metrics, Shard};
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

type List = Vec<(Vec<u8>, Vec<u8>)>;
/// The values of each name.
type Fields = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

/// What a client asks and a backend answers.
#[derive(Clone, Debug)]
struct Exchange {
    app: &'static str,
    method: &'static str,
    authority: &'static str,
    path: &'static str,
    status: u16,
    request: HeaderMap,
    response: HeaderMap,
}

/// What comes out of it.
#[derive(Debug, PartialEq)]
enum Outcome {
    Passed { request: Fields, response: Fields },
    Refused { status: u16, fields: Fields, body: String },
}

/// Nobody calls out here.
struct Nowhere;

impl Outbound for Nowhere {
    fn send(&self, _: &str, _: Arc<Target>, _: Outgoing) -> Sending {
        Box::pin(std::future::pending())
    }
}

/// A worker with one built-in filter.
struct Worker {
    runtime: Runtime,
    local: LocalSet,
    library: Library,
    metrics: Arc<Metrics>,
    builtin: &'static Builtin,
}

impl Worker {
    fn new(builtin: &str) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let library = Library::open(1, None, metrics.clone(), None).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, local: LocalSet::new(), library, metrics, builtin: Builtin::find(builtin).unwrap() }
    }

    /// The filter as an edge sets it up; one that serves already lends its compiled module.
    fn load(&self, configuration: &str, serving: &[Arc<Plugin>]) -> Arc<Plugin> {
        let module = ModuleSource::Builtin(self.builtin.name.to_owned());
        let configuration = Payload::from(configuration.as_bytes().to_vec());
        let mut filter = FilterSettings { configuration, ..FilterSettings::new(module) };
        // As an operator grants them who has rules about cookies.
        filter.capabilities.protected_headers = vec!["set-cookie".to_owned()];
        let manifest = parse_manifest("filter.toml".as_ref(), self.builtin.manifest).unwrap();
        let settings = lockgate::app::together("built-in", &filter, &manifest, &EdgeConfig::default());
        let loaded = self.library.load(settings, &self.builtin.source(), serving);
        loaded.unwrap_or_else(|fault| panic!("{}", fault.reason)).plugin
    }

    /// Passes exchanges through the module.
    fn pass(&self, plugin: &Arc<Plugin>, exchanges: &[Exchange]) -> Vec<Outcome> {
        let chain = Chain::new(vec![plugin.clone()]);
        self.local.block_on(&self.runtime, async {
            let host = Host::start(self.runtime.handle().clone(), Box::new(Nowhere), Shard::start(&self.metrics));
            let mut outcomes = Vec::new();
            for exchange in exchanges {
                outcomes.push(pass(&host, &chain, exchange).await);
            }
            outcomes
        })
    }
}

async fn pass(host: &Rc<Host>, chain: &Chain, exchange: &Exchange) -> Outcome {
    let passage = Passage::begin(host, chain, exchange.data()).await.unwrap();
    let ended = !exchange.is_websocket();
    if let Passed::Reply(reply) = passage.request(Body::Empty, ended).await.unwrap() {
        let Body::Full(body) = &reply.body else { panic!("a refusal says why") };
        let body = String::from_utf8(body.to_vec()).unwrap();
        return Outcome::Refused { status: reply.status.as_u16(), fields: grouped(&listed(&reply.headers)), body };
    }
    let request = passage.take_head(|data| listed(&data.headers[0])).unwrap();
    let response =
        Response::new(StatusCode::from_u16(exchange.status).unwrap(), exchange.response.clone(), Body::Empty);
    let response = passage.response(response, false).await.unwrap();
    Outcome::Passed { request: grouped(&request), response: grouped(&listed(&response.headers)) }
}

const ID: &str = "0af7651916cd43dd8448eb211c80319c";

impl Exchange {
    fn is_websocket(&self) -> bool {
        self.request.contains_key("upgrade")
    }

    fn data(&self) -> Data {
        let facts = Facts {
            app: self.app.into(),
            id: RequestId::parse(ID.as_bytes()).unwrap(),
            protocol: "HTTP/1.1",
            scheme: "https",
            peer: ([192, 0, 2, 1], 4000).into(),
            local: ([192, 0, 2, 9], 443).into(),
            connection: 1,
            tls_version: None,
            server_name: None,
            began: SystemTime::UNIX_EPOCH,
        };
        let (method, host) =
            (Method::from_bytes(self.method.as_bytes()).unwrap(), HeaderValue::from_static(self.authority));
        let mut data = Data::new(facts, method, host, self.path.parse().unwrap(), self.request.clone());
        data.is_websocket = self.is_websocket();
        data
    }

    /// The request as a filter reads it.
    fn asked(&self) -> List {
        let pseudo =
            [(":authority", self.authority), (":path", self.path), (":method", self.method), (":scheme", "https")];
        let pseudo = pseudo.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        pseudo.into_iter().chain(listed(&self.request)).collect()
    }

    /// The response as a filter reads it.
    fn answered(&self) -> List {
        let status = (b":status".to_vec(), self.status.to_string().into_bytes());
        [status].into_iter().chain(listed(&self.response)).collect()
    }
}

fn listed(fields: &HeaderMap) -> List {
    fields.iter().map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// The fields of a list, without pseudo-headers, and without the white space around a value: that is no
/// part of it (RFC 9110, 5.5), and the host takes it off what a filter writes.
fn grouped(list: &List) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list.iter().filter(|(name, _)| !name.starts_with(b":")) {
        fields.entry(name.clone()).or_default().push(value.trim_ascii().to_vec());
    }
    fields
}

fn edited(mut list: List, edits: &[Edit]) -> List {
    apply(edits, &mut list);
    list
}

/// A map of any list: what is no field value gets an `x` in the place of each byte that may not be there.
fn fields(list: Vec<(&'static str, Vec<u8>)>) -> HeaderMap {
    let legal = |byte: u8| if byte == b'\t' || (byte >= b' ' && byte != 0x7f) { byte } else { b'x' };
    let value = |value: Vec<u8>| HeaderValue::from_bytes(&value.into_iter().map(legal).collect::<Vec<u8>>());
    list.into_iter().map(|(name, bytes)| (HeaderName::from_static(name), value(bytes).unwrap())).collect()
}

/// Values made of pieces that mean something to a filter, and of bytes that mean nothing.
fn value(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn header_map(names: &'static [&'static str], pieces: &'static [&'static str]) -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec((prop::sample::select(names), value(pieces)), 0..6).prop_map(fields)
}

/// Runs `check` on generated exchanges; what fails is printed as small as it can be made.
fn for_each<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    // No file of failures: the minimal case is in the message, and belongs into a table here.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    if let Err(error) = runner.run(strategy, check) {
        panic!("{error}");
    }
}
