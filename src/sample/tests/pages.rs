//! The pages, their links, and what is refused.

use super::{Sample, ask, ask_with};

#[test]
fn every_page_answers_get_and_head() {
    let sample = Sample::start().unwrap();
    let targets = [
        ("/", "text/html"),
        ("/landed", "text/html"),
        ("/cookies", "text/html"),
        ("/headers", "text/html"),
        ("/headers.json", "application/json"),
        ("/ws.html", "text/html"),
        ("/events.html", "text/html"),
        ("/upload.html", "text/html"),
        ("/sample.css", "text/css"),
        ("/sample.js", "text/javascript"),
        ("/logo.svg", "image/svg+xml"),
        ("/health", "text/plain"),
        ("/slow?ms=1", "text/html"),
        ("/status/200", "text/html"),
        ("/download?bytes=1000", "application/octet-stream"),
    ];
    for (target, content_type) in targets {
        let answer = ask(&sample, target);
        assert_eq!(answer.status(), 200, "{target}");
        assert!(answer.values("content-type")[0].starts_with(content_type), "{target}");
        assert!(!answer.body.is_empty(), "{target}");
        assert!(!answer.head.contains("{{") && !answer.body.starts_with(b"{{"), "{target}");
        let head = ask_with(&sample, "HEAD", target, "", b"");
        assert_eq!(head.status(), 200, "{target}");
        assert_eq!(head.body, b"", "{target}");
        // Those two tell of their own request, so their length differs with the method.
        if !target.starts_with("/headers") {
            assert_eq!(head.values("content-length"), answer.values("content-length"), "{target}");
        }
    }
    for target in ["/events", "/chunked", "/trailers", "/redirect"] {
        assert_eq!(ask_with(&sample, "HEAD", target, "", b"").body, b"", "{target}");
    }
}

#[test]
fn home_holds_absolute_and_relative_links() {
    let sample = Sample::start().unwrap();
    let home = ask(&sample, "/").text();
    let origin = sample.url().trim_end_matches('/').to_owned();
    assert!(home.contains(&format!("href=\"{origin}/landed\"")));
    assert!(home.contains(&format!("href=\"//{}/landed\"", sample.addr())));
    assert!(home.contains(&format!("src=\"{origin}/logo.svg\"")));
    assert!(home.contains("href=\"landed\""));
    assert!(!home.contains("{{"));
    let style = ask(&sample, "/sample.css").text();
    assert!(style.contains(&format!("url(\"{origin}/logo.svg\")")));
}

#[test]
fn redirect_names_the_internal_origin() {
    let sample = Sample::start().unwrap();
    let answer = ask(&sample, "/redirect");
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.values("location"), [format!("{}landed", sample.url())]);
}

#[test]
fn cookies_count_and_are_forgotten() {
    let sample = Sample::start().unwrap();
    let first = ask(&sample, "/cookies");
    let set = first.values("set-cookie");
    assert_eq!(set.len(), 3);
    assert!(set[0].starts_with("sample_visits=1; Path=/cookies; HttpOnly"));
    assert!(set[2].contains("Domain=127.0.0.1"));
    let again = ask_with(&sample, "GET", "/cookies", "Cookie: a=<b>; sample_visits=41\r\n", b"");
    assert!(again.values("set-cookie")[0].starts_with("sample_visits=42;"));
    assert!(again.text().contains("a=&lt;b&gt;"));
    let gone = ask_with(&sample, "POST", "/cookies", "Content-Length: 0\r\n", b"");
    assert_eq!((gone.status(), gone.values("location")[0]), (303, "cookies"));
    assert!(gone.values("set-cookie").iter().all(|line| line.contains("Max-Age=0")));
}

#[test]
fn headers_are_shown_escaped_and_as_json() {
    let sample = Sample::start().unwrap();
    let extra = "X-Forwarded-For: 192.0.2.1\r\nX-Evil: <script>\"&'\r\nX-Twice: 1\r\nX-Twice: 2\r\n";
    let page = ask_with(&sample, "GET", "/headers?q='&x", extra, b"").text();
    assert!(page.contains("&lt;script&gt;&quot;&amp;&#39;"));
    assert!(page.contains("q=&#39;&amp;x") && !page.contains("<script>\""));
    assert!(page.find("x-forwarded-for").unwrap() < page.find("The rest").unwrap());
    let json = ask_with(&sample, "GET", "/headers.json?a=b", extra, b"").json();
    assert_eq!(json["target"], "/headers.json?a=b");
    let fields = json["headers"].as_array().unwrap();
    assert_eq!(fields.iter().filter(|field| field[0] == "x-twice").count(), 2);
}

#[test]
fn status_answers_as_asked() {
    let sample = Sample::start().unwrap();
    for status in [200, 201, 204, 205, 301, 304, 401, 404, 405, 407, 418, 429, 500, 503, 599] {
        let answer = ask(&sample, &format!("/status/{status}"));
        assert_eq!(answer.status(), status);
        assert_eq!(answer.body.is_empty(), matches!(status, 204 | 205 | 304), "{status}");
    }
    assert_eq!(ask(&sample, "/status/401").values("www-authenticate"), ["Sample"]);
    assert!(ask(&sample, "/status/500").text().contains("href=\"../sample.css\""));
}

#[test]
fn unknown_paths_and_wrong_methods() {
    let sample = Sample::start().unwrap();
    let missing = ask(&sample, "/no/such/a&b'c");
    assert_eq!(missing.status(), 404);
    assert!(missing.text().contains("/no/such/a&amp;b&#39;c"));
    assert!(missing.text().contains("href=\"../../sample.css\""));
    let deep = format!("/{}", "/".repeat(3000));
    assert!(ask(&sample, &deep).text().contains("href=\"/sample.css\""));
    for (method, target, allow) in [
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/headers", "GET, HEAD"),
        ("GET", "/upload", "PUT, POST"),
        ("PUT", "/cookies", "GET, HEAD, POST"),
    ] {
        let answer = ask_with(&sample, method, target, "Content-Length: 0\r\n", b"");
        assert_eq!((answer.status(), answer.values("allow")), (405, vec![allow]), "{method} {target}");
    }
}
