//! `header-translation`, natively and as a module: values of URLs, of what stands around them, and of any bytes.

use abi::borrowed;
use header_translation::{Current, REQUEST_FIELDS, RESPONSE_FIELDS, translate_request, translate_response};
use proptest::prelude::*;

use super::{Exchange, Outcome, Worker, edited, fields, for_each, grouped, header_map};

const APPS: &str = r#"{"apps":[
    {"name":"a","external":"https://a.example/","internal":"http://int.corp/"},
    {"name":"b","external":"https://b.example/docs/","internal":"http://10.0.0.1:3000/wiki/"},
    {"name":"t","external":"https://*.t.example/","internal":"http://*.t.corp/"}]}"#;

#[rustfmt::skip]
const URL_PIECES: &[&str] = &[
    "http://int.corp", "https://a.example/x", "http://10.0.0.1:3000/wiki/x", "https://b.example/docs/", "//x.t.corp/",
    "https://x.t.example/", "int.corp", "/wiki/y", "/", "http://int.corp.evil/", "Domain=", "Domain=int.corp", "; Path=/wiki",
    "; Secure", "; SameSite=None", "; SameSite=Strict ", "__Host-a=b", "url=", "0;", "<", ">", "\"", "\\/", "(", ")", ",", ";",
    " ", "=", "'", "*", "img-src ", "report-uri ", "\u{e9}", "ALLOW-FROM ", ".", "@", "default-src http://int.corp; ",
];

fn translated(exchange: &Exchange) -> Outcome {
    let table = header_translation::config::table(APPS.as_bytes()).unwrap();
    let app = table.app(exchange.app.as_bytes());
    let label = app.map_or(&b""[..], |app| table.label(app, exchange.authority.as_bytes()));
    let (asked, answered) = (exchange.asked(), exchange.answered());
    let request = translate_request(&table, Current { app, label: b"" }, borrowed(&asked));
    let response = translate_response(&table, Current { app, label }, borrowed(&answered));
    Outcome::Passed {
        request: grouped(&edited(asked.clone(), &request)),
        response: grouped(&edited(answered.clone(), &response)),
    }
}

fn translation() -> impl Strategy<Value = Exchange> {
    let app = prop::sample::select(&[("a", "a.example"), ("b", "b.example"), ("t", "x.t.example"), ("no", "a")][..]);
    let fields = (header_map(REQUEST_FIELDS, URL_PIECES), header_map(RESPONSE_FIELDS, URL_PIECES));
    let status = prop::sample::select(&[200, 302, 404][..]);
    (app, fields, status).prop_map(|((app, authority), (request, response), status)| Exchange {
        app,
        method: "GET",
        authority,
        path: "/docs/?q=1",
        status,
        request,
        response,
    })
}

#[test]
fn header_translation_is_the_same_in_wasm() {
    let worker = Worker::new("header-translation");
    let plugin = worker.load(APPS, &[]);
    for_each(512, &translation(), |exchange| {
        prop_assert_eq!(&worker.pass(&plugin, std::slice::from_ref(&exchange))[0], &translated(&exchange));
        Ok(())
    });
    // One by hand, so that equal does not mean that nothing happens; the byte is not UTF-8, and its own.
    let response = fields(vec![
        ("location", b"http://int.corp/caf\xe9".to_vec()),
        ("set-cookie", b"a=b; Domain=int.corp".to_vec()),
    ]);
    let request = fields(vec![("origin", b"https://a.example".to_vec())]);
    let exchange =
        Exchange { app: "a", method: "GET", authority: "a.example", path: "/", status: 302, request, response };
    let outcome = worker.pass(&plugin, std::slice::from_ref(&exchange)).remove(0);
    assert_eq!(outcome, translated(&exchange));
    let Outcome::Passed { request, response } = outcome else { panic!("{outcome:?}") };
    assert_eq!(request[&b"origin"[..]], [b"http://int.corp"]);
    assert_eq!(response[&b"location"[..]], [b"https://a.example/caf\xe9"]);
    assert_ne!(response[&b"set-cookie"[..]], [b"a=b; Domain=int.corp"]);
}
