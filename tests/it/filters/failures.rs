//! Filters that fail (ABI, 17): what it costs, and what it does not.

use lockgate::config::{BodyMode, Isolation};

use super::guest::Guest;
use super::lab::{ALL, How, Lab, chain, get, one_with, post, seen};
use crate::backend::Backend;
use crate::load::Load;

/// Ways to die, with the reason that is counted.
const DEATHS: [(&str, &str); 4] = [
    ("(unreachable)", "trap"),
    ("(loop $for_ever (br $for_ever))", "timeout"),
    ("(call $deeper)", "trap"),
    ("(loop $more (br_if $more (i32.ne (memory.grow #16) #-1))) (unreachable)", "memory"),
];

/// `death` in `callback`, for requests of `/die`.
fn mortal(callback: &str, death: &str) -> Guest {
    let guarded = format!("(if (global.get $doomed) (then (global.set $doomed #0) {death}))");
    let doom = r#"(call $get_header_map_value #0 @":path" OUT)
        (if (i32.eq (i32.load8_u (i32.add (i32.load #16) #1)) #100) (then (global.set $doomed #1)))"#;
    let guest = Guest::new()
        .with("(global $doomed (mut i32) (i32.const 0)) (func $deeper (call $deeper) (call $deeper))\n")
        .with("(func $clear (global.set $doomed (i32.const 0)))\n");
    match callback {
        "context_create" => guest.on("context_create", &format!("(if (local.get $a) (then {doom} {guarded}))")),
        "request_headers" => guest.on("request_headers", &format!("{doom} {guarded}")),
        callback => guest.on("request_headers", doom).on(callback, &guarded),
    }
}

async fn trailing() -> Backend {
    Backend::serve(|mut conn, _| async move {
        while conn.request().await.is_some() {
            conn.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n").await;
        }
    })
    .await
}

fn all_bodies(filter: &mut lockgate::config::FilterSettings) {
    filter.request_body = Some(BodyMode::Stream);
    filter.response_body = Some(BodyMode::Stream);
}

async fn die(lab: &Lab, how: How) -> Option<crate::client::Answer> {
    let ask = super::lab::Ask { path: "/die".into(), ..post("hello") };
    if how == How::Link2 {
        return lab.try_ask(how, &ask).await;
    }
    // Chunked with trailers, so that every callback comes.
    let mut client = crate::client::h1(lab.world.http).await;
    let host = how.host();
    client
        .send(&format!(
            "POST /die HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n"
        ))
        .await;
    client.answer("POST").await
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_17_a_death_costs_one_request_wherever_it_happens() {
    let backend = trailing().await;
    for callback in [
        "context_create",
        "request_headers",
        "request_body",
        "request_trailers",
        "response_headers",
        "response_body",
        "response_trailers",
        "log",
        "done",
        "delete",
    ] {
        for (death, reason) in DEATHS {
            if reason != "trap" && !matches!(callback, "request_headers" | "response_body" | "log") {
                continue;
            }
            let case = format!("{callback} {death}");
            let lab = one_with(&mortal(callback, death), |filter| {
                all_bodies(filter);
                filter.limits.memory = 4 << 20;
            })
            .near()
            .start(&backend)
            .await;
            for round in 1..=2 {
                let answer = die(&lab, How::Near).await;
                match callback {
                    "log" | "done" | "delete" => assert_eq!(answer.unwrap().status, 200, "{case}"),
                    "response_body" | "response_trailers" => assert!(answer.is_none(), "{case}: {answer:?}"),
                    _ => {
                        let answer = answer.unwrap_or_else(|| panic!("{case}: no answer"));
                        assert!(answer.status == 503 && answer.text().contains("filter-failed"), "{case}: {answer:?}");
                    }
                }
                let next = lab.near("/next").await;
                assert_eq!((next.status, next.text().as_str()), (200, "ok"), "{case}: the next request");
                let counted = lab.count("failures_total", &format!("reason=\"{reason}\"")).await;
                assert_eq!(counted, f64::from(round), "{case}");
            }
            lab.is_quiet(2.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_fails_open_leaves_the_request_as_it_was() {
    // Everything it can do before it dies.
    let request = r#"(call $replace_header_map_value #0 @":path" @"/changed")
        (call $replace_header_map_value #0 @":method" @"DELETE")
        (call $replace_header_map_value #0 @":authority" @"other.test")
        (call $add_header_map_value #0 @"x-new" @"1")
        (call $remove_header_map_value #0 @"x-old")
        (call $send_local_response #418 #0 #0 #0 #0 #0 #0 #-1)
        (unreachable)"#;
    let response = r#"(call $replace_header_map_value #2 @":status" @"418")
        (call $add_header_map_value #2 @"x-new" @"1")
        (call $send_local_response #418 #0 #0 #0 #0 #0 #0 #-1)
        (unreachable)"#;
    let body = r#"(call $set_buffer_bytes #0 #0 #-1 @"changed") (unreachable)"#;
    let trailers = r#"(call $add_header_map_value #1 @"x-new" @"1") (unreachable)"#;
    let backend = Backend::mirror().await;
    for (callback, text) in [
        ("context_create", "(if (local.get $a) (then (unreachable)))"),
        ("request_headers", request),
        ("request_body", body),
        ("response_headers", response),
        ("request_trailers", trailers),
    ] {
        for mode in [BodyMode::Stream, BodyMode::Buffer] {
            let lab = one_with(&Guest::of(callback, text), |filter| {
                filter.request_body = Some(mode);
                filter.fail_open = true;
            })
            .start(&backend)
            .await;
            for how in ALL {
                let answer = lab.ask(how, &post("hello").field("x-old", "1")).await;
                let case = format!("{callback} {how:?} {mode:?}: {} {}", answer.status, answer.text());
                assert_eq!(answer.status, 200, "{case}");
                assert!(answer.text().starts_with("POST / HTTP/1.1"), "{case}");
                assert!(answer.text().ends_with("\nhello") && answer.text().contains("x-old: 1"), "{case}");
                assert!(!answer.text().contains("x-new") && !answer.text().contains("other.test"), "{case}");
                assert_eq!(answer.field("x-new"), None, "{case}");
            }
            // The spare; the one that served is dead, unless nothing made it die.
            lab.is_quiet(if callback == "request_trailers" { 2.0 } else { 1.0 }).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_allocator_costs_no_more_than_a_trap() {
    let backend = Backend::mirror().await;
    let read =
        r#"(call $get_header_map_value #0 @"x-name" OUT) (call $note (global.get $st)) (call $tell #0 @"x-notes")"#;
    for (allocator, status, notes) in [
        ("#0", 200, "6"),
        ("#-8", 200, "6"),
        ("#262143", 200, "6"),
        ("(unreachable)", 503, ""),
        ("(loop $l (br $l)) #0", 503, ""),
        ("(drop (memory.grow #1)) #262144", 200, "0"),
        (r#"(call $get_header_map_value #0 @"x-name" OUT) #8"#, 503, ""),
        (r#"(call $log #2 @"from the allocator") #131072"#, 200, "0"),
    ] {
        let guest = Guest::of("request_headers", read).allocator(allocator);
        let lab = one_with(&guest, |_| {}).near().start(&backend).await;
        for _ in 0..2 {
            let answer = lab.ask(How::Near, &get("/").field("x-name", "value")).await;
            assert_eq!(answer.status, status, "{allocator}: {}", answer.text());
            if status == 200 {
                assert_eq!(seen(&answer, "x-notes"), [notes], "{allocator}: {}", answer.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_only_those_that_die_fail() {
    // Every 50th request of an instance dies.
    let guest = Guest::new().with("(global $count (mut i32) (i32.const 0))\n").on(
        "request_headers",
        "(global.set $count (i32.add (global.get $count) #1))
        (if (i32.eq (global.get $count) #50) (then (unreachable)))",
    );
    let backend = Backend::mirror().await;
    let lab = one_with(&guest, |_| {}).near().start(&backend).await;
    let load = Load::start(lab.world.http, 8, "GET / HTTP/1.1\r\nhost: near.test\r\n\r\n");
    load.goes_on(1000).await;
    let tally = load.finish().await;
    let traps = lab.count("failures_total", "reason=\"trap\"").await;
    let failed = tally.answers.get(&503).copied().unwrap_or_default();
    assert!(tally.lost == 0 && traps >= 15.0, "{tally:?}, {traps} traps");
    assert!((failed as f64 - traps).abs() < 0.5, "{failed} failures for {traps} traps: {tally:?}");
    lab.is_quiet(2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_stream_keeps_nothing() {
    let guest = Guest::new().with("(global $count (mut i32) (i32.const 0))\n").on(
        "request_headers",
        r#"(global.set $count (i32.add (global.get $count) #1)) (call $note (global.get $count)) (call $tell #0 @"x-notes")"#,
    );
    let backend = Backend::mirror().await;
    for isolation in [Isolation::Stream, Isolation::Worker] {
        let lab = one_with(&guest, |filter| filter.isolation = isolation).start(&backend).await;
        for (number, how) in [How::Near, How::Near, How::Link, How::Link2].into_iter().enumerate() {
            let answer = lab.ask(how, &get("/")).await;
            let count = if isolation == Isolation::Stream { 1 } else { number + 1 };
            assert_eq!(seen(&answer, "x-notes"), [count.to_string()], "{how:?} {isolation:?}");
        }
        // One that serves and one spare; of the isolated ones the spare alone.
        lab.is_quiet(if isolation == Isolation::Stream { 1.0 } else { 2.0 }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_no_longer_starts_rests_and_comes_back() {
    // The first three instances start: the canary, the first and its spare. Later ones do not, until
    // somebody clears the count in the shared data by asking for /heal.
    let guest = Guest::of(
        "configure",
        r#"(call $get_shared_data @"starts" OUT #24)
        (if (i32.eqz (global.get $st)) (then (i32.store #28 (i32.load (i32.load #16)))))
        (i32.store #28 (i32.add (i32.load #28) #1))
        (call $set_shared_data @"starts" #28 #4 #0)
        (if (i32.gt_u (i32.load #28) #3) (then (return #0)))"#,
    )
    .on("request_headers", "(unreachable)");
    let backend = Backend::mirror().await;
    for fail_open in [false, true] {
        let lab = one_with(&guest, |filter| {
            filter.capabilities.shared_data = true;
            filter.fail_open = fail_open;
        })
        .near()
        .start(&backend)
        .await;
        for _ in 0..6 {
            let answer = lab.near("/").await;
            assert_eq!(answer.status, if fail_open { 200 } else { 503 }, "{}", answer.text());
        }
        let resting = lab.count("failures_total", "reason=\"back-off\"").await;
        assert!(resting >= 1.0, "{resting}");
        // Every start that failed is gone again.
        lab.is_quiet(0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_in_a_tick_is_no_request_s() {
    let guest = Guest::of("configure", "(call $set_tick_period_milliseconds #10)").on("tick", "(unreachable)");
    let backend = Backend::mirror().await;
    let lab = one_with(&guest, |_| {}).near().start(&backend).await;
    for _ in 0..20 {
        let answer = lab.near("/").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await; // sleep: ticks come between requests
    }
    assert!(lab.count("failures_total", "reason=\"trap\"").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_filter_s_death_leaves_its_neighbours_alone() {
    let mark = Guest::of("request_headers", r#"(call $add_header_map_value #0 @"x-way" @"1")"#)
        .on("log", r#"(call $log #2 @"logged")"#);
    let backend = Backend::mirror().await;
    let lab = chain()
        .filter("first", &mark, |_| {})
        .filter("one", &mortal("request_headers", "(unreachable)"), |filter| filter.fail_open = true)
        .filter("last", &mark, |_| {})
        .start(&backend)
        .await;
    for how in ALL {
        let answer = lab.ask(how, &get("/die")).await;
        assert_eq!(answer.text().matches("x-way: 1").count(), 2, "{how:?} {}", answer.text());
    }
}
