//! What filters share and what they know: timers, shared data, queues, metrics, properties, WASI.

use std::time::Duration;

use lockgate::config::FilterLogLevel;

use super::guest::Guest;
use super::lab::{ALL, How, chain, get, one, one_with, post, seen};
use crate::backend::Backend;
use crate::world::until;

#[tokio::test(flavor = "multi_thread")]
async fn abi_12_shared_data_is_one_for_all_workers_and_reloads() {
    // Adds one under compare-and-swap until it succeeds, and tells the sum it stored.
    let text = r#"
        (loop $again
          (call $get_shared_data @"sum" OUT #24)
          (i32.store #28 (if (result i32) (global.get $st) (then #0) (else (i32.load (i32.load #16)))))
          (i32.store #28 (i32.add (i32.load #28) #1))
          (call $set_shared_data @"sum" #28 #4 (i32.load #24))
          (br_if $again (i32.eq (global.get $st) #8)))
        (call $note (i32.load #28)) (call $tell #0 @"x-notes")"#;
    let guest = Guest::of("request_headers", text);
    let backend = Backend::mirror().await;
    let shared = |filter: &mut lockgate::config::FilterSettings| filter.capabilities.shared_data = true;
    let lab = std::sync::Arc::new(one_with(&guest, shared).workers(2).near().start(&backend).await);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let lab = lab.clone();
        all.spawn(async move {
            let mut sums = Vec::new();
            for _ in 0..10 {
                sums.push(seen(&lab.near("/").await, "x-notes")[0].parse::<u32>().unwrap());
            }
            sums
        });
    }
    let mut sums: Vec<u32> = all.join_all().await.concat();
    sums.sort_unstable();
    assert_eq!(sums, (1..=80).collect::<Vec<_>>(), "every sum once");
    let next = Guest::of("request_headers", text).on("log", "");
    lab.reload(&next.wasm(), shared).unwrap();
    assert_eq!(seen(&lab.near("/").await, "x-notes"), ["81"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_12_queues_tell_their_consumer() {
    // Whatever is asked is put into a queue; whoever is told takes it out and counts it as a metric.
    let guest = Guest::new()
        .with("(global $queue (mut i32) (i32.const 0)) (global $metric (mut i32) (i32.const 0))\n")
        .on(
            "configure",
            r#"(call $register_shared_queue @"work" #24) (global.set $queue (i32.load #24))
            (call $define_metric #0 @"taken" #24) (global.set $metric (i32.load #24))"#,
        )
        .on(
            "request_headers",
            r#"(call $resolve_shared_queue #0 #0 @"work" #24) (call $note (global.get $st))
            (call $resolve_shared_queue #0 #0 @"none" #28) (call $note (global.get $st))
            (call $enqueue_shared_queue (i32.load #24) @"item") (call $note (global.get $st))
            (call $enqueue_shared_queue #99999 @"item") (call $note (global.get $st))
            (call $dequeue_shared_queue #99999 OUT) (call $note (global.get $st))
            (call $tell #0 @"x-notes")"#,
        )
        .on(
            "queue_ready",
            "(loop $more (call $dequeue_shared_queue (local.get $a) OUT)
            (if (i32.eqz (global.get $st)) (then
              (call $increment_metric (global.get $metric) (i64.const 1)) (br $more))))",
        );
    let backend = Backend::mirror().await;
    let lab = one_with(&guest, |filter| filter.capabilities.queues = true).workers(2).near().start(&backend).await;
    for _ in 0..20 {
        assert_eq!(seen(&lab.near("/").await, "x-notes"), ["0 1 0 1 1"]);
    }
    until("every item is taken", async || {
        lab.world.metric("lockgate_filter_custom_taken_total{filter=\"one\"}").await >= 20.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_13_metrics_of_filters_are_shown() {
    let guest = Guest::new().on(
        "request_headers",
        r#"(call $define_metric #0 @"hits" #24) (call $define_metric #1 @"level" #28) (call $define_metric #2 @"time" #40)
        (call $define_metric #3 @"odd" #44) (call $note (global.get $st))
        (call $increment_metric (i32.load #24) (i64.const 2))
        (call $increment_metric (i32.load #24) (i64.const -1)) (call $note (global.get $st))
        (call $record_metric (i32.load #28) (i64.const 7)) (call $increment_metric (i32.load #28) (i64.const -2))
        (call $record_metric (i32.load #40) (i64.const 3)) (call $increment_metric (i32.load #40) (i64.const 1))
        (call $note (global.get $st))
        (call $get_metric (i32.load #28) #48) (call $note (i32.load #48))
        (call $get_metric (i32.load #40) #48) (call $note (global.get $st))
        (call $get_metric #4000000 #48) (call $note (global.get $st))
        (call $record_metric #4000000 (i64.const 1)) (call $note (global.get $st))
        (call $tell #0 @"x-notes")"#,
    );
    let backend = Backend::mirror().await;
    let lab = one(&guest).near().start(&backend).await;
    assert_eq!(seen(&lab.near("/").await, "x-notes"), ["2 2 2 5 2 1 1"]);
    for (series, value) in [("hits_total", 2.0), ("level", 5.0), ("time_count", 1.0), ("time_sum", 3.0)] {
        let series = format!("lockgate_filter_custom_{series}{{filter=\"one\"}}");
        assert!((lab.world.metric(&series).await - value).abs() < 0.01, "{series}");
    }
    // Over the limit a filter gets ids all the same, because SDKs trap on anything else.
    let many = Guest::of(
        "request_headers",
        "(local $n i32) (loop $l (i32.store #32 (local.get $n)) (i32.store8 #33 #65)
        (call $define_metric #0 #32 #4 #24) (if (global.get $st) (then (unreachable)))
        (call $increment_metric (i32.load #24) (i64.const 1))
        (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) #1)) #3000)))",
    );
    lab.reload(&many.wasm(), |filter| {
        filter.limits.metrics = 10;
        filter.limits.header_deadline = Duration::from_secs(5);
    })
    .unwrap();
    assert_eq!(lab.near("/").await.status, 200);
    let shown = lab.world.metrics.render().await;
    assert!(shown.lines().filter(|line| line.starts_with("lockgate_filter_custom_")).count() < 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_14_properties() {
    let known = [
        "plugin_name",
        "plugin_root_id",
        "plugin_vm_id",
        "request\\00path",
        "request\\00url_path",
        "request\\00query",
        "request\\00host",
        "request\\00scheme",
        "request\\00method",
        "request\\00protocol",
        "request\\00useragent",
        "request\\00referer",
        "request\\00headers\\00X-One",
        "xds\\00route_name",
        "source\\00address",
        "connection\\00requested_server_name",
    ];
    let numbers =
        ["request\\00time", "request\\00size", "source\\00port", "destination\\00port", "request\\00duration"];
    let unknown = [
        "request\\00nothing",
        "response\\00code",
        "node",
        "request\\00headers\\00x-none",
        "",
        "\\00\\00",
        "upstream\\00x",
    ];
    let mut text = String::new();
    for path in known {
        text += &format!(
            "(call $get_property @\"{path}\" OUT) (call $note (global.get $st)) (call $say GOT) (call $say @\",\")\n"
        );
    }
    for path in numbers {
        text += &format!("(call $get_property @\"{path}\" OUT) (call $note (i32.load #20))\n");
    }
    for path in unknown {
        text += &format!("(call $get_property @\"{path}\" OUT) (call $note (global.get $st))\n");
    }
    text += "(call $get_property @\"request\" OUT) (call $note (global.get $st))\n";
    text += "(call $get_property @\"connection\\00mtls\" OUT) (call $note (i32.load #20))\n";
    text += "(call $get_property @\"request\\00headers\" OUT) (call $note (i32.eq (i32.load (i32.load #16)) (local.get $a)))\n";
    let guest = Guest::of("request_headers", &format!("{text} (call $tell #0 @\"x-notes\")")).on(
        "response_headers",
        r#"(call $get_property @"response\00code" OUT) (call $note (i32.load (i32.load #16)))
        (call $get_property @"response\00code_details" OUT) (call $say GOT)
        (call $get_property @"response\00headers\00x-backend" OUT) (call $say GOT)
        (call $get_property @"request\00path" OUT) (call $say GOT)
        (call $tell #2 @"x-notes")"#,
    );
    let backend = Backend::answering("HTTP/1.1 202 X\r\nx-backend: 1\r\ncontent-length: 0\r\n\r\n").await;
    let mirror = Backend::mirror().await;
    let lab = one(&guest).start(&backend).await;
    let ask = get("/a/b?c=d").field("user-agent", "me").field("referer", "there").field("x-one", "1");
    for how in ALL {
        assert_eq!(lab.ask(how, &ask).await.field("x-notes"), Some("202 via_upstream1/a/b?c=d"), "{how:?}");
    }
    let lab = one(&guest).start(&mirror).await;
    for how in ALL {
        let (protocol, scheme, name) =
            if how == How::Link2 { ("HTTP/2", "https", "shop.test") } else { ("HTTP/1.1", "http", "") };
        let app = match how {
            How::Link => "shop-http",
            How::Near => "near-http",
            How::Link2 => "shop",
        };
        let told = seen(&lab.ask(how, &ask).await, "x-notes").concat();
        let parts: Vec<&str> = told.split(',').collect();
        let host = how.host();
        let expected = [
            "0 one",
            "0 ",
            "0 one",
            "0 /a/b?c=d",
            "0 /a/b",
            "0 c=d",
            &format!("0 {host}"),
            &format!("0 {scheme}"),
            "0 GET",
            &format!("0 {protocol}"),
            "0 me",
            "0 there",
            "0 1",
            &format!("0 {app}"),
        ];
        assert_eq!(parts[..14], expected, "{how:?}");
        assert!(parts[14].starts_with("0 127.0.0.1:"), "{told}");
        assert_eq!(parts[15], format!("0 {name}"), "{how:?}");
        assert_eq!(parts[16], "8 8 8 8 8 1 1 1 1 1 1 1 3 1 1", "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_goes_from_one_filter_to_the_next() {
    let first = Guest::of(
        "request_headers",
        r#"(call $set_property @"mine" @"value") (call $note (global.get $st))
        (call $set_property @"large" #0 #65536) (call $note (global.get $st)) (call $tell #0 @"x-first")"#,
    );
    let second = Guest::of(
        "request_headers",
        r#"(call $get_property @"mine" OUT) (call $say GOT)
        (call $get_property @"filter_state\00wasm.mine" OUT) (call $say GOT) (call $tell #0 @"x-notes")"#,
    );
    let backend = Backend::mirror().await;
    let lab = chain().filter("first", &first, |_| {}).filter("second", &second, |_| {}).start(&backend).await;
    for how in ALL {
        let answer = lab.ask(how, &get("/")).await;
        assert_eq!(
            (seen(&answer, "x-notes"), seen(&answer, "x-first")),
            (vec!["valuevalue".into()], vec!["0 10".into()])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn effective_contexts_are_those_of_the_same_vm() {
    let guest = Guest::of(
        "request_headers",
        r#"(call $set_effective_context #0) (call $note (global.get $st))
        (call $get_header_map_value #0 @":path" OUT) (call $note (global.get $st))
        (call $set_effective_context #1) (call $note (global.get $st))
        (call $send_local_response #200 #0 #0 #0 #0 #0 #0 #-1) (call $note (global.get $st))
        (call $set_property @"a" @"b") (call $note (global.get $st))
        (call $set_effective_context #999999) (call $note (global.get $st))
        (call $set_effective_context #-1) (call $note (global.get $st))
        (call $set_effective_context (local.get $id)) (call $note (global.get $st))
        (call $get_header_map_value #0 @":path" OUT) (call $note (global.get $st))
        (call $call_foreign_function @"no_such" #0 #0 #0 #0) (call $note (global.get $st))
        (call $call_foreign_function @"lockgate_skip_body" @"both" #0 #0) (call $note (global.get $st))
        (call $done) (call $note (global.get $st))
        (call $tell #0 @"x-notes")"#,
    );
    let backend = Backend::mirror().await;
    let lab = one(&guest).start(&backend).await;
    for how in ALL {
        assert_eq!(seen(&lab.ask(how, &post("x")).await, "x-notes"), ["0 1 0 2 1 2 2 0 0 1 2 1"], "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_lines_is_dropped_and_counted() {
    let guest = Guest::of(
        "request_headers",
        r#"(local $n i32) (call $get_log_level #24) (call $note (i32.load #24))
        (loop $l (call $log #3 #0 #200000) (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) #1)) #500)))
        (call $log #6 #0 #1) (call $note (global.get $st)) (call $log #0 #-1 #1) (call $note (global.get $st))
        (call $tell #0 @"x-notes")"#,
    );
    let backend = Backend::mirror().await;
    let lab = one_with(&guest, |filter| {
        filter.log_level = FilterLogLevel::Warn;
        filter.limits.log_lines_per_second = 5;
        filter.limits.header_deadline = Duration::from_secs(5);
    })
    .near()
    .start(&backend)
    .await;
    assert_eq!(seen(&lab.near("/").await, "x-notes"), ["3 2 6"]);
    assert!(lab.gauge("log_dropped_total").await >= 400.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_7_wasi_under_both_names() {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let guest = Guest::new()
            .with(&format!(
                "\n(import \"{module}\" \"random_get\" (func $random (param i32 i32) (result i32)))
(import \"{module}\" \"environ_sizes_get\" (func $sizes (param i32 i32) (result i32)))
(import \"{module}\" \"environ_get\" (func $environ (param i32 i32) (result i32)))
(import \"{module}\" \"clock_time_get\" (func $clock (param i32 i64 i32) (result i32)))
(import \"{module}\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
(import \"{module}\" \"path_open\" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
(import \"{module}\" \"poll_oneoff\" (func $poll (param i32 i32 i32 i32) (result i32)))\n"
            ))
            .on(
                "request_headers",
                r#"(call $note (call $random #64 #16)) (call $note (call $random #64 #70000)) (call $note (call $random #-8 #16))
                (call $note (call $sizes #24 #28)) (call $note (i32.load #24)) (call $note (i32.load #28))
                (call $note (call $environ #64 #128)) (call $say #128 #5)
                (call $note (call $clock #0 (i64.const 0) #64)) (call $note (call $clock #9 (i64.const 0) #64))
                (i32.store #64 #128) (i32.store #68 #5) (call $note (call $write #1 #64 #1 #72)) (call $note (i32.load #72))
                (call $note (call $write #7 #64 #1 #72)) (call $note (call $write #1 #-8 #1 #72))
                (call $note (call $open #3 #0 #0 #0 #0 (i64.const 0) (i64.const 0) #0 #72)) (call $note (call $poll #64 #64 #1 #72))
                (call $tell #0 @"x-notes")"#,
            );
        let backend = Backend::mirror().await;
        let lab = one_with(&guest, |filter| filter.environment = [("LEVEL".to_owned(), "high".to_owned())].into())
            .near()
            .start(&backend)
            .await;
        let notes = seen(&lab.near("/").await, "x-notes");
        assert_eq!(notes, ["0 28 21 0 1 11 0 LEVEL0 58 0 5 8 21 44 0"], "{module}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_tick_until_they_are_stopped() {
    let guest = Guest::new()
        .with("(global $metric (mut i32) (i32.const 0))\n")
        .on(
            "configure",
            r#"(call $define_metric #0 @"ticks" #24) (global.set $metric (i32.load #24)) (call $set_tick_period_milliseconds #10)"#,
        )
        .on(
            "tick",
            "(call $increment_metric (global.get $metric) (i64.const 1))
            (call $get_metric (global.get $metric) #24)
            (if (i32.ge_u (i32.load #24) #5) (then (call $set_tick_period_milliseconds #0)))",
        );
    let backend = Backend::mirror().await;
    let lab = one(&guest).near().start(&backend).await;
    lab.near("/").await;
    let ticks = "lockgate_filter_custom_ticks_total{filter=\"one\"}";
    until("five ticks", async || lab.world.metric(ticks).await >= 5.0).await;
    tokio::time::sleep(Duration::from_millis(50)).await; // sleep: a timer that is not stopped would tick again
    assert!((lab.world.metric(ticks).await - 5.0).abs() < 0.5);
}
