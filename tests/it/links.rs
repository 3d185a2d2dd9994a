//! Links that come, go, fall silent and are crowded: what a client notices of it, and what not.

use std::time::{Duration, Instant};

use lockgate::connector::Credentials;
use lockgate::drain::Ending;

use crate::backend::Backend;
use crate::client::{Answer, get, h1, h2};
use crate::forwarder::Forwarder;
use crate::gate::{DOWNLOAD_BYTES, Gate};
use crate::load::Load;
use crate::world::{Member, World, plan, read_metric, until, within};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// Starts `count` requests for shop.test on connections of their own.
fn begin(
    world: &World,
    count: usize,
    method: &'static str,
    target: &'static str,
) -> Vec<tokio::task::JoinHandle<Answer>> {
    let addr = world.http;
    let one = move || async move {
        let mut client = h1(addr).await;
        client.send(&format!("{method} {target} HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 0\r\n\r\n")).await;
        client.answer(method).await.expect("an answer")
    };
    (0..count).map(|_| tokio::spawn(one())).collect()
}

async fn collect(requests: Vec<tokio::task::JoinHandle<Answer>>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for request in requests {
        answers.push(within("an answer", request).await.unwrap());
    }
    answers
}

/// Requests a connector has passed to backends.
async fn served(member: &Member) -> f64 {
    let text = member.metrics.render().await;
    let series = |result: &str| {
        read_metric(&text, &format!("lockgate_backend_connections_total{{reason=\"\",result=\"{result}\"}}"))
    };
    series("opened") + series("reused")
}

