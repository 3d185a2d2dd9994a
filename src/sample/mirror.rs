//! Pages that show a visitor their own request: the head as it arrived, and their cookies.
//!
//! Everything shown is the visitor's own and goes back to nobody else: no page here may be cached or framed, and none is
//! readable across origins. Values are escaped, never decoded or trusted; `X-Forwarded-For` is only text here.

use std::fmt::Write;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};

use super::pages::{Escaped, Pages};
use super::streams::Body;

/// What proxies add to a request, Lockgate or another.
const FORWARDING: [&str; 8] = [
    "forwarded",
    "traceparent",
    "tracestate",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// `/headers`: the request line and the header section, with what a proxy added set apart.
pub fn headers_page<B>(pages: &Pages, request: &Request<B>) -> Response<Body> {
    let (added, own): (Vec<_>, Vec<_>) =
        request.headers().iter().partition(|(name, _)| FORWARDING.contains(&name.as_str()));
    let line = format!("{} {} {:?}", request.method(), request.uri(), request.version());
    let verdict = if added.is_empty() {
        "None of the usual ones. This request most likely came here directly, without a proxy."
    } else {
        "The proxy tells the application who asked, under which name and for which request."
    };
    let content = format!(
        "<h1>Request headers</h1>\n\
         <p class=\"lead\">This is the request as it arrived at the application.</p>\n\
         <pre>{line}</pre>\n\
         <h2>Added on the way</h2>\n<p>{verdict}</p>\n{added}\n\
         <h2>The rest</h2>\n{own}\n\
         <p class=\"small\">Names are shown in lower case; they mean the same in any. Also as \
         <a href=\"headers.json\">headers.json</a>.</p>",
        line = Escaped(&line),
        added = table("Headers added on the way", &added),
        own = table("The other headers", &own),
    );
    pages.page(StatusCode::OK, "/headers", "Request headers", &content)
}

fn table(caption: &str, fields: &[(&HeaderName, &HeaderValue)]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (name, value) in fields {
        let value = String::from_utf8_lossy(value.as_bytes());
        // Writing to a String does not fail.
        let _ = writeln!(rows, "<tr><th scope=\"row\">{name}</th><td><code>{}</code></td></tr>", Escaped(&value));
    }
    format!("<table class=\"fields\"><caption>{caption}</caption><tbody>\n{rows}</tbody></table>")
}

/// `/headers.json`: the same for scripts. Headers are pairs, because a name may come more than once.
pub fn headers_json<B>(request: &Request<B>) -> Response<Body> {
    let fields: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let report = serde_json::json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "headers": fields,
    });
    let mut response = Response::new(Body::whole(format!("{report:#}\n")));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A cookie of the sample, and what its return proves.
struct Crumb {
    name: &'static str,
    attributes: &'static str,
    proves: &'static str,
}

/// Counts visits. The only one with a value that changes.
const VISITS: Crumb = Crumb {
    name: "sample_visits",
    attributes: "Path=/cookies; HttpOnly; SameSite=Lax; Max-Age=86400",
    proves: "Its return shows that the Path still fits where the application is published. Scripts cannot see it.",
};

const PLAIN: Crumb = Crumb {
    name: "sample_plain",
    attributes: "Path=/; SameSite=Lax; Max-Age=86400",
    proves: "Its return shows that a second Set-Cookie line arrives as a line of its own. Scripts can see it.",
};

const DOMAIN: Crumb = Crumb {
    name: "sample_domain",
    attributes: "Domain=127.0.0.1; Path=/; SameSite=Lax; Max-Age=86400",
    proves: "Its return shows that the internal Domain was translated. Browsers drop cookies for hosts they are not talking to.",
};

/// `/cookies`: sets three cookies, shows those that came back, counts visits.
pub fn cookie_page(pages: &Pages, headers: &HeaderMap) -> Response<Body> {
    let visits = cookie(headers, VISITS.name)
        .and_then(|value| value.parse::<u32>().ok())
        .map_or(1, |visits| visits.saturating_add(1));
    let mut rows = String::new();
    for crumb in [&VISITS, &PLAIN, &DOMAIN] {
        let (mark, word) = match cookie(headers, crumb.name) {
            Some(_) => ("good", "came back"),
            None => ("open", "not yet"),
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}<br><code>{}</code></th><td><span class=\"mark {mark}\">{word}</span> {}</td></tr>",
            crumb.name, crumb.attributes, crumb.proves
        );
    }
    let greeting = match visits {
        1 => "This is your first visit. Reload the page to see which cookies come back.".to_owned(),
        visits => format!("This is visit number {visits}."),
    };
    let content = format!(
        "<h1>Cookies</h1>\n<p class=\"lead\">{greeting}</p>\n\
         <table class=\"fields\"><caption>Cookies the application sets</caption><tbody>\n{rows}</tbody></table>\n\
         <h2>What arrived</h2>\n<pre>Cookie: {arrived}</pre>\n\
         <h2>What a script sees</h2>\n<pre id=\"script-cookies\">(scripts are off)</pre>\n\
         <form method=\"post\" action=\"cookies\"><a class=\"button primary\" href=\"cookies\">Visit again</a> <button>Forget the cookies</button></form>",
        arrived = Escaped(&cookie_lines(headers)),
    );
    let mut response = pages.page(StatusCode::OK, "/cookies", "Cookies", &content);
    set(&mut response, &VISITS, &visits.to_string(), VISITS.attributes);
    set(&mut response, &PLAIN, "yes", PLAIN.attributes);
    set(&mut response, &DOMAIN, "yes", DOMAIN.attributes);
    response
}

/// A `POST` to `/cookies`: forgets them and leads back.
pub fn cookies_forgotten() -> Response<Body> {
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("cookies"));
    for crumb in [&VISITS, &PLAIN, &DOMAIN] {
        set(&mut response, crumb, "", &crumb.attributes.replace("Max-Age=86400", "Max-Age=0"));
    }
    response
}

fn set(response: &mut Response<Body>, crumb: &Crumb, value: &str, attributes: &str) {
    // Made of the constants above and a number: always a valid field value.
    if let Ok(line) = HeaderValue::from_str(&format!("{}={value}; {attributes}", crumb.name)) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn cookie_lines(headers: &HeaderMap) -> String {
    let lines: Vec<_> =
        headers.get_all(header::COOKIE).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    match lines.is_empty() {
        true => "(none)".to_owned(),
        false => lines.join("\nCookie: "),
    }
}
