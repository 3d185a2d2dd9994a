//! Bodies in a filter's hands (ABI, 9 and 16): modes, edits, lengths, trailers, limits.

use lockgate::config::{BodyMode, FilterSettings};

use super::guest::Guest;
use super::lab::{ALL, Ask, How, get, one_with, post};
use crate::backend::Backend;
use crate::client::h1;

pub fn both(mode: BodyMode) -> impl Fn(&mut FilterSettings) {
    move |filter| {
        filter.request_body = Some(mode);
        filter.response_body = Some(mode);
        filter.rewrites_body = true;
    }
}

/// A backend that sends back the body it got, in chunks of at most 1,000 bytes if asked for `/chunks`.
pub async fn echo() -> Backend {
    Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let trailers: String = request.trailers.iter().map(|line| format!("{line}\r\n")).collect();
            let framing = [request.field("content-length").join(","), request.field("transfer-encoding").join(",")];
            let framing = format!("x-framing: {}\r\n", framing.concat());
            if !request.head.contains(" /chunks ") {
                let head = format!("HTTP/1.1 200 OK\r\n{framing}content-length: {}\r\n\r\n", request.body.len());
                conn.send(&[head.as_bytes(), &request.body].concat()).await;
                continue;
            }
            let mut out = format!("HTTP/1.1 200 OK\r\n{framing}transfer-encoding: chunked\r\n\r\n").into_bytes();
            for chunk in request.body.chunks(1000) {
                out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
            conn.send(&out).await;
        }
    })
    .await
}

