//! What every filter must stand, asked or not: odd messages, and ten thousand of them.
//!
//! A local response is no fault here, nor is another status: dying is, and so is growing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::super::chunks::Chunking;
use super::super::message::{RequestText, ResponseText};
use super::super::scripted::Script;
use super::super::show::size;
use super::super::trial::{End, Exchange};
use super::super::watch::Recorder;
use super::Prepared;

/// Memory is compared after so many requests …
const WARM: usize = 1_000;

/// … and after so many.
const MANY: usize = 10_000;

/// Growth between the two that is none: 29 bytes a request.
const GROWTH_MAX: i64 = 256 << 10;

/// Slow filters are compared after fewer requests than [`MANY`].
const TIME_MAX: Duration = Duration::from_secs(20);

/// Odd but legal exchanges.
pub(super) fn odd() -> Vec<(&'static str, Exchange)> {
    let odd = || {
        HeaderMap::from_iter(
            [(HeaderName::from_static("x-odd"), HeaderValue::from_bytes(b"caf\xe9"))]
                .map(|(name, value)| (name, value.unwrap_or(HeaderValue::from_static("")))),
        )
    };
    let page = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
    let post = RequestText { method: Method::POST, ..RequestText::default() };
    let empty = ResponseText { headers: page.clone(), ..ResponseText::default() };
    let full =
        ResponseText { headers: page, body: Bytes::from_static(b"<html><body>x</body></html>"), ..empty.clone() };
    let with = |request: RequestText, response: ResponseText| Exchange { request, response };
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-trailer"), HeaderValue::from_static("1"))]);
    vec![
        (
            "a header that is not UTF-8",
            with(
                RequestText { headers: odd(), ..RequestText::default() },
                ResponseText { headers: odd(), ..ResponseText::default() },
            ),
        ),
        ("an empty body", with(post.clone(), empty.clone())),
        (
            "a body that is not text",
            with(
                RequestText { body: Bytes::from_static(b"\xff\x00\xfe"), ..post.clone() },
                ResponseText { body: Bytes::from_static(b"\xff\x00\xfe"), ..empty.clone() },
            ),
        ),
        ("HEAD", with(RequestText { method: Method::HEAD, ..RequestText::default() }, full.clone())),
        ("304", with(RequestText::default(), ResponseText { status: StatusCode::NOT_MODIFIED, ..empty.clone() })),
        (
            "trailers",
            with(
                RequestText { body: Bytes::from_static(b"x"), trailers: trailers.clone(), ..post },
                ResponseText { trailers, ..full },
            ),
        ),
    ]
}

/// What the odd exchanges bring about in the filter of `prepared`.
pub(super) async fn stands_odd(prepared: &Prepared<'_>) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for (name, exchange) in odd() {
        let recorder = Arc::new(Recorder::tracing());
        let trial = match prepared.start(&recorder, Script::default()) {
            Ok(trial) => trial,
            Err(reason) => return vec![("it starts".into(), reason)],
        };
        let outcome = trial.exchange(&exchange, Chunking::All).await;
        if let End::Failed(code @ ("filter-failed" | "stuck"), _, why) = outcome.end {
            let events = recorder.take();
            let why = super::super::watch::death(&events).map_or(why, |(_, detail)| detail.to_owned());
            faults.push((name.to_owned(), format!("{code}: {why}")));
        }
    }
    faults
}

/// Whether memory stays within bounds over many requests; what was found, or the fault.
pub(super) async fn stands_many(prepared: &Prepared<'_>, exchanges: &[(Exchange, Script)]) -> Result<String, String> {
    let Some((_, script)) = exchanges.first() else { return Ok(String::new()) };
    let recorder = Arc::new(Recorder::quiet());
    let trial = prepared.start(&recorder, script.clone())?;
    let (began, mut warm) = (Instant::now(), 0);
    let mut done = 0;
    while done < MANY && (done < WARM || began.elapsed() < TIME_MAX) {
        let (exchange, _) = &exchanges[done % exchanges.len()];
        let outcome = trial.exchange(exchange, Chunking::All).await;
        if let End::Failed(code @ ("filter-failed" | "stuck"), _, why) = outcome.end {
            return Err(format!("request {}: {code}: {why}", done + 1));
        }
        done += 1;
        if done == WARM {
            warm = trial.memory();
        }
        if done % WARM == 0 {
            // Its lines are not read here, and calls out are not looked at.
            recorder.take();
            if let Ok(mut calls) = script.calls.lock() {
                calls.clear();
            }
        }
    }
    let end = trial.memory();
    let shown = |bytes: i64| size(u64::try_from(bytes).unwrap_or(0));
    if end - warm > GROWTH_MAX {
        return Err(format!(
            "memory grows: {} after {WARM} requests, {} after {done}: {} bytes a request",
            shown(warm),
            shown(end),
            (end - warm) / i64::try_from(done - WARM).unwrap_or(1).max(1)
        ));
    }
    Ok(format!("{} after {WARM} requests, {} after {done}", shown(warm), shown(end)))
}
