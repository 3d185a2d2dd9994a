//! WebSockets and filters: the handshake is a request like any, the bytes are its bodies for those who ask.

use lockgate::config::BodyMode;

use super::guest::Guest;
use super::lab::{Lab, one_with};
use crate::backend::Backend;
use crate::websocket::{Socket, WAYS, accepting};

async fn echo() -> Backend {
    Backend::serve(|mut conn, _| async move {
        let head = conn.head().await.unwrap();
        conn.send(accepting(&head, "").as_bytes()).await;
        loop {
            let bytes = conn.bytes(4).await;
            if bytes.is_empty() {
                return;
            }
            conn.send(&bytes).await;
        }
    })
    .await
}

async fn exchange(lab: &Lab, expected: &[u8]) {
    for (way, host) in WAYS {
        let (answer, mut socket) = Socket::open(&lab.world, way, host, "/", &[]).await;
        assert!(matches!(answer.status, 101 | 200), "{way:?} {host}: {answer:?}");
        assert_eq!(answer.field("x-seen"), Some("101"), "{way:?} {host}");
        for _ in 0..3 {
            socket.send(b"ping").await;
            assert_eq!(socket.bytes(4).await.as_deref(), Some(expected), "{way:?} {host}");
        }
    }
    lab.is_quiet(2.0).await;
}

fn guest() -> Guest {
    Guest::of(
        "response_headers",
        r#"(call $get_header_map_value #2 @":status" OUT) (call $say GOT)
        (call $replace_header_map_value #2 @":status" @"200") (call $tell #2 @"x-seen")"#,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn data_passes_untouched_where_nobody_asked_for_it() {
    let backend = echo().await;
    for mode in [BodyMode::None, BodyMode::Buffer, BodyMode::Decoded] {
        let guest = guest().on("request_body", "(unreachable)").on("response_body", "(unreachable)");
        let lab = one_with(&guest, |filter| {
            filter.request_body = Some(mode);
            filter.response_body = Some(mode);
        })
        .start(&backend)
        .await;
        exchange(&lab, b"ping").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_goes_through_a_stream_filter() {
    let edit = |buffer: u32, with: &str| {
        format!("(if (local.get $a) (then (call $set_buffer_bytes #{buffer} #0 #1 @\"{with}\")))")
    };
    let guest = guest().on("request_body", &edit(0, "r")).on("response_body", &edit(1, "s"));
    let backend = echo().await;
    let lab = one_with(&guest, |filter| {
        filter.request_body = Some(BodyMode::Stream);
        filter.response_body = Some(BodyMode::Stream);
    })
    .start(&backend)
    .await;
    exchange(&lab, b"sing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_refuses_a_handshake() {
    let backend = echo().await;
    let reply = "(call $send_local_response #403 #0 #0 @\"no\" #0 #0 #-1)";
    for phase in ["request_headers", "response_headers"] {
        let lab = one_with(&Guest::of(phase, reply), |_| {}).start(&backend).await;
        for (way, host) in WAYS {
            let (answer, _) = Socket::open(&lab.world, way, host, "/", &[]).await;
            assert_eq!(answer.status, 403, "{phase} {way:?} {host}");
        }
        lab.is_quiet(2.0).await;
    }
}