/// A callback of both bodies; `WAY` is the buffer.
pub fn body(text: &str) -> Guest {
    Guest::of("request_body", &text.replace("WAY", "#0")).on("response_body", &text.replace("WAY", "#1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_3_2_every_edit_of_a_whole_body() {
    for (name, edit, expected) in [
        ("nothing", "", "hello world"),
        ("prepend", r#"(call $set_buffer_bytes WAY #0 #0 @"<")"#, "<<hello world"),
        ("append", r#"(call $set_buffer_bytes WAY #-1 #0 @">")"#, "hello world>>"),
        ("append by length", r#"(call $set_buffer_bytes WAY (local.get $a) #5 @">")"#, "hello world>>"),
        ("replace all", r#"(call $set_buffer_bytes WAY #0 (local.get $a) @"bye")"#, "bye"),
        ("replace more than all", r#"(call $set_buffer_bytes WAY #0 #-1 @"bye")"#, "bye"),
        ("replace inside", r#"(call $set_buffer_bytes WAY #2 #3 @"LLO!!")"#, "heLLO!! world"),
        ("insert inside", r#"(call $set_buffer_bytes WAY #5 #0 @",")"#, "hello,, world"),
        ("cut inside", r#"(call $set_buffer_bytes WAY #0 #2 #0 #0)"#, "o world"),
        ("cut the end", r#"(call $set_buffer_bytes WAY #5 #-1 #0 #0)"#, "hello"),
        ("empty it", r#"(call $set_buffer_bytes WAY #0 #-1 #0 #0)"#, ""),
        (
            "twice",
            r#"(call $set_buffer_bytes WAY #0 #0 @"<") (call $set_buffer_bytes WAY #-1 #0 @">")"#,
            "<<hello world>>",
        ),
    ] {
        // Inside replacements are idempotent, insertions happen on both ways.
        let backend = echo().await;
        let lab = one_with(&body(edit), both(BodyMode::Buffer)).near().start(&backend).await;
        for path in ["/", "/chunks"] {
            let ask = Ask { path: path.to_owned(), ..post("hello world") };
            let answer = lab.ask(How::Near, &ask).await;
            let expected = if name == "replace inside" { "heLLO!!!! world" } else { expected };
            assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{name} {path}");
        }
        lab.is_quiet(2.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_9_modes_see_what_they_asked_for() {
    // Counts its callbacks and bytes, and says so in the trailing text of the response.
    let guest = Guest::new()
        .with("(global $calls (mut i32) (i32.const 0)) (global $bytes (mut i32) (i32.const 0))")
        .on("context_create", "(global.set $calls #0) (global.set $bytes #0)")
        .on(
            "request_body",
            "(global.set $calls (i32.add (global.get $calls) #1))
            (global.set $bytes (i32.add (global.get $bytes) (local.get $a)))",
        )
        .on(
            "response_headers",
            r#"(call $note (i32.gt_u (global.get $calls) #1)) (call $note (global.get $calls)) (call $note (global.get $bytes))
            (call $tell #2 @"x-notes")"#,
        );
    let backend = echo().await;
    let text = "x".repeat(200_000);
    for (mode, notes) in [
        (BodyMode::None, "0 0 0"),
        (BodyMode::Stream, "1 "),
        (BodyMode::Buffer, "0 1 200000"),
        (BodyMode::Decoded, "1 "),
    ] {
        let lab = one_with(&guest, |filter| filter.request_body = Some(mode)).start(&backend).await;
        for how in ALL {
            let answer = lab.ask(how, &post(text.clone())).await;
            assert_eq!((answer.status, answer.body.len()), (200, text.len()), "{how:?} {mode:?}");
            let told = answer.field("x-notes").unwrap();
            assert!(told.starts_with(notes), "{how:?} {mode:?} {told}");
            assert!(mode == BodyMode::None || told.ends_with(" 200000"), "{how:?} {mode:?} {told}");
            // On HTTP/2 this client says no length.
            let framing = if how == How::Link2 || mode == BodyMode::Decoded { "chunked" } else { "200000" };
            assert_eq!(answer.field("x-framing"), Some(framing), "{how:?} {mode:?}: no length was changed");
        }
        lab.is_quiet(2.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_8_6_lengths_are_the_hosts() {
    let grow = body(r#"(if (local.get $a) (then (call $set_buffer_bytes WAY #0 #0 @"<")))"#);
    // Removing the field by hand is Envoy's way.
    let by_hand = grow
        .clone()
        .on("request_headers", r#"(call $remove_header_map_value #0 @"content-length")"#)
        .on("response_headers", r#"(call $remove_header_map_value #2 @"content-length")"#);
    let backend = echo().await;
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        for (guest, rewrites) in [(&grow, true), (&by_hand, false)] {
            let lab = one_with(guest, |filter| {
                both(mode)(filter);
                filter.rewrites_body = rewrites;
            })
            .start(&backend)
            .await;
            for how in ALL {
                let answer = lab.ask(how, &post("hello")).await;
                assert_eq!((answer.status, answer.text().as_str()), (200, "<<hello"), "{how:?} {mode:?} {rewrites}");
                assert_eq!(answer.field("x-framing"), Some("chunked"), "{how:?}");
                assert_eq!(answer.field("content-length"), None, "{how:?}");
            }
        }
        // Neither: the promise is broken, and the request ends with a name for it instead of hanging.
        let request = Guest::of("request_body", r#"(if (local.get $a) (then (call $set_buffer_bytes #0 #0 #0 @"<")))"#);
        let response =
            Guest::of("response_body", r#"(if (local.get $a) (then (call $set_buffer_bytes #1 #0 #0 @"<")))"#);
        let shorter = Guest::of("response_body", "(if (local.get $a) (then (call $set_buffer_bytes #1 #0 #1 #0 #0)))");
        for (guest, is_request) in [(&request, true), (&response, false), (&shorter, false)] {
            let lab = one_with(guest, |filter| {
                both(mode)(filter);
                filter.rewrites_body = false;
            })
            .start(&backend)
            .await;
            for how in ALL {
                let answer = lab.try_ask(how, &post("hello")).await;
                if is_request && how == How::Link2 {
                    // Nobody promised a length.
                    assert_eq!(answer.unwrap().text(), "<hello", "{mode:?}");
                } else if is_request {
                    let answer = answer.unwrap_or_else(|| panic!("{how:?} {mode:?}: no answer"));
                    assert!(
                        answer.status == 503 && answer.text().contains("filter-failed"),
                        "{how:?} {}",
                        answer.text()
                    );
                } else {
                    assert!(answer.is_none(), "{how:?} {mode:?}: {answer:?}");
                }
            }
            let broken = if is_request { 2.0 } else { 3.0 };
            assert_eq!(lab.count("failures_total", "reason=\"invalid\"").await, broken, "{mode:?} {is_request}");
            lab.is_quiet(2.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_204_and_304_have_no_body_to_show() {
    let backend = Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let status = request.head.split([' ', '/']).nth(2).unwrap().to_owned();
            let length = if status == "204" { "" } else { "content-length: 5\r\n" };
            conn.send(format!("HTTP/1.1 {status} X\r\nx-empty: 1\r\n{length}\r\n").as_bytes()).await;
        }
    })
    .await;
    let guest = Guest::of("response_headers", r#"(call $note (local.get $b)) (call $tell #2 @"x-notes")"#)
        .on("response_body", "(unreachable)");
    for mode in [BodyMode::Stream, BodyMode::Buffer, BodyMode::Decoded] {
        let lab = one_with(&guest, both(mode)).start(&backend).await;
        for how in ALL {
            for (method, path, status) in [("HEAD", "/200", 200), ("GET", "/204", 204), ("GET", "/304", 304)] {
                let answer = lab.ask(how, &Ask { method, ..get(path) }).await;
                let got = (answer.status, answer.field("x-notes"), answer.body.len());
                assert_eq!(got, (status, Some("1"), 0), "{how:?} {mode:?} {path}");
                // What the length would be, nobody knows: the filter may change it.
                let told = answer.field("content-length");
                assert!(matches!(told, None | Some("0")), "{how:?} {mode:?} {method} {path}: {told:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_are_read_added_and_removed() {
    let trailers = |way: u32| {
        let map = 1 + 2 * way;
        format!(
            r#"(call $get_header_map_value #{map} @"x-t" OUT) (call $say GOT)
            (call $remove_header_map_value #{map} @"x-gone")
            (call $tell #{map} @"x-notes{way}")"#
        )
    };
    let guest = Guest::new().on("request_trailers", &trailers(0)).on("response_trailers", &trailers(1));
    let backend = echo().await;
    let request = |host: &str| {
        format!(
            "POST /chunks HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\nte: trailers\r\n\r\n\
             5\r\nhello\r\n0\r\nx-t: one\r\nx-gone: 1\r\n\r\n"
        )
    };
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let lab = one_with(&guest, both(mode)).start(&backend).await;
        for how in [How::Link, How::Near] {
            let mut client = h1(lab.world.http).await;
            client.send(&request(how.host())).await;
            let answer = client.answer("POST").await.unwrap();
            assert_eq!(answer.text(), "hello", "{how:?} {mode:?}");
            let field =
                |name: &str| answer.trailers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
            assert_eq!(
                (field("x-t"), field("x-notes0"), field("x-notes1")),
                (Some("one"), Some("one"), Some("one")),
                "{answer:?}"
            );
            assert_eq!(field("x-gone"), None, "{how:?} {mode:?}");
        }
    }
    // Added where there were none: in the last body callback (ABI, 9).
    let add = |way: u32| {
        let map = 1 + 2 * way;
        format!(r#"(if (local.get $b) (then (call $add_header_map_value #{map} @"x-new{way}" @"1")))"#)
    };
    let guest = Guest::new().on("request_body", &add(0)).on("response_body", &add(1));
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let lab = one_with(&guest, both(mode)).start(&backend).await;
        for how in ALL {
            // Where a response has trailers of its own, no body callback is the last.
            for (path, added) in [("/chunks", "x-new0"), ("/", "x-new1")] {
                let ask = Ask { path: path.into(), ..post("hello") }.field("te", "trailers");
                let answer = lab.ask(how, &ask).await;
                let names: Vec<&str> = answer.trailers.iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!((answer.text().as_str(), names), ("hello", vec![added]), "{how:?} {mode:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_overflows_has_its_own_status() {
    let backend = echo().await;
    let small = |way: usize| {
        move |filter: &mut FilterSettings| {
            both(BodyMode::Buffer)(filter);
            if way == 0 {
                filter.limits.request_buffer = 10_000;
            } else {
                filter.limits.response_buffer = 10_000;
            }
        }
    };
    // Paused with every chunk, and collected by the host: the same limit.
    let pause = body("(if (i32.eqz (local.get $b)) (then (return #1)))");
    for (way, status, reason) in [(0, 413, "content-too-large"), (1, 502, "response-too-large")] {
        for mode in [BodyMode::Buffer, BodyMode::Stream] {
            let lab = one_with(&pause, |filter| {
                small(way)(filter);
                filter.request_body = Some(mode);
                filter.response_body = Some(mode);
                filter.headers_pause = lockgate::config::HeadersPause::Hold;
            })
            .start(&backend)
            .await;
            for how in ALL {
                let answer = lab.ask(how, &post("x".repeat(9_000))).await;
                assert_eq!((answer.status, answer.body.len()), (200, 9_000), "{how:?} {mode:?}");
                // Its head has gone out when it is not held, and then the response can only be cut.
                let answer = lab.try_ask(how, &post("x".repeat(100_000))).await;
                match answer {
                    Some(answer) => {
                        assert_eq!(answer.status, status, "{how:?} {mode:?}: {}", answer.text());
                        assert!(answer.text().contains(reason), "{how:?} {mode:?}: {}", answer.text());
                    }
                    None => assert_eq!(way, 1, "{how:?} {mode:?}"),
                }
            }
            assert_eq!(lab.gauge("buffer_overflows_total").await, 3.0);
            lab.is_quiet(2.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_cannot_grow_a_body_past_its_buffer() {
    // Appends 64 KiB until it is refused, in the two ways there are to say "at the end".
    for (start, size) in [("#-1", "#0"), ("#1000000", "#1000000")] {
        let guest = Guest::of(
            "response_body",
            &format!(
                "(loop $again (call $set_buffer_bytes #1 {start} {size} #0 #65535)
                (br_if $again (i32.eqz (global.get $st))))"
            ),
        );
        let backend = echo().await;
        let lab = one_with(&guest, |filter| {
            both(BodyMode::Buffer)(filter);
            filter.limits.body_deadline = std::time::Duration::from_secs(20);
            filter.limits.response_buffer = 1 << 20;
        })
        .near()
        .start(&backend)
        .await;
        let answer = lab.ask(How::Near, &post("hello")).await;
        assert!(answer.body.len() <= 1 << 20, "{} bytes with {start} {size}", answer.body.len());
    }
}
