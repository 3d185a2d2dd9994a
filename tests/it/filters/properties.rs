//! What a filter may know of the connection that a request came by (ABI, 14); the other properties are in
//! `commons`.

use super::guest::Guest;
use super::lab::{How, get, one, seen};
use crate::backend::Backend;
use crate::client::h1;

/// Status and value of three properties, the first a number of 8 bytes of which one is told.
const CONNECTION: &str = r#"
    (call $get_property @"connection\00id" OUT) (call $note (global.get $st)) (call $note (i32.load #20))
    (call $note (i32.load8_u (i32.load #16))) (call $say @",")
    (call $get_property @"destination\00address" OUT) (call $note (global.get $st)) (call $say GOT) (call $say @",")
    (call $get_property @"connection\00tls_version" OUT) (call $note (global.get $st))
    (if (i32.eqz (global.get $st)) (then (call $say GOT)))
    (call $tell #0 @"x-notes")"#;

/// The connection's number, our end of it, and what its handshake agreed on.
fn told(notes: &str) -> (String, String, String) {
    let parts: Vec<&str> = notes.split(',').collect();
    let [id, address, tls] = parts[..] else { panic!("{notes}") };
    let id = id.strip_prefix("0 8 ").unwrap_or_else(|| panic!("{notes}: no number of 8 bytes"));
    (id.to_owned(), address.to_owned(), tls.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_14_properties_of_a_connection() {
    let backend = Backend::mirror().await;
    let lab = one(&Guest::of("request_headers", CONNECTION)).start(&backend).await;
    let (http, https) = (format!("0 {}", lab.world.http), format!("0 {}", lab.world.https));
    let mut ids = Vec::new();
    for (how, address, tls) in [(How::Near, &http, "1 "), (How::Link, &http, "1 "), (How::Link2, &https, "0 TLSv1.3")] {
        let notes = seen(&lab.ask(how, &get("/")).await, "x-notes").concat();
        let (id, at, version) = told(&notes);
        assert_eq!((&at, version.trim_end()), (address, tls.trim_end()), "{how:?}");
        ids.push(id);
    }
    let mut kept = h1(lab.world.http).await;
    for _ in 0..2 {
        kept.send("GET / HTTP/1.1\r\nhost: near.test\r\n\r\n").await;
        ids.push(told(&seen(&kept.answer("GET").await.unwrap(), "x-notes").concat()).0);
    }
    assert_eq!(ids[3], ids[4], "one connection, one number");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
}
