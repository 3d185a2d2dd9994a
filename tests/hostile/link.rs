//! T06: a connector that has enrolled and then speaks any frames it likes to the edge. It may ruin its own requests;
//! its link is closed where it broke the connection's rules, and another connector's requests are served all along.

use lockgate::connector::Credentials;
use lockgate::tunnel::PROTOCOL_VERSION;
use lockgate::tunnel::dial::dial;
use lockgate::tunnel::hello::{Hello, Welcome};
use lockgate::tunnel::tls::link_client;

use crate::backend::Backend;
use crate::client::{Answer, get, h1};
use crate::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, INITIAL_WINDOW_SIZE, PING, PREFACE, PRIORITY, PUSH_PROMISE,
    SETTINGS, block, credit, frame, settings,
};
use crate::world::{World, plan, until, within};

/// The connector's half of a link, by hand.
struct Hostile {
    frames: Frames,
    /// The control stream; everything else that stays open is a request.
    control: Option<u32>,
}

impl Hostile {
    async fn link(credentials: &Credentials) -> Self {
        let (certificate, authority, key) = credentials.decode().unwrap();
        let config = link_client(&authority, certificate, key).unwrap();
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            software: "hostile".into(),
            instance: "1".into(),
            slot: 0,
            host: "hostile".into(),
        };
        let (stream, _): (_, Welcome) = dial(&credentials.edge, config, &hello).await.unwrap();
        let mut frames = Frames::over(stream);
        assert_eq!(frames.bytes(PREFACE.len()).await.as_deref(), Some(PREFACE));
        frames.write(&settings(&[])).await;
        Self { frames, control: None }
    }

    /// Answers probes until the edge sends a request with a body; its stream.
    async fn request(&mut self) -> u32 {
        loop {
            let frame = self.frames.next().await.expect("the link stays");
            match frame.kind {
                SETTINGS if !frame.is_ack() => self.frames.send(SETTINGS, ACK, 0, b"").await,
                PING if !frame.is_ack() => self.frames.send(PING, ACK, 0, &frame.payload).await,
                HEADERS if frame.ends_stream() => self.answer(frame.stream, END_STREAM).await,
                HEADERS if self.control.is_none() => {
                    self.control = Some(frame.stream);
                    self.answer(frame.stream, 0).await;
                }
                HEADERS => return frame.stream,
                _ => {}
            }
        }
    }

    async fn answer(&mut self, stream: u32, flags: u8) {
        self.frames.send(HEADERS, flags | END_HEADERS, stream, &[0x88]).await;
    }

    /// Serves the link until the edge closes it.
    async fn until_closed(mut self) {
        while let Some(frame) = self.frames.next().await {
            if frame.kind == HEADERS && frame.ends_stream() {
                self.answer(frame.stream, END_STREAM).await;
            }
        }
    }
}

/// What the hostile connector does with a request, and what it costs it.
struct Attack {
    case: &'static str,
    bytes: fn(u32) -> Vec<u8>,
    /// The connection's rules are broken: the link must go.
    ends_link: bool,
}

fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

fn attacks() -> Vec<Attack> {
    let request = |case, bytes| Attack { case, bytes, ends_link: false };
    let link = |case, bytes| Attack { case, bytes, ends_link: true };
    vec![
        request("a line break in a value", |id| head(id, END_STREAM, &[(":status", "200"), ("x", "a\r\nb: c")])),
        request("a line break in a name", |id| head(id, END_STREAM, &[(":status", "200"), ("x\r\ny", "a")])),
        request("a name in upper case", |id| head(id, END_STREAM, &[(":status", "200"), ("X", "a")])),
        request("no status", |id| head(id, END_STREAM, &[("x", "a")])),
        request("status 99", |id| head(id, END_STREAM, &[(":status", "99")])),
        request("transfer-encoding", |id| {
            head(id, END_STREAM, &[(":status", "200"), ("transfer-encoding", "chunked")])
        }),
        request("an interim answer that ends", |id| head(id, END_STREAM, &[(":status", "103")])),
        request("a flood of interim answers", |id| head(id, 0, &[(":status", "103")]).repeat(10_000)),
        request("a fault of no known kind", |id| {
            head(id, END_STREAM, &[(":status", "200"), ("lockgate-fault", "\u{fffd}")])
        }),
        link("PUSH_PROMISE", |id| {
            frame(PUSH_PROMISE, END_HEADERS, id, &[&2u32.to_be_bytes()[..], &block(&[(":method", "GET")])].concat())
        }),
        link("DATA of stream 0", |_| frame(DATA, 0, 0, b"x")),
        link("DATA of a stream that never was", |_| frame(DATA, 0, 99_999, b"x")),
        link("HEADERS of a stream of its own", |_| head(2, END_STREAM, &[(":status", "200")])),
        link("RST_STREAM of a stream that never was", |_| crate::frames::reset(99_999, 8)),
        link("a block that cannot be decoded", |id| frame(HEADERS, END_HEADERS, id, &[0xff, 0xff, 0xff])),
        link("a frame larger than allowed", |id| frame(DATA, 0, id, &vec![0; (64 << 10) + 1])),
        link("SETTINGS of 5 bytes", |_| frame(SETTINGS, 0, 0, &[0; 5])),
        link("an initial window beyond 2^31-1", |_| settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)])),
        link("credit beyond 2^31-1", |_| credit(0, (1 << 31) - 1).repeat(2)),
        link("a flood of SETTINGS", |_| settings(&[]).repeat(100_000)),
        link("a flood of PING", |_| frame(PING, 0, 0, &[7; 8]).repeat(100_000)),
        link("a flood of PRIORITY", |id| frame(PRIORITY, 0, id, &[0, 0, 0, 0, 9]).repeat(100_000)),
        link("a flood of unknown frames", |_| frame(0xbe, 0, 0, b"").repeat(100_000)),
        link("a flood of credit", |_| credit(0, 1).repeat(100_000)),
        link("a block that never ends", |id| {
            let bulk = frame(crate::frames::CONTINUATION, 0, id, &block(&[("x", &"y".repeat(16_000))]));
            [frame(HEADERS, 0, id, &[0x88]), bulk.repeat(70)].concat()
        }),
    ]
}

