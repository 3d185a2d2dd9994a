//! The answer to a failed request: one page, as HTML, JSON or plain text.
//!
//! It says the status, the reason code, who broke, what to do and the request id. It refuses to
//! show anything of the inside: the detail goes to the log, except the rule a client's own
//! request broke.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};

use crate::error::{Error, Kind, Side};
use crate::http::{Body, Response};
use crate::id::RequestId;

/// Seconds after which asking again may help.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The page for `error`, in the form the client prefers.
pub(super) fn render(error: &Error, id: RequestId, accept: Option<&HeaderValue>, head_only: bool) -> Response {
    let (content_type, text) = match preferred(accept) {
        Form::Html => ("text/html; charset=utf-8", html(error, id)),
        Form::Json => ("application/json", json(error, id)),
        Form::Plain => ("text/plain; charset=utf-8", plain(error, id)),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    match error.kind {
        Kind::Maintenance | Kind::Overloaded | Kind::ConnectorUnavailable => {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        Kind::UpgradeRequired => {
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        Kind::MethodNotAllowed => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        _ => {}
    }
    headers.insert(header::CONTENT_LENGTH, (text.len() as u64).into());
    let body = if head_only { Body::Empty } else { Body::Full(Bytes::from(text)) };
    let mut page = Response::new(error.kind.status(), headers, body);
    page.last = error.side == Side::Client;
    page
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Html,
    Json,
    Plain,
}

/// The form with the highest quality (RFC 9110, 12.5.1); browsers name HTML, scripts JSON, and who
/// names nothing reads plain text.
fn preferred(accept: Option<&HeaderValue>) -> Form {
    let Some(accept) = accept.and_then(|accept| accept.to_str().ok()) else { return Form::Plain };
    let mut best = (Form::Plain, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/html" | "application/xhtml+xml" => Form::Html,
            "application/json" | "application/problem+json" => Form::Json,
            "text/plain" => Form::Plain,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        if quality > best.1 {
            best = (form, quality);
        }
    }
    best.0
}

/// The rule a client's own request broke is its to know; nothing else of a detail is.
fn rule(error: &Error) -> Option<&str> {
    (error.side == Side::Client && error.kind.side() == Side::Client && error.kind != Kind::Misdirected)
        .then_some(&*error.detail)
}

fn plain(error: &Error, id: RequestId) -> String {
    let kind = error.kind;
    let rule = rule(error).map(|rule| format!("Reason: {rule}\n")).unwrap_or_default();
    format!(
        "{} {}\n\n{}\n{}\n{rule}\nWho broke: {}\nRequest id: {id}\n",
        kind.status().as_u16(),
        kind.code(),
        kind.explanation(),
        kind.mend(),
        error.side.word(),
    )
}

fn json(error: &Error, id: RequestId) -> String {
    let kind = error.kind;
    let page = serde_json::json!({
        "status": kind.status().as_u16(),
        "code": kind.code(),
        "message": kind.explanation(),
        "mend": kind.mend(),
        "rule": rule(error),
        "side": error.side.word(),
        "request_id": id.as_str(),
    });
    format!("{page}\n")
}

fn html(error: &Error, id: RequestId) -> String {
    let kind = error.kind;
    let rule = rule(error).map(|rule| format!("<p class=rule>{}</p>", escape(rule))).unwrap_or_default();
    let stations = ["client", "edge", "link", "backend"].map(|station| {
        let broken = station == error.side.word() || (station == "edge" && error.side == Side::Filter);
        let name = if station == "client" { "you" } else { station };
        format!("<li{}>{name}</li>", if broken { " class=broken" } else { "" })
    });
    format!(
        include_str!("page.html"),
        status = kind.status().as_u16(),
        code = kind.code(),
        explanation = kind.explanation(),
        mend = escape(kind.mend()),
        rule = rule,
        stations = stations.concat(),
        side = error.side.word(),
        id = id,
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_accept() {
        for (accept, form) in [
            (None, Form::Plain),
            (Some("*/*"), Form::Plain),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Form::Html),
            (Some("application/json"), Form::Json),
            (Some("text/html;q=0.2, application/json;q=0.9"), Form::Json),
            (Some("image/png"), Form::Plain),
        ] {
            assert_eq!(preferred(accept.map(HeaderValue::from_static).as_ref()), form, "{accept:?}");
        }
    }

    #[test]
    fn the_inside_stays_inside() {
        let id = RequestId::random();
        let error = Error::new(Kind::BackendRefused, "http://secret.corp:80 refused");
        for accept in
            [None, Some(HeaderValue::from_static("text/html")), Some(HeaderValue::from_static("application/json"))]
        {
            let page = render(&error, id, accept.as_ref(), false);
            let Body::Full(text) = page.body else { panic!("a page has a body") };
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains("secret"), "{text}");
            assert!(
                text.contains(id.as_str()) && text.contains("backend-unreachable") && text.contains("backend"),
                "{text}"
            );
        }
        let own = render(&Error::bad_request("Host <twice>"), id, Some(&HeaderValue::from_static("text/html")), false);
        let Body::Full(text) = own.body else { panic!("a page has a body") };
        assert!(String::from_utf8_lossy(&text).contains("Host &lt;twice&gt;"));
    }
}
