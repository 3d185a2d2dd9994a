//! Guests that call the host at random: never a crash, never a hang, and a bad pointer is always a status.

use std::fmt::Write;
use std::time::Duration;

use lockgate::config::{BodyMode, FilterSettings, HeadersPause};
use lockgate::filters::HOST_FUNCTIONS;

use super::guest::Guest;
use super::lab::{How, one, one_with, post, seen, upstream};
use crate::backend::Backend;

/// Host calls in each callback, and guests; together some seconds.
const CALLS: usize = 12;
const GUESTS: usize = 40;

const PHASES: [&str; 12] = [
    "context_create",
    "request_headers",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
    "tick",
    "http_call_response",
    "queue_ready",
    "log",
    "done",
];

fn everything(backend: &Backend) -> impl Fn(&mut FilterSettings) {
    let aux = upstream(backend);
    move |filter| {
        filter.capabilities.shared_data = true;
        filter.capabilities.queues = true;
        filter.upstreams = [("aux".to_owned(), aux.clone())].into();
        filter.request_body = Some(BodyMode::Stream);
        filter.response_body = Some(BodyMode::Stream);
        filter.limits.memory = 4 << 20;
    }
}

fn number(random: &mut fastrand::Rng) -> i64 {
    match random.u8(..10) {
        0 => 0,
        1 => random.i64(1..9),
        2 => -1,
        3 => i64::from(random.i32(..)),
        4 => i64::from(i32::MIN),
        5 => 262_144 - random.i64(0..20),
        6 => 32_768 + random.i64(0..64),
        7 => 16,
        _ => random.i64(0..100),
    }
}

fn random_calls(random: &mut fastrand::Rng) -> String {
    let mut text = String::new();
    for _ in 0..CALLS {
        let function = &HOST_FUNCTIONS[random.usize(..HOST_FUNCTIONS.len())];
        let name = function.name.trim_start_matches("proxy_");
        write!(text, "(call ${name}").unwrap();
        for (at, _) in function.parameters.iter().enumerate() {
            let wide = matches!(name, "increment_metric" | "record_metric") && at == 1;
            let kind = if wide { "i64" } else { "i32" };
            write!(text, " ({kind}.const {})", number(random)).unwrap();
        }
        text.push_str(")\n");
    }
    text
}

fn random_guest(random: &mut fastrand::Rng) -> Guest {
    let mut guest = Guest::new().with("(data (i32.const 32768) \"aux\\00:path\\00/\\00x-name\\00value\\00request\")\n");
    for phase in PHASES {
        let mut calls = random_calls(random);
        if phase == "context_create" {
            // The root's would run before there is anything to act on, with effects all the same.
            calls = format!("(if (local.get $a) (then {calls}))");
        }
        if random.u8(..5) == 0 && phase.contains("request_") | phase.contains("response_") && !phase.contains("call") {
            write!(calls, "(return (i32.const {}))", random.u8(..4)).unwrap();
        }
        guest = guest.on(phase, &calls);
    }
    guest
}

#[tokio::test(flavor = "multi_thread")]
async fn random_host_calls_in_every_phase() {
    let backend = Backend::mirror().await;
    let lab = one(&Guest::new()).near().start(&backend).await;
    let mut random = fastrand::Rng::with_seed(20_240_229);
    let mut answered = 0;
    for round in 0..GUESTS {
        let wasm = random_guest(&mut random).wasm();
        let set = everything(&backend);
        let (hold, open) = (random.bool(), random.bool());
        let loaded = lab.reload(&wasm, |filter| {
            set(filter);
            filter.fail_open = open;
            if hold {
                filter.headers_pause = HeadersPause::Hold;
            }
        });
        loaded.unwrap_or_else(|faults| panic!("{round}: {faults:?}"));
        for _ in 0..2 {
            // One that pauses for ever is given up; it may answer anything, or break off.
            let ask = post("hello");
            let asked = lab.try_ask(How::Near, &ask);
            if let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(60), asked).await {
                assert!((200..600).contains(&answer.status), "{round}: {answer:?}");
                answered += 1;
            }
        }
    }
    assert!(answered > GUESTS / 2, "{answered}");
    lab.reload(&Guest::new().wasm(), |_| {}).unwrap();
    assert_eq!(lab.near("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_6_a_bad_pointer_is_a_status_in_every_function() {
    // Every pointer leads out of the memory; numbers are ones that make sense.
    let mut text = String::new();
    let mut names = Vec::new();
    let pointing = |name: &str| {
        name.starts_with("out_")
            || matches!(
                name,
                "message"
                    | "bytes"
                    | "pairs"
                    | "key"
                    | "value"
                    | "path"
                    | "details"
                    | "body"
                    | "headers"
                    | "upstream"
                    | "trailers"
                    | "name"
                    | "vm"
                    | "item"
                    | "arguments"
            )
    };
    for function in HOST_FUNCTIONS {
        let name = function.name.trim_start_matches("proxy_");
        if !function.parameters.iter().any(|parameter| pointing(parameter)) || name.starts_with("grpc") {
            continue;
        }
        names.push(name);
        write!(text, "(call ${name}").unwrap();
        for parameter in function.parameters {
            let pointer = pointing(parameter) && !(name == "record_metric" && *parameter == "value");
            let number = match *parameter {
                _ if pointer => -8,
                "status" => 200,
                size if size.ends_with("_size") => 16,
                _ => 0,
            };
            let kind = if name == "record_metric" && *parameter == "value" { "i64" } else { "i32" };
            write!(text, " ({kind}.const {number})").unwrap();
        }
        text.push_str(") (call $note (global.get $st))\n");
    }
    let backend = Backend::mirror().await;
    let guest = Guest::of("request_headers", &format!("{text} (call $tell #0 @\"x-notes\")"));
    let lab = one_with(&guest, everything(&backend)).near().start(&backend).await;
    let answer = lab.near("/").await;
    let told: Vec<String> = seen(&answer, "x-notes")[0].split(' ').map(str::to_owned).collect();
    assert_eq!(told.len(), names.len());
    for (name, status) in names.iter().zip(told) {
        let expected = match *name {
            // The number is looked at first: there is no such metric and no such queue.
            "record_metric" | "get_metric" => "1",
            _ => "6",
        };
        assert_eq!(status, expected, "{name}");
    }
}