/// A world with an honest connector for shop.test, and the credentials of one that serves evil.test.
async fn betrayed() -> (World, Credentials, Backend) {
    let backend = Backend::mirror().await;
    let world = plan()
        .app("shop", backend.url())
        .app_with("evil", backend.url(), |app| app.group = "evil".into())
        .start()
        .await;
    let (credentials, _) = world.enrol("evil").await;
    (world, credentials, backend)
}

/// A request to the hostile connector, which must not be repeated.
fn ask(world: &World) -> tokio::task::JoinHandle<Option<Answer>> {
    let addr = world.http;
    tokio::spawn(async move {
        let mut client = h1(addr).await;
        client.send("POST / HTTP/1.1\r\nhost: evil.test\r\ncontent-length: 3\r\n\r\nabc").await;
        client.answer("POST").await
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_a_hostile_connector_ruins_its_own_requests_only() {
    let (world, credentials, _backend) = betrayed().await;
    for attack in attacks() {
        let case = attack.case;
        let mut hostile = Hostile::link(&credentials).await;
        world.has_link(&credentials.connector, "up").await;
        let asked = ask(&world);
        let stream = within(case, hostile.request()).await;
        let bytes = (attack.bytes)(stream);
        // The edge may have closed before it is all written.
        let link = tokio::spawn(async move {
            hostile.frames.write(&bytes).await;
            hostile.until_closed().await;
        });
        let answer = within(case, asked).await.unwrap();
        if attack.ends_link {
            until(&format!("T06 {case}: the link is closed"), async || {
                world.links_of(&credentials.connector).await.is_empty()
            })
            .await;
        }
        let status = answer.as_ref().map(|answer| answer.status);
        assert_eq!(status, Some(502), "T06 {case}: {answer:?}");
        assert!(get(world.http, "shop.test", "/canary").await.text().starts_with("GET /canary"), "T06 {case}");
        link.abort();
        until("the hostile link is gone", async || world.links_of(&credentials.connector).await.is_empty()).await;
    }
    assert_eq!(world.links_of(&world.connectors[0].credentials.connector).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_a_body_that_is_not_as_long_as_announced_is_seen_to_be_cut() {
    let (world, credentials, _backend) = betrayed().await;
    for (case, length, body) in [("shorter", "5", &b"abc"[..]), ("longer", "3", b"abcde")] {
        let mut hostile = Hostile::link(&credentials).await;
        world.has_link(&credentials.connector, "up").await;
        let asked = ask(&world);
        let stream = within(case, hostile.request()).await;
        let answer =
            [head(stream, 0, &[(":status", "200"), ("content-length", length)]), frame(DATA, END_STREAM, stream, body)];
        hostile.frames.write(&answer.concat()).await;
        let answer = within(case, asked).await.unwrap();
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 502), "T06 {case}: {answer:?}");
        assert!(get(world.http, "shop.test", "/canary").await.text().starts_with("GET /canary"), "T06 {case}");
        drop(hostile);
        until("the hostile link is gone", async || world.links_of(&credentials.connector).await.is_empty()).await;
    }
}
