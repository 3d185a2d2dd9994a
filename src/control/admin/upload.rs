//! `PUT /filters/NAME`: another module for a configured filter, from an author's machine into a proxy on it.
//!
//! ```text
//!   listener on loopback? ─▶ Host of this machine? ─▶ no browser? ─▶ one at a time ─▶ at most 64 MiB ─▶ Report
//! ```
//!
//! A module sees what passes, so it is taken from this machine only. The admin port has no
//! authentication; what stands in for it: the listener must be on a loopback address, `Host` must name
//! it (a name that was rebound to loopback is another), and a request with `Origin` or with a
//! `Sec-Fetch-Site` other than `none` is a page's, not a person's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Refusal, Replaced, Report, page};
use crate::filters::WASM_BYTES_MAX;

/// 64 MiB over loopback take a fraction of it.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The filter that a request is about; `None` if it is about something else.
pub(super) fn filter_named<B>(request: &Request<B>) -> Option<&str> {
    request.uri().path().strip_prefix("/filters/").filter(|name| !name.is_empty() && !name.contains('/'))
}

/// Replaces the module of `name`, or says why not.
pub(super) async fn answer(
    request: Request<Incoming>,
    name: String,
    here: Option<SocketAddr>,
    uploads: &Semaphore,
    report: &dyn Report,
) -> Response<Full<Bytes>> {
    if request.method() != Method::PUT {
        let mut refused = told(StatusCode::METHOD_NOT_ALLOWED, json!({"reason": "only PUT"}));
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("PUT"));
        return refused;
    }
    if let Err(reason) = admit(here, request.headers()) {
        tracing::warn!(filter = name, reason, "an upload was refused");
        return told(StatusCode::FORBIDDEN, json!({"filter": name, "reason": reason}));
    }
    // Each holds up to 64 MiB and compiles.
    let Ok(_alone) = uploads.try_acquire() else {
        return told(StatusCode::CONFLICT, json!({"filter": name, "reason": "another module is being uploaded"}));
    };
    let wasm = match module(request.into_body()).await {
        Ok(wasm) => wasm,
        Err((status, reason)) => return told(status, json!({"filter": name, "reason": reason})),
    };
    match report.replace_filter(name.clone(), wasm).await {
        Ok(Replaced(steps)) => told(StatusCode::OK, steps),
        Err(Refusal::Unknown(reason)) => told(StatusCode::NOT_FOUND, json!({"filter": name, "reason": reason})),
        Err(Refusal::Unusable { reason, generation }) => {
            let said = json!({"filter": name, "reason": reason, "generation": generation, "serving": "the old module"});
            told(StatusCode::UNPROCESSABLE_ENTITY, said)
        }
        Err(Refusal::Failed(reason)) => {
            told(StatusCode::INTERNAL_SERVER_ERROR, json!({"filter": name, "reason": reason}))
        }
    }
}

/// Whether a request may bring code.
fn admit(here: Option<SocketAddr>, headers: &HeaderMap) -> Result<(), String> {
    let loopback = here.is_some_and(|here| here.ip().to_canonical().is_loopback());
    if !loopback {
        let where_to = here.map_or_else(|| "an unknown address".to_owned(), |here| here.to_string());
        return Err(format!(
            "modules are taken only where listen.admin is a loopback address, and it is {where_to}: \
             whoever reaches it could run code here"
        ));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    if hosts.next().is_some() || !names_loopback(host) {
        return Err(format!("Host is {host:?}; it must be localhost or a loopback address"));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err("a request with Origin comes from a web page; modules are not taken from pages".to_owned());
    }
    let site = headers.get_all("sec-fetch-site").iter();
    if site.into_iter().any(|site| site != "none") {
        return Err("Sec-Fetch-Site says that a web page sent this; modules are not taken from pages".to_owned());
    }
    Ok(())
}

/// Whether `host`, with or without a port, is this machine and nothing a name server answers for.
fn names_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

async fn module(body: Incoming) -> Result<Bytes, (StatusCode, String)> {
    let too_large = || {
        let reason = format!("more than a module may have ({} MiB)", WASM_BYTES_MAX >> 20);
        (StatusCode::PAYLOAD_TOO_LARGE, reason)
    };
    if body.size_hint().lower() > WASM_BYTES_MAX as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, WASM_BYTES_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err((StatusCode::BAD_REQUEST, format!("the module did not arrive: {error}"))),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the module did not arrive in time".to_owned())),
    }
}

fn told(status: StatusCode, said: Value) -> Response<Full<Bytes>> {
    page(status, "application/json", format!("{said:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn loopback_is_named_by_address_or_localhost() {
        for host in ["localhost", "LocalHost:9090", "127.0.0.1:9090", "127.1.2.3", "[::1]:9090", "[::1]"] {
            assert!(names_loopback(host), "{host}");
        }
        for host in
            ["", "evil.test", "localhost.evil.test", "127.0.0.1.evil.test:9090", "10.0.0.1", "0.0.0.0", "[::]:1"]
        {
            assert!(!names_loopback(host), "{host}");
        }
    }

    #[test]
    fn pages_and_strangers_bring_no_code() {
        let here = "127.0.0.1:9090".parse().ok();
        let local = ("host", "localhost:9090");
        assert_eq!(admit(here, &headers(&[local])), Ok(()));
        assert_eq!(admit(here, &headers(&[local, ("sec-fetch-site", "none")])), Ok(()));
        assert_eq!(admit("[::1]:1".parse().ok(), &headers(&[local])), Ok(()));
        for wrong in [
            &[local, ("origin", "http://localhost:9090")][..],
            &[local, ("origin", "null")],
            &[local, ("sec-fetch-site", "same-origin")],
            &[local, ("sec-fetch-site", "cross-site")],
            &[("host", "rebound.evil.test:9090")],
            &[],
        ] {
            assert!(admit(here, &headers(wrong)).is_err(), "{wrong:?}");
        }
        for open in ["0.0.0.0:9090", "192.0.2.1:9090", "[::]:9090"] {
            assert!(admit(open.parse().ok(), &headers(&[local])).unwrap_err().contains(open));
        }
        assert!(admit(None, &headers(&[local])).is_err());
    }
}
