//! Heads in a filter's hands (ABI, 3.3): what it may read and write, and what it may not.

use super::guest::Guest;
use super::lab::{ALL, How, chain, get, one, post, seen};
use crate::backend::Backend;
use crate::client::Answer;

fn all(answer: &Answer, name: &str) -> Vec<String> {
    answer.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_3_3_request_fields_are_added_replaced_and_removed() {
    let guest = Guest::of(
        "request_headers",
        r#"
        (call $add_header_map_value #0 @"X-Add" @"1")
        (call $add_header_map_value #0 @"x-add" @"2")
        (call $replace_header_map_value #0 @"x-Many" @"new")
        (call $replace_header_map_value #0 @"x-fresh" @"born")
        (call $remove_header_map_value #0 @"X-Gone")
        (call $remove_header_map_value #0 @"x-never-was") (call $note (global.get $st))
        (call $get_header_map_value #0 @"X-first" OUT) (call $note (global.get $st)) (call $say GOT)
        (call $get_header_map_value #0 @"x-none" OUT) (call $note (global.get $st))
        (call $get_header_map_value #0 @"x-empty" OUT) (call $note (global.get $st))
        (call $note (i32.load #16)) (call $note (i32.load #20))
        (call $tell #0 @"x-notes")"#,
    );
    let backend = Backend::mirror().await;
    let lab = one(&guest).start(&backend).await;
    for how in ALL {
        let ask = get("/")
            .field("x-many", "a")
            .field("x-many", "b")
            .field("x-gone", "a")
            .field("x-gone", "b")
            .field("x-first", "one")
            .field("x-first", "two")
            .field("x-empty", "");
        let answer = lab.ask(how, &ask).await;
        for (name, values) in [
            ("x-add", &["1", "2"][..]),
            ("x-many", &["new"]),
            ("x-fresh", &["born"]),
            ("x-gone", &[]),
            ("x-first", &["one", "two"]),
            ("x-notes", &["0 0 one1 0 0 0"]),
        ] {
            assert_eq!(seen(&answer, name), values, "{how:?} {name} in {}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_3_3_response_fields_and_the_status_are_changed() {
    let guest = Guest::of(
        "response_headers",
        r#"
        (call $get_header_map_value #2 @":status" OUT) (call $say GOT)
        (call $replace_header_map_value #2 @":status" @"418") (call $note (global.get $st))
        (call $replace_header_map_value #2 @":status" @"101") (call $note (global.get $st))
        (call $replace_header_map_value #2 @":status" @"abc") (call $note (global.get $st))
        (call $remove_header_map_value #2 @":status") (call $note (global.get $st))
        (call $remove_header_map_value #2 @"x-gone")
        (call $replace_header_map_value #2 @"x-many" @"new")
        (call $add_header_map_value #2 @"x-add" @"2")
        (call $add_header_map_value #0 @"x-late" @"1") (call $note (global.get $st))
        (call $tell #2 @"x-notes")"#,
    );
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Gone: 1\r\nX-Many: a\r\nX-Many: b\r\nX-Add: 1\r\n\r\nok",
    )
    .await;
    let lab = one(&guest).start(&backend).await;
    for how in ALL {
        let answer = lab.ask(how, &get("/")).await;
        assert_eq!((answer.status, answer.text().as_str()), (418, "ok"), "{how:?}");
        assert_eq!(answer.field("x-notes"), Some("2000 2 2 0 2"), "{how:?}");
        assert_eq!((answer.field("x-gone"), all(&answer, "x-many")), (None, vec!["new".to_owned()]), "{how:?}");
        assert_eq!(all(&answer, "x-add"), ["1", "2"], "{how:?}");
        assert_eq!(answer.field("content-length"), Some("2"), "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_5_pairs_come_in_order_and_go_back_as_they_came() {
    // Reads all pairs, shows the first key, and hands the very same list back.
    let guest = Guest::of(
        "request_headers",
        r#"
        (call $get_header_map_size #0 #24) (call $get_header_map_pairs #0 OUT)
        (call $note (i32.eq (i32.load #24) (i32.load #20)))
        (call $note (i32.eq (i32.load (i32.load #16)) (local.get $a)))
        (call $say (i32.add (i32.add (i32.load #16) #4) (i32.mul (local.get $a) #8)) #10)
        (call $set_header_map_pairs #0 GOT) (call $note (global.get $st))
        (i32.store8 (i32.add (i32.load #16) (i32.sub (i32.load #20) #1)) #1)
        (call $set_header_map_pairs #0 GOT) (call $note (global.get $st))
        (call $set_header_map_pairs #0 (i32.load #16) #3) (call $note (global.get $st))
        (call $tell #0 @"x-notes")"#,
    );
    let backend = Backend::mirror().await;
    let lab = one(&guest).start(&backend).await;
    for how in ALL {
        let ask = get("/p?q").field("x-b", "1").field("x-a", "2").field("x-b", "3").field("cookie", "secret=1");
        let answer = lab.ask(how, &ask).await;
        assert_eq!(seen(&answer, "x-notes"), ["1 1 :authority0 2 2 "].map(str::trim), "{how:?} {}", answer.text());
        assert_eq!((seen(&answer, "x-b"), seen(&answer, "x-a")), (vec!["1".into(), "3".into()], vec!["2".into()]));
        assert_eq!(seen(&answer, "cookie"), ["secret=1"], "{how:?}: hidden, and so kept");
        assert!(answer.text().starts_with("GET /p?q HTTP/1.1"), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pseudo_headers_of_a_request_are_read_and_set() {
    let guest = Guest::of(
        "request_headers",
        r#"
        (call $get_header_map_value #0 @":method" OUT) (call $say GOT)
        (call $get_header_map_value #0 @":path" OUT) (call $say GOT)
        (call $get_header_map_value #0 @":authority" OUT) (call $say GOT)
        (call $get_header_map_value #0 @":scheme" OUT) (call $say GOT)
        (call $get_header_map_value #0 @":status" OUT) (call $note (global.get $st))
        (call $replace_header_map_value #0 @":path" @"/new/way?x=y")
        (call $replace_header_map_value #0 @":authority" @"inside.corp:81")
        (call $replace_header_map_value #0 @":method" @"PUT")
        (call $replace_header_map_value #0 @":method" @"a b") (call $note (global.get $st))
        (call $replace_header_map_value #0 @":path" @"relative") (call $note (global.get $st))
        (call $remove_header_map_value #0 @":path") (call $note (global.get $st))
        (call $tell #0 @"x-notes")"#,
    );
    let backend = Backend::mirror().await;
    let lab = one(&guest).start(&backend).await;
    for how in ALL {
        let answer = lab.ask(how, &get("/old?a=b")).await;
        let scheme = if how == How::Link2 { "https" } else { "http" };
        assert!(answer.text().starts_with("PUT /new/way?x=y HTTP/1.1"), "{how:?} {}", answer.text());
        assert_eq!(seen(&answer, "host"), ["inside.corp:81"], "{how:?}");
        assert_eq!(seen(&answer, "x-notes"), [format!("GET/old?a=b{}{scheme}1 2 2 0", how.host())], "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_outside_the_published_one_is_refused() {
    // The target is what the client asks for.
    let guest = Guest::of(
        "request_headers",
        r#"(call $get_header_map_value #0 @"x-target" OUT)
        (call $replace_header_map_value #0 @":path" GOT)"#,
    );
    let backend = Backend::mirror().await;
    let lab = one(&guest).start(&backend).await;
    let mut config = lab.world.config.clone();
    for app in &mut config.apps {
        let place = format!("{}area/", app.external_url);
        app.external_url = lockgate::config::PublishedUrl::parse(&place).unwrap();
    }
    lab.world.edge.reload(config).unwrap();
    for (target, inside) in [
        ("/area/b?c", true),
        ("/area/", true),
        ("/area/x/../y", true),
        ("/other", false),
        ("/areas", false),
        ("/area/../secret", false),
        ("/area/%2e%2e/secret", false),
        ("/area/..%2fsecret", false),
        ("//area/", true),
    ] {
        for how in [How::Near, How::Link2] {
            let answer = lab.ask(how, &get("/area/a").field("x-target", target)).await;
            assert_eq!(answer.status == 200, inside, "{how:?} {target}: {} {}", answer.status, answer.text());
            if !inside {
                assert_eq!(answer.status, 503, "{target}");
                assert!(answer.text().contains("filter-failed"), "{target}: {}", answer.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_6_1_a_filter_cannot_frame_a_message() {
    let write = |map: u32| {
        [
            ("transfer-encoding", "chunked, gzip"),
            ("content-length", "1"),
            ("connection", "close, x-kept"),
            ("keep-alive", "timeout=1"),
            ("upgrade", "h2c"),
            ("proxy-connection", "close"),
            ("te", "gzip"),
        ]
        .map(|(name, value)| format!("(call $replace_header_map_value #{map} @\"{name}\" @\"{value}\")\n"))
        .concat()
    };
    let guest = Guest::new().on("request_headers", &write(0)).on("response_headers", &write(2));
    let (backend, journal) = Backend::recording().await;
    let lab = one(&guest).start(&backend).await;
    for how in ALL {
        for ask in [get("/a"), post("hello").field("x-kept", "1")] {
            let line = format!("{} {}", ask.method, ask.path);
            let answer = lab.ask(how, &ask).await;
            assert_eq!((answer.status, answer.text()), (200, line), "{how:?}");
            let got = journal.take().pop().unwrap();
            assert_eq!(got.body, ask.body, "{how:?}");
            for gone in ["transfer-encoding", "connection", "keep-alive", "upgrade", "proxy-connection", "te"] {
                assert_eq!(answer.field(gone), None, "{how:?} {gone}");
                // A body of unknown length is chunked by us.
                let ours = gone == "transfer-encoding" && got.field(gone) == ["chunked"] && how == How::Link2;
                assert!(got.field(gone).is_empty() || ours, "{how:?} {gone} in {}", got.head);
            }
            assert!(got.field("content-length").iter().all(|length| *length == ask.body.len().to_string()));
            let length = answer.body.len().to_string();
            assert!(answer.field("content-length").is_none_or(|told| told == length), "{how:?} {answer:?}");
        }
    }
    // A HEAD's length is the backend's word or nobody's.
    for how in ALL {
        let ask = super::lab::Ask { method: "HEAD", ..get("/a") };
        let answer = lab.ask(how, &ask).await;
        assert_ne!(answer.field("content-length"), Some("1"), "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_cannot_be_split() {
    let values = ["a\\0d\\0ax-evil: 1", "a\\0ax-evil: 1", "a\\0dx-evil: 1", "a\\00b", "a\\01b", "\\7f"];
    let tries = |map: u32| {
        let mut text = String::new();
        for value in values {
            text +=
                &format!("(call $add_header_map_value #{map} @\"x-v\" @\"{value}\") (call $note (global.get $st))\n");
            text += &format!(
                "(call $replace_header_map_value #{map} @\"x-v\" @\"{value}\") (call $note (global.get $st))\n"
            );
        }
        for name in ["x y", "x\\0d\\0a", "", "x:y", "x\\e9"] {
            text += &format!("(call $add_header_map_value #{map} @\"{name}\" @\"v\") (call $note (global.get $st))\n");
        }
        text + &format!("(call $tell #{map} @\"x-notes\")")
    };
    let guest = Guest::new().on("request_headers", &tries(0)).on("response_headers", &tries(2));
    let backend = Backend::mirror().await;
    let lab = one(&guest).start(&backend).await;
    for how in ALL {
        let answer = lab.ask(how, &get("/")).await;
        let refused = ["2"; 17].join(" ");
        assert_eq!(answer.field("x-notes"), Some(&*refused), "{how:?}");
        assert_eq!(seen(&answer, "x-notes"), [refused], "{how:?}");
        assert_eq!((answer.field("x-evil"), answer.field("x-v")), (None, None), "{how:?}");
        assert!(seen(&answer, "x-evil").is_empty() && seen(&answer, "x-v").is_empty(), "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_reply_cannot_be_split() {
    // One pair, x-v: a CR LF b, serialised by hand.
    let guest = Guest::of(
        "request_headers",
        r#"(call $send_local_response #200 #0 #0 @"body"
            @"\01\00\00\00\03\00\00\00\04\00\00\00x-v\00a\0d\0ab\00" #-1)
        (call $note (global.get $st)) (call $tell #0 @"x-notes")"#,
    );
    let backend = Backend::mirror().await;
    let lab = one(&guest).near().start(&backend).await;
    let answer = lab.near("/").await;
    assert_eq!(seen(&answer, "x-notes"), ["2"], "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_meet_requests_in_order_and_responses_in_reverse() {
    let mark = |name: &str| {
        Guest::of("request_headers", &format!("(call $add_header_map_value #0 @\"x-way\" @\"{name}\")"))
            .on("response_headers", &format!("(call $add_header_map_value #2 @\"x-way\" @\"{name}\")"))
    };
    let backend = Backend::mirror().await;
    let lab = chain()
        .filter("a", &mark("a"), |_| {})
        .filter("b", &mark("b"), |_| {})
        .filter("c", &mark("c"), |filter| filter.request_fields = vec!["x-only".parse().unwrap()])
        .start(&backend)
        .await;
    for how in ALL {
        let answer = lab.ask(how, &get("/")).await;
        assert_eq!((seen(&answer, "x-way").join(""), all(&answer, "x-way").join("")), ("ab".into(), "cba".into()));
        let answer = lab.ask(how, &get("/").field("x-only", "1")).await;
        assert_eq!((seen(&answer, "x-way").join(""), all(&answer, "x-way").join("")), ("abc".into(), "cba".into()));
    }
}
