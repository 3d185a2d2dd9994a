//! Calls out (ABI, 3.6 and 11): HTTP to the upstreams of the configuration, and to nothing else.
//!
//! gRPC links and is not done: `INTERNAL_FAILURE`, which every SDK expects.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};

use super::maps::legal_field;
use super::memory::{copy, put_u32, split};
use super::{Cx, Outcome, about, pairs};
use crate::filters::state::{CallOut, Effect};
use crate::filters::status::Status;
use crate::metrics::DeniedCapability;

/// Bytes of the body of a call.
const BODY_BYTES_MAX: u32 = 4 << 20;

#[expect(clippy::too_many_arguments, reason = "the ABI's own parameters")]
pub(super) fn http_call(
    cx: &mut Cx<'_>,
    upstream: u32,
    upstream_size: u32,
    headers: u32,
    headers_size: u32,
    body: u32,
    body_size: u32,
    trailers: u32,
    trailers_size: u32,
    timeout: u32,
    out_call: u32,
) -> Outcome {
    // Before anything irreversible: can the id be written (ABI, 6 item 5)?
    {
        let (memory, _) = split(cx)?;
        put_u32(memory, out_call, 0)?;
    }
    let upstream = String::from_utf8_lossy(&copy(cx, upstream, upstream_size.min(1024))?).into_owned();
    let list = copy(cx, headers, headers_size)?;
    let body = if body_size > BODY_BYTES_MAX {
        return refuse(cx, "a body of more than 4 MiB");
    } else {
        copy(cx, body, body_size)?
    };
    // Trailers of a request have no users; what they say is checked and not sent.
    let trailers = copy(cx, trailers, trailers_size)?;
    about(cx, || format!("{upstream:?}"));
    if !cx.data().plugin.upstreams.contains_key(&upstream) {
        let name = cx.data().plugin.settings.name.clone();
        cx.data_mut().denied(
            DeniedCapability::HttpCall,
            &format!("proxy_http_call: [filter.{name}] upstreams has no {upstream:?}"),
        );
        return Err(Status::BadArgument.into());
    }
    let mut call = match read_head(&list).and_then(|call| pairs::read(&trailers).map(|_| call)) {
        Ok(call) => call,
        Err(reason) => return refuse(cx, reason),
    };
    let state = cx.data_mut();
    let limits = state.plugin.settings.limits.clone();
    let of_stream = state.stream_mut().and_then(|(data, index)| data.slots.get(index).map(|slot| slot.calls));
    if state.calls >= limits.http_calls || of_stream.is_some_and(|calls| calls >= limits.http_calls_per_stream) {
        state.complain("proxy_http_call: limits.http_calls or limits.http_calls_per_stream is reached");
        return Err(Status::InternalFailure.into());
    }
    state.calls += 1;
    if let Some((data, index)) = state.stream_mut()
        && let Some(slot) = data.slots.get_mut(index)
    {
        slot.calls += 1;
    }
    call.id = state.next_call();
    call.context = state.effective;
    call.upstream = upstream;
    call.body = Bytes::from(body);
    let asked = Duration::from_millis(timeout.into());
    call.timeout = if asked.is_zero() { limits.http_call_timeout } else { asked.min(limits.http_call_timeout) };
    let id = call.id;
    state.effects.push(Effect::Call(Box::new(call)));
    let (memory, _) = split(cx)?;
    put_u32(memory, out_call, id)
}

fn refuse(cx: &mut Cx<'_>, reason: &str) -> Outcome {
    cx.data_mut().complain(&format!("proxy_http_call: {reason}"));
    Err(Status::BadArgument.into())
}

/// Method, path, host and fields of a call.
fn read_head(list: &[u8]) -> Result<CallOut, &'static str> {
    let (mut method, mut path, mut authority) = (None, None, None);
    let mut headers = HeaderMap::new();
    for (name, value) in pairs::read(list)? {
        match name {
            b":method" => method = Method::from_bytes(value).ok().filter(|method| *method != Method::CONNECT),
            b":path" => path = PathAndQuery::try_from(value).ok().filter(|path| path.as_str().starts_with('/')),
            b":authority" => authority = HeaderValue::from_bytes(value).ok().filter(|value| !value.is_empty()),
            [b':', ..] => {}
            name => {
                let (name, value) = legal_field(name, value).ok_or("a field that is not legal HTTP")?;
                if name == http::header::HOST {
                    authority.get_or_insert(value);
                } else {
                    headers.append(name, value);
                }
            }
        }
    }
    crate::http::fields::strip_hop_by_hop(&mut headers);
    headers.remove(http::header::CONTENT_LENGTH);
    Ok(CallOut {
        id: 0,
        context: 0,
        upstream: String::new(),
        method: method.ok_or(":method is missing or illegal")?,
        path: path.ok_or(":path is missing or illegal")?,
        authority: authority.ok_or(":authority is missing or illegal")?,
        headers,
        body: Bytes::new(),
        timeout: Duration::ZERO,
    })
}

#[expect(clippy::too_many_arguments, reason = "the ABI's own parameters")]
pub(super) fn grpc_call(
    cx: &mut Cx<'_>,
    _upstream: u32,
    _upstream_size: u32,
    _service: u32,
    _service_size: u32,
    _method: u32,
    _method_size: u32,
    _metadata: u32,
    _metadata_size: u32,
    _message: u32,
    _message_size: u32,
    _timeout: u32,
    _out_call: u32,
) -> Outcome {
    cx.data_mut().complain("proxy_grpc_call: gRPC calls are not supported");
    Err(Status::InternalFailure.into())
}

#[expect(clippy::too_many_arguments, reason = "the ABI's own parameters")]
pub(super) fn grpc_stream(
    cx: &mut Cx<'_>,
    _upstream: u32,
    _upstream_size: u32,
    _service: u32,
    _service_size: u32,
    _method: u32,
    _method_size: u32,
    _metadata: u32,
    _metadata_size: u32,
    _out_stream: u32,
) -> Outcome {
    cx.data_mut().complain("proxy_grpc_stream: gRPC calls are not supported");
    Err(Status::InternalFailure.into())
}

pub(super) fn grpc_send(_: &mut Cx<'_>, _stream: u32, _message: u32, _size: u32, _end: u32) -> Outcome {
    Err(Status::NotFound.into())
}

pub(super) fn grpc_end(_: &mut Cx<'_>, _id: u32) -> Outcome {
    Err(Status::NotFound.into())
}
