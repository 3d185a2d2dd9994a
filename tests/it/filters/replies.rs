//! Answers that filters give themselves (ABI, 10), from every phase, and streams that they close.

use std::time::Duration;

use lockgate::config::{BodyMode, FilterSettings};

use super::guest::Guest;
use super::lab::{ALL, Ask, How, chain, get, one, one_with, post, seen, upstream};
use crate::backend::Backend;
use crate::world::until;

/// Says 403 and `no`.
const REPLY: &str =
    r#"(call $send_local_response #403 @"not here" @"no" @"\01\00\00\00\03\00\00\00\01\00\00\00x-v\001\00" #-1)"#;

fn bodies(filter: &mut FilterSettings) {
    filter.request_body = Some(BodyMode::Stream);
    filter.response_body = Some(BodyMode::Stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_10_a_reply_from_every_phase() {
    let (backend, journal) = Backend::recording().await;
    for (callback, reaches) in
        [("request_headers", false), ("request_body", true), ("response_headers", true), ("context_create", false)]
    {
        let text =
            if callback == "context_create" { format!("(if (local.get $a) (then {REPLY}))") } else { REPLY.into() };
        let lab = one_with(&Guest::of(callback, &text), bodies).start(&backend).await;
        for how in ALL {
            for method in ["POST", "HEAD"] {
                if method == "HEAD" && callback == "request_body" {
                    continue;
                }
                let body = if method == "POST" { "hello".into() } else { Vec::new() };
                let answer = lab.ask(how, &Ask { method, ..post(body) }).await;
                let case = format!("{callback} {how:?} {method}: {answer:?}");
                assert_eq!((answer.status, answer.field("x-v")), (403, Some("1")), "{case}");
                assert_eq!(answer.field("content-type"), Some("text/plain"), "{case}");
                let text = if method == "HEAD" { "" } else { "no" };
                assert_eq!(answer.text(), text, "{case}");
                assert!(answer.field("content-length").is_none_or(|length| length == "2"), "{case}");
            }
        }
        assert_eq!(journal.heads().is_empty(), !reaches, "{callback}");
        journal.take();
        assert!(lab.count("local_replies_total", "class=\"4xx\"").await >= 3.0);
        lab.is_quiet(2.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_passes_the_filters_before_it_and_no_others() {
    let mark = |name: &str| {
        Guest::of("response_headers", &format!("(call $add_header_map_value #2 @\"x-way\" @\"{name}\")"))
            .on("response_body", &format!("(if (local.get $b) (then (call $set_buffer_bytes #1 #-1 #0 @\"{name}\")))"))
    };
    let rewriting = |filter: &mut FilterSettings| {
        bodies(filter);
        filter.rewrites_body = true;
    };
    let backend = Backend::mirror().await;
    for (callback, way) in [("request_headers", "a"), ("response_headers", "a")] {
        // Its own callbacks of the response do not come for a reply from there, and do for one of the request.
        let middle = Guest::of(callback, REPLY);
        let lab = chain()
            .filter("a", &mark("a"), rewriting)
            .filter("one", &middle, rewriting)
            .filter("z", &mark("z"), rewriting)
            .start(&backend)
            .await;
        for how in ALL {
            let answer = lab.ask(how, &get("/")).await;
            assert_eq!((answer.status, answer.text().as_str()), (403, "noa"), "{callback} {how:?}");
            let ways: String =
                answer.fields.iter().filter(|(name, _)| name == "x-way").map(|(_, value)| value.as_str()).collect();
            assert_eq!(ways, way, "{callback} {how:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_reply_and_a_late_one_are_ignored() {
    let backend = Backend::mirror().await;
    let twice =
        Guest::of("request_headers", &format!("{REPLY} {}", REPLY.replace("#403", "#404").replace("no\"", "other\"")));
    let late = Guest::of("response_body", &format!("{REPLY} (return #0)")).on("log", REPLY);
    let lab = one(&twice).start(&backend).await;
    for how in ALL {
        assert_eq!((lab.ask(how, &get("/")).await.status, lab.ask(how, &get("/")).await.text()), (403, "no".into()));
    }
    let lab = one_with(&late, bodies).start(&backend).await;
    for how in ALL {
        let answer = lab.ask(how, &post("hello")).await;
        assert_eq!(answer.status, 200, "{how:?}");
        assert!(answer.text().starts_with("POST / HTTP/1.1"), "{how:?}");
    }
    lab.is_quiet(2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_replies_are_refused_with_a_status() {
    let tries = [("99", "2"), ("100", "2"), ("199", "2"), ("600", "2"), ("65736", "2")];
    let text: String = tries
        .iter()
        .map(|(status, _)| {
            format!("(call $send_local_response #{status} #0 #0 #0 #0 #0 #0 #-1) (call $note (global.get $st))")
        })
        .collect();
    let guest = Guest::of(
        "request_headers",
        &format!(
            r#"{text}
            (call $send_local_response #200 #0 #0 #-8 #100 #0 #0 #-1) (call $note (global.get $st))
            (call $send_local_response #200 #0 #0 #0 #0 @"garbage" #-1) (call $note (global.get $st))
            (call $tell #0 @"x-notes")"#
        ),
    );
    let backend = Backend::mirror().await;
    let lab = one(&guest).near().start(&backend).await;
    assert_eq!(seen(&lab.near("/").await, "x-notes"), ["2 2 2 2 2 6 2"]);
    let denied = one_with(&Guest::of("request_headers", REPLY), |filter| filter.capabilities.local_response = false);
    let lab = denied.near().start(&backend).await;
    assert_eq!(lab.near("/").await.status, 200);
    assert_eq!(lab.count("denied_total", "capability=\"local_response\"").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_framed_by_the_host() {
    // One pair, connection: close, which HTTP/2 must not see; and trailing bytes of its own length.
    let reply = r#"(call $send_local_response #403 #0 #0 @"no" @"\01\00\00\00\0a\00\00\00\05\00\00\00connection\00close\00" #-1)"#;
    let backend = Backend::mirror().await;
    for callback in ["request_headers", "response_headers"] {
        let lab = one_with(&Guest::of(callback, reply), bodies).start(&backend).await;
        for how in ALL {
            let answer = lab.ask(how, &get("/")).await;
            assert_eq!((answer.status, answer.text().as_str()), (403, "no"), "{callback} {how:?}");
            assert_eq!(
                (answer.field("connection"), answer.field("content-length")),
                (None, Some("2")),
                "{callback} {how:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_answered_as_grpc() {
    let backend = Backend::mirror().await;
    let told = REPLY.replace("#-1)", "#7)");
    for (callback, text, code) in [
        ("request_headers", REPLY, "7"),
        ("response_headers", REPLY, "7"),
        ("request_headers", &REPLY.replace("#403", "#503"), "14"),
        ("request_headers", &told.replace("#403", "#500"), "7"),
    ] {
        let lab = one(&Guest::of(callback, text)).start(&backend).await;
        for how in ALL {
            let answer = lab.ask(how, &get("/").field("content-type", "application/grpc+proto")).await;
            let case = format!("{callback} {how:?} {answer:?}");
            assert_eq!((answer.status, answer.field("grpc-status")), (200, Some(code)), "{case}");
            assert_eq!(answer.field("content-type"), Some("application/grpc"), "{case}");
            assert_eq!((answer.field("grpc-message"), answer.text().as_str()), (Some("no"), ""), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_3_5_a_stream_is_closed_from_every_phase() {
    let backend = Backend::mirror().await;
    for callback in ["request_headers", "request_body", "response_headers", "response_body"] {
        for stream in ["#0", "#1"] {
            let guest = Guest::of(callback, &format!("(call $close_stream {stream})"));
            let lab = one_with(&guest, bodies).start(&backend).await;
            for how in ALL {
                match lab.try_ask(how, &post("hello")).await {
                    Some(answer) => {
                        assert_eq!(answer.status, 503, "{callback} {how:?}: {}", answer.text());
                        assert!(answer.text().contains("filter-closed"), "{callback} {how:?}: {}", answer.text());
                    }
                    // The head has gone out: what is left is to break off.
                    None => assert_eq!(callback, "response_body", "{how:?}"),
                }
            }
            lab.is_quiet(2.0).await;
        }
    }
}

/// Remembers the stream and acts on it from elsewhere.
fn from_elsewhere(phase: &str, callback: &str, act: &str) -> Guest {
    let call = r#"(call $http_call @"aux"
        @"\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\03\00\00\00:method\00GET\00:path\00/\00:authority\00aux\00"
        #0 #0 #0 #0 #5000 #24)"#;
    let begin = if callback == "tick" { "(call $set_tick_period_milliseconds #20)" } else { call };
    Guest::new()
        .with("(global $who (mut i32) (i32.const 0))\n")
        .on(phase, &format!("(global.set $who (local.get $id)) {begin} (return #1)"))
        .on(
            callback,
            &format!(
                "(if (global.get $who) (then (call $set_effective_context (global.get $who))
                {act} (global.set $who #0)))"
            ),
        )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_and_a_call_s_response_answer_continue_and_close() {
    let backend = Backend::mirror().await;
    for callback in ["tick", "http_call_response"] {
        for (phase, stream) in
            [("request_headers", 0), ("request_body", 0), ("response_headers", 1), ("response_body", 1)]
        {
            let go_on = format!("(call $continue_stream #{stream})");
            for (act, status) in [(REPLY, 403), (&*go_on, 200), ("(call $close_stream #0)", 503)] {
                if phase == "response_body" && status == 403 {
                    // Committed: a reply comes too late, and there would be nothing to end the pause.
                    continue;
                }
                let guest = from_elsewhere(phase, callback, act);
                let lab = one_with(&guest, |filter| {
                    bodies(filter);
                    filter.upstreams = [("aux".to_owned(), upstream(&backend))].into();
                })
                .near()
                .start(&backend)
                .await;
                let case = format!("{callback} {phase} {act:.30}");
                match lab.try_ask(How::Near, &post("hello")).await {
                    Some(answer) => assert_eq!(answer.status, status, "{case}: {}", answer.text()),
                    None => assert!(phase == "response_body" && status == 503, "{case}"),
                }
                lab.is_quiet(2.0).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_edited_while_it_is_paused() {
    // Between callbacks the bytes are there still, and a length that was promised is kept or the stream ends.
    let backend = Backend::mirror().await;
    for rewrites in [true, false] {
        for edit in [r#"@"longer than it was""#, r#"@"x""#] {
            let act = format!("(call $set_buffer_bytes #1 #0 #-1 {edit}) (call $continue_stream #1)");
            let guest = from_elsewhere("response_body", "tick", &act);
            let lab = one_with(&guest, |filter| {
                bodies(filter);
                filter.response_body = Some(BodyMode::Buffer);
                filter.rewrites_body = rewrites;
            })
            .start(&backend)
            .await;
            for how in ALL {
                let answer = lab.try_ask(how, &get("/")).await;
                match answer {
                    Some(answer) => {
                        assert!(rewrites, "{how:?} {edit}: {answer:?}");
                        assert_eq!(format!("@\"{}\"", answer.text()), edit, "{how:?}");
                    }
                    None => assert!(!rewrites, "{how:?} {edit}"),
                }
            }
            lab.is_quiet(2.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_while_the_backend_thinks() {
    // Continues at once, and answers from a tick while the relay waits.
    let (gate, seen) = (crate::gate::Gate::closed().await, ());
    let guest = Guest::new()
        .with("(global $who (mut i32) (i32.const 0))\n")
        .on("request_headers", "(global.set $who (local.get $id)) (call $set_tick_period_milliseconds #50)")
        .on(
            "tick",
            &format!(
                "(if (global.get $who) (then (call $set_effective_context (global.get $who)) {REPLY} (global.set $who #0)))"
            ),
        );
    let () = seen;
    let backend = Backend::mirror().await;
    let lab = one(&guest).start(&backend).await;
    let mut config = lab.world.config.clone();
    for app in &mut config.apps {
        app.internal_url = lockgate::config::PublishedUrl::parse(&gate.url()).unwrap();
    }
    lab.world.edge.reload(config).unwrap();
    for how in ALL {
        let answer = tokio::time::timeout(Duration::from_secs(10), lab.ask(how, &get("/hold"))).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"), "{how:?}");
    }
    until("nothing is left", async || lab.gauge("paused_streams").await == 0.0).await;
}
