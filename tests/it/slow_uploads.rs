//! O01: a sender of a body may be slow, but neither silent nor a trickle without an end.

use std::pin::pin;
use std::time::{Duration, Instant};

use lockgate::config::LimitSettings;
use tokio::io::AsyncWriteExt;

use crate::backend::Backend;
use crate::client::{h1, h2};
use crate::world::{plan, until, within};

/// Long enough for a loaded machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn o01_an_upload_that_stalls_is_cut_and_one_that_moves_is_not() {
    let backend = Backend::mirror().await;
    let limit = |limits: &mut LimitSettings| (limits.body_idle_timeout, limits.body_rate_min) = (SHORT, 5);
    let world = plan().app("shop", backend.url()).set(|c| limit(&mut c.limits)).start().await;
    let head = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 10\r\n\r\n";
    let mut stalled = h1(world.http).await;
    let began = Instant::now();
    stalled.send(&format!("{head}hello")).await;
    let answer = stalled.answer("POST").await;
    assert!(answer.is_none_or(|answer| answer.status == 408), "no answer but that it came too late");
    assert!(began.elapsed() >= SHORT);
    let mut slow = h1(world.http).await;
    slow.send(head).await;
    let mut pace = tokio::time::interval(SHORT / 4);
    for _ in 0..10 {
        pace.tick().await;
        slow.send("x").await;
    }
    let answer = slow.answer("POST").await.expect("slow is not stalled");
    assert!(answer.status == 200 && answer.text().ends_with("xxxxxxxxxx"), "{}", answer.text());
    until("nothing is left under way", async || {
        world.metric("lockgate_open_streams{app=\"shop-http\",kind=\"request\"}").await == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o01_an_upload_that_stalls_on_http2_is_cut() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).set(|c| c.limits.body_idle_timeout = SHORT).start().await;
    let client = h2(world.https, "shop.test").await;
    let request = http::Request::post("https://shop.test/").header("content-length", "10").body(()).unwrap();
    let (response, mut body) = client.send.clone().send_request(request, false).unwrap();
    body.send_data("hello".into(), false).unwrap();
    let answer = within("the end of a stalled upload", response).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 408));
}

/// A backend that answers at once when asked for `/early`, and to anything else when it has the whole body.
async fn early_or_late() -> Backend {
    Backend::serve(|mut conn, _| async move {
        let Some(request) = conn.head().await else { return };
        if request.starts_with("POST /early") {
            conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearl").await;
        }
        drop(conn.rest().await);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn o01_a_body_that_trickles_is_ended_unless_its_request_is_answered() {
    let backend = early_or_late().await;
    let world = plan().app("shop", backend.url()).set(|c| c.limits.body_idle_timeout = SHORT).start().await;
    let head = |path: &str| format!("POST {path} HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 100000\r\n\r\n");
    let began = Instant::now();
    let (mut slow, mut answered) = (h1(world.http).await, h1(world.http).await);
    slow.send(&head("/late")).await;
    answered.send(&head("/early")).await;
    assert_eq!(answered.head().await.expect("the head of an answer").status, 200);
    let mut http2 = h2(world.https, "shop.test").await;
    let request = http::Request::post("https://shop.test/late").body(()).unwrap();
    let (response, mut upload) = http2.send.send_request(request, false).unwrap();
    let mut trickle = tokio::time::interval(SHORT / 8);
    let mut ended = [false; 2];
    // A byte each 50 ms is never silent for long, and 20 bytes a second are too few.
    let response = within("the end of both", async {
        let (mut response, mut answer) = (pin!(response), None);
        while !ended.iter().all(|ended| *ended) {
            tokio::select! {
                _ = trickle.tick() => {}
                answered = &mut response, if !ended[1] => (answer, ended[1]) = (Some(answered), true),
            }
            ended[0] |= slow.stream.write_all(b"x").await.is_err();
            if !ended[1] {
                let _ = upload.send_data(bytes::Bytes::from_static(b"x"), false);
            }
            answered.send("x").await;
        }
        answer.expect("an end")
    })
    .await;
    assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
    assert!(response.map_or(true, |answer| answer.status() == 408), "too late, or reset");
    for _ in 0..16 {
        trickle.tick().await;
        answered.send("x").await; // twice its patience later it still may
    }
    let open = "lockgate_open_streams{app=\"shop-http\",kind=\"request\"}";
    assert_eq!(world.metric(open).await, 1.0, "the one that was answered");
}
