//! What happens to the stream: continue, close, answer; and whose stream it is (ABI, 3.5 and 10).
//!
//! Nothing happens before the callback has returned.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::maps::legal_field;
use super::memory::{copy, give_bytes, put_u32, split};
use super::{Cx, Outcome, about, pairs};
use crate::filters::state::{Effect, ROOT, State};
use crate::filters::status::Status;
use crate::filters::stream::LocalReply;
use crate::metrics::DeniedCapability;

/// Bytes of the body of a local response. A filter that has more to say is a backend.
const REPLY_BYTES_MAX: usize = 1 << 20;

pub(super) fn continue_stream(cx: &mut Cx<'_>, stream: u32) -> Outcome {
    about(cx, || way_name(stream).to_owned());
    match stream {
        0 | 1 => resume(cx.data_mut(), stream as usize),
        2 | 3 => Err(Status::Unimplemented.into()),
        _ => Err(Status::BadArgument.into()),
    }
}

pub(super) fn continue_request(cx: &mut Cx<'_>) -> Outcome {
    resume(cx.data_mut(), 0)
}

pub(super) fn continue_response(cx: &mut Cx<'_>) -> Outcome {
    resume(cx.data_mut(), 1)
}

fn resume(state: &mut State, way: usize) -> Outcome {
    let context = state.effective;
    let Some((data, index)) = state.stream_mut() else { return Err(Status::BadArgument.into()) };
    if let Some(slot) = data.slots.get_mut(index) {
        slot.resumed[way] = true;
    }
    state.effects.push(Effect::Wake(context));
    Ok(())
}

pub(super) fn close_stream(cx: &mut Cx<'_>, stream: u32) -> Outcome {
    about(cx, || way_name(stream).to_owned());
    if stream > 3 {
        return Err(Status::BadArgument.into());
    }
    let state = cx.data_mut();
    let context = state.effective;
    let Some((data, index)) = state.stream_mut() else { return Err(Status::BadArgument.into()) };
    data.closed.get_or_insert(index);
    state.effects.push(Effect::Wake(context));
    Ok(())
}

pub(super) fn clear_route_cache(_: &mut Cx<'_>) -> Outcome {
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI's own parameters")]
pub(super) fn send_local_response(
    cx: &mut Cx<'_>,
    status: u32,
    details: u32,
    details_size: u32,
    body: u32,
    body_size: u32,
    headers: u32,
    headers_size: u32,
    grpc_status: i32,
) -> Outcome {
    about(cx, || status.to_string());
    let details = copy(cx, details, details_size.min(1024))?;
    let body = copy(cx, body, body_size)?;
    let headers = copy(cx, headers, headers_size)?;
    let state = cx.data_mut();
    let code = u16::try_from(status).ok().filter(|code| (200..=599).contains(code));
    let Some(code) = code.and_then(|code| StatusCode::from_u16(code).ok()) else {
        state.complain(&format!("proxy_send_local_response: {status} is no status from 200 to 599"));
        return Err(Status::BadArgument.into());
    };
    if !state.plugin.settings.grants.local_response {
        state
            .denied(DeniedCapability::LocalResponse, "capabilities.local_response is false; the response was not sent");
        return Ok(());
    }
    if body.len() > REPLY_BYTES_MAX || headers.len() > state.plugin.settings.limits.local_response_headers {
        state.complain("proxy_send_local_response: more than 1 MiB, or than limits.local_response_headers");
        return Err(Status::BadArgument.into());
    }
    let fields = match reply_fields(&headers) {
        Ok(fields) => fields,
        Err(reason) => {
            state.complain(&format!("proxy_send_local_response: {reason}"));
            return Err(Status::BadArgument.into());
        }
    };
    let details = String::from_utf8_lossy(&details).replace(char::is_whitespace, "_");
    let reply = LocalReply { status: code, headers: fields, body: Bytes::from(body), details, grpc_status };
    let context = state.effective;
    let Some((data, index)) = state.stream_mut() else { return Err(Status::BadArgument.into()) };
    if data.committed || data.reply.is_some() {
        state.complain("proxy_send_local_response: there is a response already; ignored");
        return Ok(());
    }
    data.reply = Some((index, reply));
    state.effects.push(Effect::Wake(context));
    Ok(())
}

/// The fields of a local response; pseudo-headers and framing are the host's.
fn reply_fields(list: &[u8]) -> Result<HeaderMap, &'static str> {
    let mut fields = HeaderMap::new();
    for (name, value) in pairs::read(list)? {
        if name.first() == Some(&b':') {
            continue;
        }
        let (name, value) = legal_field(name, value).ok_or("a field that is not legal HTTP")?;
        if name != http::header::CONTENT_LENGTH && name != http::header::TRANSFER_ENCODING {
            fields.append(name, value);
        }
    }
    Ok(fields)
}

pub(super) fn status(cx: &mut Cx<'_>, out_code: u32, out_message: u32, out_size: u32) -> Outcome {
    {
        let (memory, _) = split(cx)?;
        put_u32(memory, out_code, 0)?;
    }
    give_bytes(cx, b"", (out_message, out_size))
}

pub(super) fn set_effective_context(cx: &mut Cx<'_>, context: u32) -> Outcome {
    about(cx, || context.to_string());
    // A VM has one root, so every context of it is of the same root.
    if cx.data_mut().act_on(context) { Ok(()) } else { Err(Status::BadArgument.into()) }
}

pub(super) fn done(cx: &mut Cx<'_>) -> Outcome {
    let state = cx.data_mut();
    if !state.ending || state.effective != ROOT {
        return Err(Status::NotFound.into());
    }
    state.effects.push(Effect::Done);
    Ok(())
}

fn way_name(stream: u32) -> &'static str {
    match stream {
        0 => "request",
        1 => "response",
        2 => "downstream",
        3 => "upstream",
        _ => "unknown",
    }
}
