//! Failures a person can act on: each has its own code, status and side, and the inside stays inside.

use crate::backend::Backend;
use crate::client::get;
use crate::world::plan;

#[tokio::test(flavor = "multi_thread")]
async fn every_way_not_to_reach_a_backend_is_told_apart() {
    let garbage = Backend::answering("SMTP ready\r\n\r\n").await;
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = plan()
        .app("dns", "http://no-such-name.invalid/")
        .app("refused", format!("http://{refused}/"))
        .app("tls", garbage.url().replace("http:", "https:"))
        .app("garbage", garbage.url())
        .start()
        .await;
    for (app, status, code) in [
        ("dns", 502, "backend-unreachable"),
        ("refused", 502, "backend-unreachable"),
        ("tls", 502, "backend-unreachable"),
        ("garbage", 502, "backend-invalid"),
        ("nobody", 404, "not-published"),
    ] {
        let answer = get(world.http, &format!("{app}.test"), "/").await;
        assert_eq!(answer.status, status, "{app}: {}", answer.text());
        assert!(answer.text().contains(code), "{app}: {}", answer.text());
        assert!(!answer.text().contains("127.0.0.1") && !answer.text().contains("invalid/"), "{}", answer.text());
    }
    for cause in ["dns", "refused", "tls", "backend-invalid"] {
        let series = format!("lockgate_errors_total{{reason=\"{cause}\",side=\"backend\"}}");
        assert!(world.metric(&series).await >= 1.0, "{series}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_a_connector_says_so_at_once() {
    let world = plan().app("shop", "http://127.0.0.1:1/").connectors(0).start().await;
    let answer = get(world.http, "shop.test", "/").await;
    assert_eq!((answer.status, answer.field("retry-after")), (504, Some("5")));
    assert!(answer.text().contains("connector-unavailable"));
}
