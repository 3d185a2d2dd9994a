//! Link translation through edge, link and connector: pages in every coding, as they stream, with their
//! validators. What counts as a link is tested where it is decided, in `filters/link-translation`.

use lockgate::config::PublishedUrl;

use crate::backend::{Backend, Received};
use crate::client::{Answer, h1, h2};
use crate::filters::codings::{Undo, decode, encode, flushed_gzip};
use crate::world::{World, plan, until, within};

/// How a request is made: through the link, dialled by the edge, over HTTP/2 through the link.
const HOSTS: [&str; 3] = ["shop.test", "near.test", "shop.test over h2"];

/// The apps of a test: `INTERNAL` is another published app, never asked.
const WIKI: &str = "http://wiki.corp:8080/";

async fn start(backend: &Backend) -> World {
    start_with(backend, |_| {}).await
}

async fn start_with(backend: &Backend, set: impl Fn(&mut lockgate::config::AppSettings)) -> World {
    plan()
        .app_with("shop", backend.url(), |app| {
            app.translate_urls_in_body = true;
            set(app);
        })
        .app_with("near", backend.url(), |app| {
            app.translate_urls_in_body = true;
            app.group = "local".to_owned();
            set(app);
        })
        .app("wiki", WIKI)
        .start()
        .await
}

async fn ask(world: &World, how: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    ask_as(world, "GET", how, path, fields).await
}