/// Adds a connector whose links go through a forwarder.
async fn join_by(world: &mut World, forwarder: &Forwarder) -> usize {
    let (credentials, data_dir) = world.enrol("default").await;
    let credentials = Credentials { edge: forwarder.addr.to_string(), ..credentials };
    world.restart(credentials, data_dir).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_edge_worker_has_its_own_link_from_each_connector() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).connectors(2).edge_workers(3).start().await;
    for member in &world.connectors {
        let mut slots: Vec<_> =
            world.links_of(&member.credentials.connector).await.iter().map(|link| link.slot).collect();
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2]);
        let series = format!("lockgate_links{{connector=\"{}\",state=\"up\"}}", member.credentials.connector);
        assert_eq!(world.metric(&series).await, 3.0);
    }
    // The system spreads new connections over the workers; one without a link would say 504.
    for _ in 0..60 {
        assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_one_connector_of_two_is_invisible_to_gets() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).connectors(2).edge_workers(2).start().await;
    let load = Load::start(world.http, 8, GET);
    load.goes_on(200).await;
    assert!(served(&world.connectors[0]).await > 0.0 && served(&world.connectors[1]).await > 0.0);
    world.connectors[0].kill();
    load.goes_on(400).await;
    let tally = load.finish().await;
    assert!(tally.is_clean() && tally.closed == 0, "{tally:?}");
    assert_eq!(world.links_of(&world.connectors[0].credentials.connector).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_9_2_2_a_lost_link_repeats_gets_and_never_posts() {
    for (method, repeated) in [("GET", true), ("POST", false)] {
        let gate = Gate::closed().await;
        let mut world = plan().app("shop", gate.url()).connectors(2).start().await;
        let requests = begin(&world, 12, method, "/hold");
        gate.has_seen(12).await;
        let doomed = world.links_of(&world.connectors[0].credentials.connector).await[0].streams;
        assert!(doomed > 0 && doomed < 12, "the load is shared: {doomed} of 12");
        world.connectors[0].kill();
        if repeated {
            gate.has_seen(12 + doomed).await;
        } else {
            until("requests are given up", async || requests.iter().filter(|one| one.is_finished()).count() >= doomed)
                .await;
        }
        gate.open();
        let answers = collect(requests).await;
        let lost: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
        assert_eq!(lost.len(), if repeated { 0 } else { doomed }, "{method}: {lost:?}");
        assert!(lost.iter().all(|answer| answer.status == 502 && answer.text().contains("link-lost")), "{lost:?}");
        assert_eq!(gate.seen(), if repeated { 12 + doomed } else { 12 }, "{method}");
        let retries = world.metric("lockgate_retries_total{reason=\"safe-method\"}").await;
        assert_eq!(retries, if repeated { doomed as f64 } else { 0.0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connector_comes_back_with_the_credentials_it_has() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).set(|c| c.limits.queue_wait = Duration::ZERO).start().await;
    world.connectors[0].kill();
    let id = world.connectors[0].credentials.connector.clone();
    until("its links are gone", async || world.links_of(&id).await.is_empty()).await;
    assert_eq!(get(world.http, "shop.test", "/").await.status, 504);
    let (credentials, data_dir) = (world.connectors[0].credentials.clone(), world.connectors[0].data_dir.clone());
    world.restart(credentials, data_dir).await;
    assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
    assert_eq!(world.edge.store().connectors().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_break_is_bridged() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).connectors(0).start().await;
    let forwarder = Forwarder::to(world.https).await;
    let index = join_by(&mut world, &forwarder).await;
    let before = forwarder.accepted();
    let cut = Instant::now();
    forwarder.cut();
    let id = world.connectors[index].credentials.connector.clone();
    until("the link is dialled again", async || forwarder.accepted() > before && !world.links_of(&id).await.is_empty())
        .await;
    assert!(cut.elapsed() < Duration::from_secs(5), "dialled again after {:?}", cut.elapsed());
    // Requests of the moment wait for the link instead of failing.
    forwarder.cut();
    for answer in collect(begin(&world, 8, "GET", "/")).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_served_by_their_own_connectors_only() {
    let (backend, other) = (Backend::mirror().await, Backend::mirror().await);
    let mut world = plan()
        .app("shop", backend.url())
        .app_with("other", other.url(), |app| app.group = "other".into())
        .set(|config| config.limits.queue_wait = Duration::ZERO)
        .start()
        .await;
    assert_eq!(get(world.http, "other.test", "/").await.status, 504, "an empty group borrows nobody");
    let stranger = world.join("other").await;
    for _ in 0..20 {
        assert_eq!(get(world.http, "other.test", "/").await.status, 200);
        assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
    }
    assert_eq!((served(&world.connectors[0]).await, served(&world.connectors[stranger]).await), (20.0, 20.0));
    world.connectors[stranger].kill();
    let id = world.connectors[stranger].credentials.connector.clone();
    until("its links are gone", async || world.links_of(&id).await.is_empty()).await;
    let answer = get(world.http, "other.test", "/").await;
    assert_eq!((answer.status, answer.field("retry-after")), (504, Some("5")));
    assert!(answer.text().contains("connector-unavailable"), "{}", answer.text());
    assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn t16_a_connector_drains_under_load_without_a_failed_request() {
    let gate = Gate::closed().await;
    let world = plan().app("shop", gate.url()).connectors(2).edge_workers(2).start().await;
    let load = Load::start(world.http, 6, GET);
    let downloads = begin(&world, 8, "GET", "/download");
    let posts = begin(&world, 8, "POST", "/hold");
    load.goes_on(200).await;
    let leaving = &world.connectors[0];
    let id = &leaving.credentials.connector;
    let carried: usize = world.links_of(id).await.iter().map(|link| link.streams).sum();
    assert!(carried > 0, "nothing under way on the connector that leaves");
    let stop = leaving.connector.stop(Duration::from_secs(15));
    let meanwhile = async {
        until("the edge has heard", async || world.links_of(id).await.iter().all(|link| link.state != "up")).await;
        load.goes_on(200).await;
        gate.open();
    };
    let (ending, ()) = tokio::join!(stop, meanwhile);
    assert_eq!(ending, Ending::Finished);
    for answer in collect(downloads).await {
        assert_eq!((answer.status, answer.body.len()), (200, DOWNLOAD_BYTES), "a download that was under way");
    }
    for answer in collect(posts).await {
        assert_eq!(answer.status, 200, "a POST that was under way: {}", answer.text());
    }
    load.goes_on(100).await;
    let tally = load.finish().await;
    assert!(tally.is_clean(), "{tally:?}");
    until("its links are gone", async || world.links_of(id).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t11_a_silent_link_is_suspected_avoided_and_given_up() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).connectors(1).start().await;
    let forwarder = Forwarder::to(world.https).await;
    let index = join_by(&mut world, &forwarder).await;
    let id = world.connectors[index].credentials.connector.clone();
    let load = Load::start(world.http, 6, GET);
    load.goes_on(100).await;
    let blocked = Instant::now();
    forwarder.block();
    world.has_link(&id, "suspect").await;
    let before = served(&world.connectors[index]).await;
    for _ in 0..50 {
        assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
    }
    assert_eq!(served(&world.connectors[index]).await, before, "a suspect link gets no new request");
    until("the link is given up", async || world.links_of(&id).await.is_empty()).await;
    assert!(blocked.elapsed() >= Duration::from_secs(3), "given up after {:?}", blocked.elapsed());
    assert_eq!(world.metric("lockgate_link_ends_total{reason=\"silent\"}").await, 1.0);
    let tally = load.finish().await;
    assert!(tally.is_clean(), "{tally:?}");
    forwarder.unblock();
    world.has_link(&id, "up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_only_paused_is_used_again() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).connectors(0).start().await;
    let forwarder = Forwarder::to(world.https).await;
    let index = join_by(&mut world, &forwarder).await;
    let id = world.connectors[index].credentials.connector.clone();
    forwarder.block();
    world.has_link(&id, "suspect").await;
    let waiting = begin(&world, 4, "POST", "/");
    forwarder.unblock();
    for answer in collect(waiting).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    world.has_link(&id, "up").await;
    assert!(!world.metrics.render().await.contains("lockgate_link_ends_total"), "the link did not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_served_the_instant_it_is_published() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).connectors(2).edge_workers(2).start().await;
    for round in 0..10 {
        let name = format!("new-{round}");
        world.config = world.with_app(&name, &backend.url());
        let published = Instant::now();
        world.edge.reload(world.config.clone()).unwrap();
        let answer = get(world.http, &format!("{name}.test"), "/").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(published.elapsed() < Duration::from_secs(1), "{:?}", published.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_leaves_at_once_does_not_end_the_link() {
    let gate = Gate::closed().await;
    let world = plan().app("shop", gate.url()).start().await;
    let mut download = h1(world.http).await;
    download.send("GET /download HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    gate.has_seen(1).await;
    let mut crowd = Vec::new();
    for _ in 0..250 {
        let mut client = h1(world.http).await;
        client.send("GET /hold HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        // A plain close would only end the client's direction, which is no reason to stop.
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
        crowd.push(client);
    }
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let client = h2(world.https, "shop.test").await;
        for _ in 0..50 {
            let mut send = client.send.clone();
            streams.spawn(async move {
                let request = http::Request::get("https://shop.test/hold").body(()).unwrap();
                let (response, _) = send.send_request(request, true).unwrap();
                response.await
            });
        }
    }
    gate.has_seen(501).await;
    let id = &world.connectors[0].credentials.connector;
    assert!(world.links_of(id).await[0].streams >= 501);
    drop(crowd);
    streams.abort_all();
    until("the crowd is gone", async || world.links_of(id).await[0].streams == 1).await;
    for _ in 0..20 {
        assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
    }
    gate.open();
    let answer = download.answer("GET").await.expect("the download goes on");
    assert_eq!((answer.status, answer.body.len()), (200, DOWNLOAD_BYTES));
    assert!(!world.metrics.render().await.contains("lockgate_link_ends_total"), "the link did not end");
}
