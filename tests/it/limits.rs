//! Every limit holds, says which it was, and hurts only the one who reached it.

use std::time::{Duration, Instant};

use lockgate::sample::Sample;

use crate::backend::Backend;
use crate::client::{Answer, get, h1, h1_tls, h2};
use crate::gate::Gate;
use crate::world::{World, plan, until, within};

/// Long enough for a loaded machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);

async fn ask(world: &World, request: String) -> Answer {
    let mut client = h1(world.http).await;
    client.send(&request).await;
    client.answer("GET").await.expect("an answer")
}

/// A GET that the gate holds, under way.
fn hold(world: &World) -> tokio::task::JoinHandle<Answer> {
    let addr = world.http;
    tokio::spawn(async move { get(addr, "shop.test", "/hold").await })
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_refused_and_places_are_given_back() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).edge_workers(2).set(|c| c.limits.connections = 4).start().await;
    let mut inside = Vec::new();
    for _ in 0..4 {
        let mut client = h1(world.http).await;
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        assert_eq!(client.answer("GET").await.unwrap().status, 200);
        inside.push(client);
    }
    for _ in 0..3 {
        assert!(h1(world.http).await.is_closed().await, "no fifth connection");
    }
    assert_eq!(world.metric("lockgate_refused_connections_total{limit=\"connections\"}").await, 3.0);
    for client in &mut inside {
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        assert_eq!(client.answer("GET").await.unwrap().status, 200, "who is inside is not disturbed");
    }
    drop(inside);
    until("a place is free again", async || {
        let mut client = h1(world.http).await;
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        client.answer("GET").await.is_some_and(|answer| answer.status == 200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o01_a_head_that_does_not_end_is_answered_408_and_closed() {
    let gate = Gate::closed().await;
    let world = plan().app("shop", gate.url()).set(|c| c.limits.head_timeout = SHORT).start().await;
    for start in ["G", "GET / HTTP/1.1\r\nhost: shop.test\r\n", "GET / HTTP/1.1\r\nhost: shop.test\r\nx: y\r\n\r"] {
        let (mut plain, mut secure) = (h1(world.http).await, h1_tls(world.https, "shop.test").await);
        let began = Instant::now();
        plain.send(start).await;
        secure.send(start).await;
        for answer in [plain.answer("GET").await, secure.answer("GET").await] {
            let answer = answer.expect("a page");
            assert_eq!((answer.status, answer.field("connection")), (408, Some("close")), "{start:?}");
            assert!(answer.text().contains("request-timeout"), "{}", answer.text());
        }
        assert!(plain.is_closed().await && secure.is_closed().await);
        assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
    }
    // Bytes that keep coming do not buy time.
    let mut slow = h1(world.http).await;
    slow.send("GET / HTTP/1.1\r\nhost: shop.test\r\n").await;
    let mut pace = tokio::time::interval(SHORT / 8);
    let answer = loop {
        tokio::select! {
            answer = slow.answer("GET") => break answer,
            _ = pace.tick() => {}
        }
        slow.send("x: y\r\n").await;
    };
    assert_eq!(answer.expect("a page").status, 408);
    assert_eq!(gate.seen(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_are_closed_after_idle_timeout() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).set(|c| c.limits.idle_timeout = SHORT).start().await;
    let mut fresh = h1(world.http).await;
    let mut used = h1(world.http).await;
    used.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(used.answer("GET").await.unwrap().status, 200);
    let since = Instant::now();
    assert!(fresh.is_closed().await && used.is_closed().await, "nothing is said to an idle client");
    assert!(since.elapsed() >= SHORT - Duration::from_millis(50), "{:?}", since.elapsed());
    let mut http2 = h2(world.https, "shop.test").await;
    assert_eq!(http2.get("https://shop.test/").await.unwrap().status, 200);
    until("the HTTP/2 connection goes away", async || http2.send.clone().ready().await.is_err()).await;
    for listener in ["http", "https"] {
        let series = format!("lockgate_client_connections{{listener=\"{listener}\"}}");
        until(&series, async || world.metric(&series).await == 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_cut() {
    let sample = Sample::start().unwrap();
    let world = plan().app("shop", sample.url()).set(|c| c.limits.body_idle_timeout = SHORT).start().await;
    let mut deaf = h1(world.http).await;
    deaf.send("GET /download?bytes=200000000 HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    let http2 = h2(world.https, "shop.test").await;
    let request = http::Request::get("https://shop.test/download?bytes=200000000").body(()).unwrap();
    let (response, _) = http2.send.clone().send_request(request, true).unwrap();
    let held = within("a head", response).await.unwrap();
    for app in ["shop", "shop-http"] {
        let sent = format!("lockgate_body_bytes_total{{app=\"{app}\",direction=\"out\"}}");
        let open = format!("lockgate_open_streams{{app=\"{app}\",kind=\"request\"}}");
        until(&open, async || world.metric(&sent).await > 0.0 && world.metric(&open).await == 0.0).await;
    }
    drop(held);
    assert_eq!(get(world.http, "shop.test", "/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_beyond_their_limits_are_refused_before_anything_else() {
    let gate = Gate::closed().await;
    let world = plan()
        .app("shop", gate.url())
        .set(|c| {
            (c.limits.header_count_max, c.limits.head_bytes_max, c.limits.uri_bytes_max) = (20, 8192, 1024);
        })
        .start()
        .await;
    let fields = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let request = |target: usize, fields: &str| {
        format!("GET /{} HTTP/1.1\r\nhost: shop.test\r\n{fields}\r\n", "a".repeat(target - 1))
    };
    let big = |bytes: usize| format!("x: {}\r\n", "b".repeat(bytes));
    for (name, request, status, code) in [
        ("fields at the limit", request(1, &fields(19)), 200, ""),
        ("fields", request(1, &fields(21)), 431, "header-too-large"),
        ("bytes near the limit", request(1, &big(8000)), 200, ""),
        ("bytes", request(1, &big(9000)), 431, "header-too-large"),
        ("many bytes", request(1, &big(1 << 20)), 431, "header-too-large"),
        ("target at the limit", request(1024, ""), 200, ""),
        ("target", request(1025, ""), 414, "uri-too-long"),
        ("long target", request(100_000, ""), 414, "uri-too-long"),
    ] {
        let before = gate.seen();
        let answer = ask(&world, request).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(answer.text().contains(code), "{name}: {}", answer.text());
        assert_eq!(gate.seen() - before, usize::from(status == 200), "{name}");
        assert_eq!(answer.field("connection") == Some("close"), status != 200, "{name}");
    }
    let mut http2 = h2(world.https, "shop.test").await;
    for (name, count, target, status) in [("few", 10, 10, 200), ("fields", 30, 10, 431), ("target", 1, 1100, 414)] {
        let mut request = http::Request::get(format!("https://shop.test/{}", "a".repeat(target)));
        for n in 0..count {
            request = request.header(format!("x-{n}"), "y");
        }
        let before = gate.seen();
        let answer = http2.request(request.body(()).unwrap(), b"").await.unwrap();
        assert_eq!((answer.status, gate.seen() - before), (status, usize::from(status == 200)), "HTTP/2, {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t13_the_queue_for_a_link_is_bounded_in_length_and_time() {
    let gate = Gate::closed().await;
    gate.open();
    let mut world = plan()
        .app("shop", gate.url())
        .set(|c| (c.limits.queue_length, c.limits.queue_wait) = (2, Duration::from_secs(15)))
        .start()
        .await;
    world.connectors[0].kill();
    let id = world.connectors[0].credentials.connector.clone();
    until("its links are gone", async || world.links_of(&id).await.is_empty()).await;
    let waiting = [hold(&world), hold(&world)];
    until("two wait", async || world.metric("lockgate_queued_requests").await == 2.0).await;
    let began = Instant::now();
    let answer = get(world.http, "shop.test", "/").await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("5")), "{}", answer.text());
    assert!(answer.text().contains("overloaded") && began.elapsed() < Duration::from_secs(2), "{}", answer.text());
    let (credentials, data_dir) = (world.connectors[0].credentials.clone(), world.connectors[0].data_dir.clone());
    world.restart(credentials, data_dir).await;
    for answer in waiting {
        assert_eq!(within("an answer", answer).await.unwrap().status, 200, "who waited is served");
    }
    assert_eq!(world.metric("lockgate_queued_requests").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn t13_who_waited_long_enough_is_told() {
    let mut world = plan().app("shop", "http://127.0.0.1:1/").set(|c| c.limits.queue_wait = SHORT).start().await;
    world.connectors[0].kill();
    let id = world.connectors[0].credentials.connector.clone();
    until("its links are gone", async || world.links_of(&id).await.is_empty()).await;
    let began = Instant::now();
    let answer = get(world.http, "shop.test", "/").await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    let took = began.elapsed();
    assert!(took >= SHORT && took < SHORT + Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_link_is_overloaded_until_a_stream_ends() {
    let gate = Gate::closed().await;
    let plan = plan().app("shop", gate.url()).connectors(2).set(|c| c.limits.streams_per_link = 2);
    let world = plan.start().await;
    let held: Vec<_> = (0..4).map(|_| hold(&world)).collect();
    gate.has_seen(4).await;
    for link in world.edge.links().await {
        assert_eq!(link.streams, 2, "the limit is each link's own");
    }
    let answer = get(world.http, "shop.test", "/").await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("5")), "{}", answer.text());
    assert!(answer.text().contains("overloaded"), "{}", answer.text());
    assert_eq!(gate.seen(), 4);
    gate.open();
    for one in held {
        assert_eq!(within("an answer", one).await.unwrap().status, 200);
    }
    assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_clients_does_not_keep_connectors_out() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).connectors(0).set(|c| c.limits.connections = 4).start().await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let mut client = h1(world.http).await;
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        assert_eq!(client.answer("GET").await.unwrap().status, 504);
        crowd.push(client);
    }
    assert!(h1(world.http).await.is_closed().await, "the edge is full");
    world.join("default").await;
    crowd[0].send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(crowd[0].answer("GET").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_is_blamed_on_the_client_and_not_on_the_link() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut client = h1(world.http).await;
    client.send("POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n").await;
    let answer = client.answer("POST").await;
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{answer:?}");
    let text = world.metrics.render().await;
    assert!(!text.contains("link-lost"), "{text}");
}