async fn ask_as(world: &World, method: &str, how: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let (host, h2_wanted) = how.split_once(' ').map_or((how, false), |(host, _)| (host, true));
    if h2_wanted {
        let mut client = h2(world.https, host).await;
        let mut request = http::Request::builder().method(method).uri(format!("https://{host}{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        return within("an answer", client.request(request.body(()).unwrap(), b"")).await.unwrap();
    }
    let mut client = h1(world.http).await;
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.send(&format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n")).await;
    within("an answer", client.answer(method)).await.unwrap()
}

/// A page with a link to the wiki, and what a client sees of it.
fn page() -> (String, String) {
    let filler = "<p>nothing of interest</p>\n".repeat(400);
    let page = |host: &str| format!("<!doctype html>\n{filler}<a href=\"{host}x?a=1&amp;b\">x</a>{filler}<b");
    (page(WIKI), page("http://wiki.test/"))
}

fn with_scheme(text: &str, how: &str) -> String {
    if how.ends_with("h2") { text.replace("http://wiki.test/", "https://wiki.test/") } else { text.to_owned() }
}

fn head(fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{fields}")
}

/// Answers every request with these fields and this body.
async fn serving(fields: &'static [(&'static str, &'static str)], body: Vec<u8>) -> Backend {
    let length = format!("content-length: {}\r\n\r\n", body.len());
    Backend::answering([head(fields).into_bytes(), length.into_bytes(), body].concat()).await
}

/// The codings of a test, as the last segment of a path names them.
const CODINGS: [&str; 6] = ["identity", "gzip", "deflate", "br", "zstd", "gzip,br"];

fn coding_of(request: &Received) -> String {
    request.head.split(' ').nth(1).unwrap().trim_start_matches('/').replace(',', ", ")
}

fn coded(coding: &str, text: &str) -> Vec<u8> {
    if coding == "identity" { text.as_bytes().to_vec() } else { encode(coding, text.as_bytes()) }
}

/// The fields of a page in this coding.
fn page_head(coding: &str) -> String {
    let fields = head(&[("content-type", "text/html"), ("etag", "\"1\"")]);
    if coding == "identity" { fields } else { format!("{fields}content-encoding: {coding}\r\n") }
}

#[tokio::test]
async fn a_page_is_translated_whatever_its_coding_and_keeps_it() {
    let (plain, translated) = page();
    let backend = Backend::serve(move |mut conn, _| {
        let plain = plain.clone();
        async move {
            while let Some(request) = conn.request().await {
                let coding = coding_of(&request);
                let body = coded(&coding, &plain);
                conn.send(format!("{}content-length: {}\r\n\r\n", page_head(&coding), body.len()).as_bytes()).await;
                conn.send(&body).await;
            }
        }
    })
    .await;
    let world = start(&backend).await;
    for how in HOSTS {
        for path in CODINGS {
            let coding = path.replace(',', ", ");
            let path = format!("/{path}");
            let answer = ask(&world, how, &path, &[("accept-encoding", "gzip, deflate, br, zstd")]).await;
            assert_eq!(answer.field("content-encoding").unwrap_or("identity"), coding, "{how}");
            let body = if coding == "identity" { answer.body.clone() } else { decode(&coding, &answer.body) };
            assert!(body == with_scheme(&translated, how).as_bytes(), "{coding} {how}: {} bytes", body.len());
            assert_eq!(answer.field("content-length"), None, "{coding} {how}");
            let tag = answer.field("etag").unwrap();
            assert!(tag.starts_with("W/\"1;lg-"), "{tag}");
        }
    }
}

#[tokio::test]
async fn what_is_not_translated_passes_as_it_is() {
    let (plain, _) = page();
    let coded: &'static [u8] = encode("br", plain.as_bytes()).leak();
    let fields: &[(&str, &str)] = &[
        ("content-type", "text/javascript"),
        ("content-encoding", "br"),
        ("etag", "\"1\""),
        ("accept-ranges", "bytes"),
    ];
    let backend = serving(fields, coded.to_vec()).await;
    let world = start(&backend).await;
    for how in HOSTS {
        let answer = ask(&world, how, "/a.js", &[]).await;
        assert!(answer.body == coded, "{how}: the bytes are others");
        for (name, value) in fields {
            assert_eq!(answer.field(name), Some(*value), "{how}");
        }
        assert_eq!(answer.field("content-length"), Some(coded.len().to_string().as_str()), "{how}");
    }
}

#[tokio::test]
async fn scripts_are_translated_where_the_app_asks_for_it() {
    let script = "var u = 'http:\\/\\/wiki.corp:8080\\/x', v = \"http://wiki.corp:80801/\";";
    let backend = serving(&[("content-type", "application/javascript")], script.into()).await;
    let world = start_with(&backend, |app| app.translate_urls_in_scripts = true).await;
    let answer = ask(&world, "shop.test", "/", &[]).await;
    assert_eq!(answer.text(), "var u = 'http:\\/\\/wiki.test\\/x', v = \"http://wiki.corp:80801/\";");
}

#[tokio::test]
async fn each_setting_of_an_app_does_what_it_says() {
    let page = "<i data-own='http://wiki.corp:8080/'><a href='http://cdn.corp/x'>";
    let pages = serving(&[("content-type", "text/html")], page.into()).await;
    let world = start_with(&pages, |app| {
        app.translate_attributes = vec!["data-own".to_owned()];
        app.translate_also.insert("http://cdn.corp/".to_owned(), "http://cdn.test/".to_owned());
    })
    .await;
    let answer = ask(&world, "shop.test", "/", &[]).await;
    assert_eq!(answer.text(), "<i data-own='http://wiki.test/'><a href='http://cdn.test/x'>");
    let event = "data: http://wiki.corp:8080/x\n\n";
    let events = serving(&[("content-type", "text/event-stream")], event.into()).await;
    let world = start_with(&events, |app| app.translate_urls_in_event_streams = true).await;
    assert_eq!(ask(&world, "shop.test", "/", &[]).await.text(), "data: http://wiki.test/x\n\n");
}

#[tokio::test]
async fn a_page_s_head_arrives_before_its_end_is_written() {
    let (sender, gate) = tokio::sync::watch::channel(0);
    let backend = Backend::serve(move |mut conn, _| {
        let mut gate = gate.clone();
        async move {
            let mut served = 0;
            while let Some(request) = conn.request().await {
                let coding = coding_of(&request);
                conn.send(format!("{}transfer-encoding: chunked\r\n\r\n", page_head(&coding)).as_bytes()).await;
                // What has come must be readable by itself: frames of zstd and streams of br end in one chunk.
                let first = format!("<head><link href=\"{WIKI}a.css\">");
                let first = if coding == "gzip" { flushed_gzip(first.as_bytes()) } else { coded(&coding, &first) };
                conn.send(format!("{:x}\r\n", first.len()).as_bytes()).await;
                conn.send(&first).await;
                conn.send(b"\r\n").await;
                served += 1;
                gate.wait_for(|open| *open >= served).await.unwrap();
                conn.send(b"0\r\n\r\n").await;
            }
        }
    })
    .await;
    let world = start(&backend).await;
    for (count, coding) in (1..).zip(["identity", "br", "zstd", "gzip"]) {
        let request = format!("GET /{coding} HTTP/1.1\r\nhost: shop.test\r\naccept-encoding: gzip, br, zstd\r\n\r\n");
        let mut client = h1(world.http).await;
        client.send(&request).await;
        let head = within("the head", client.head()).await.unwrap();
        assert_eq!(head.field("content-encoding").unwrap_or("identity"), coding);
        let mut decoder = Undo::of(coding);
        while !decoder.text().contains("http://wiki.test/a.css") {
            let chunk = within("the first chunk, while the backend waits", client.chunk()).await;
            let chunk = chunk.unwrap_or_else(|| panic!("{coding}: cut after {:?}", decoder.text()));
            assert!(!chunk.is_empty(), "{coding}: it ended with {:?}", decoder.text());
            decoder.feed(&chunk);
        }
        sender.send(count).unwrap();
        // The gzip member was never finished: that page is cut.
        while coding != "gzip" && within("the end", client.chunk()).await.is_some() {}
    }
}

/// A page that knows its tag: 304 when it is asked with it, 206 for a range of it.
async fn conditional() -> (Backend, tokio::sync::mpsc::UnboundedReceiver<Received>) {
    let (sender, requests) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::serve(move |mut conn, _| {
        let sender = sender.clone();
        async move {
            while let Some(request) = conn.request().await {
                let matches = request.field("if-none-match").iter().any(|tags| tags.contains("\"v1\""));
                let ranged = !request.field("range").is_empty();
                let body = format!("<a href=\"{WIKI}\">");
                let answer = if matches {
                    "HTTP/1.1 304 Not Modified\r\netag: \"v1\"\r\ncontent-type: text/html\r\n\r\n".to_owned()
                } else if ranged {
                    format!(
                        "HTTP/1.1 206 Partial Content\r\netag: \"v1\"\r\ncontent-type: text/html\r\n\
                         content-range: bytes 0-{}/100\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len() - 1,
                        body.len()
                    )
                } else {
                    let head = head(&[("etag", "\"v1\""), ("content-type", "text/html")]);
                    let sent = if request.head.starts_with("HEAD ") { "" } else { &body };
                    format!("{head}content-length: {}\r\n\r\n{sent}", body.len())
                };
                conn.send(answer.as_bytes()).await;
                let _ = sender.send(request);
            }
        }
    })
    .await;
    (backend, requests)
}

#[tokio::test]
async fn rfc_9110_13_conditions_speak_of_the_translated_page() {
    let (backend, mut requests) = conditional().await;
    let world = start(&backend).await;
    for how in HOSTS {
        let first = ask(&world, how, "/", &[]).await;
        let ours = first.field("etag").unwrap().to_owned();
        requests.recv().await.unwrap();
        let again = ask(&world, how, "/", &[("if-none-match", &ours)]).await;
        assert_eq!((again.status, again.field("etag")), (304, Some(&*ours)), "{how}");
        assert_eq!(requests.recv().await.unwrap().field("if-none-match"), ["\"v1\""], "{how}");
        // A range of what the client has is a range of what the backend does not have.
        let part = ask(&world, how, "/", &[("range", "bytes=0-9"), ("if-range", &ours)]).await;
        let seen = requests.recv().await.unwrap();
        assert_eq!((part.status, seen.field("range"), seen.field("if-range")), (200, vec![], vec![]), "{how}");
        assert_eq!(part.text(), first.text());
        let head = ask_as(&world, "HEAD", how, "/", &[]).await;
        requests.recv().await.unwrap();
        let shown = |answer: &Answer| {
            let mut fields = answer.fields.clone();
            fields.retain(|(name, _)| !["date", "x-request-id", "transfer-encoding", "connection"].contains(&&**name));
            fields
        };
        assert_eq!(shown(&head), shown(&first), "{how}");
    }
}

#[tokio::test]
async fn rfc_9110_15_3_7_a_part_passes_as_it_is() {
    let (backend, _requests) = conditional().await;
    let world = start(&backend).await;
    for how in HOSTS {
        let part = ask(&world, how, "/", &[("range", "bytes=0-9")]).await;
        assert_eq!((part.status, part.text()), (206, format!("<a href=\"{WIKI}\">")), "{how}");
        assert!(part.field("content-length").is_some(), "{how}");
    }
}

#[tokio::test]
async fn no_coding_is_asked_for_that_could_not_be_undone() {
    let backend = Backend::mirror().await;
    let world = start(&backend).await;
    for how in HOSTS {
        let answer = ask(&world, how, "/", &[("accept-encoding", "compress, gzip;q=0.5, dcb")]).await;
        assert!(answer.text().to_lowercase().contains("accept-encoding: gzip;q=0.5\r\n"), "{how}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_was_held_back_goes_before_the_trailers() {
    let backend = Backend::answering(format!(
        "{}\r\n17\r\n<p>x</p><a href=\"http:/\r\n0\r\nx-sum: 7\r\n\r\n",
        head(&[("content-type", "text/html"), ("transfer-encoding", "chunked"), ("trailer", "x-sum")])
    ))
    .await;
    let world = start(&backend).await;
    for how in HOSTS {
        let answer = ask(&world, how, "/", &[("te", "trailers")]).await;
        assert_eq!(answer.text(), "<p>x</p><a href=\"http:/", "{how}");
        assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())], "{how}");
    }
}

#[tokio::test]
async fn a_page_with_another_map_is_another_page() {
    let backend = serving(&[("content-type", "text/html"), ("etag", "\"1\"")], format!("<a href={WIKI}>").into()).await;
    let world = start(&backend).await;
    let before = ask(&world, "near.test", "/", &[]).await;
    let mut config = world.config.clone();
    for app in &mut config.apps {
        let url = app.external_url.to_string().replace("wiki.test", "book.test");
        app.external_url = PublishedUrl::parse(&url).unwrap();
    }
    world.edge.reload(config).unwrap();
    until("the new map is in force", async || {
        let after = ask(&world, "near.test", "/", &[]).await;
        after.text() == "<a href=http://book.test/>" && after.field("etag") != before.field("etag")
    })
    .await;
}

#[tokio::test]
async fn a_bomb_is_cut_where_it_can_be_seen() {
    // 64 MiB of nothing in a few bytes.
    let bomb = encode("br", &vec![0; 64 << 20]);
    assert!(bomb.len() < 4096, "{}", bomb.len());
    let backend = serving(&[("content-type", "text/html"), ("content-encoding", "br")], bomb).await;
    let world = start(&backend).await;
    let mut client = h1(world.http).await;
    client.send("GET / HTTP/1.1\r\nhost: near.test\r\naccept-encoding: br\r\n\r\n").await;
    assert!(within("the end", client.answer("GET")).await.is_none(), "the page ended as if it were whole");
}
