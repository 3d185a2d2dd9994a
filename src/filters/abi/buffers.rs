//! Bodies, configurations and the response of a call as buffers (ABI, 3.2 and 16).
//!
//! The whole of `set_buffer_bytes` works, inside a body too; Envoy only prepends, appends and
//! exchanges everything.

use super::memory::{give, put_u32, slice, split};
use super::{Cx, Fail, Outcome, about};
use crate::filters::state::{Phase, State};
use crate::filters::status::{BufferKind, Status};

/// The bytes of a buffer, as far as it is available.
fn buffer(state: &State, kind: BufferKind) -> Result<&[u8], Fail> {
    let settings = &state.plugin.settings;
    match kind {
        BufferKind::RequestBody | BufferKind::ResponseBody => {
            let way = usize::from(kind == BufferKind::ResponseBody);
            let slot = state.stream().and_then(|data| data.slots.get(state.index));
            Ok(slot.map_or(&[], |slot| slot.held[way].as_slice()))
        }
        // As Envoy: TCP and gRPC messages are empty here, not unknown.
        BufferKind::Tcp | BufferKind::GrpcMessage => Ok(&[]),
        BufferKind::CallResponseBody => Ok(state.call.as_ref().map(|call| &call.body[..]).ok_or(Status::NotFound)?),
        BufferKind::VmConfiguration => Ok(&settings.vm_configuration),
        BufferKind::PluginConfiguration if state.phase == Phase::VmStart => Err(Status::NotFound.into()),
        BufferKind::PluginConfiguration => Ok(&settings.configuration),
        BufferKind::ForeignFunctionArguments => Err(Status::NotFound.into()),
    }
}

pub(super) fn read(cx: &mut Cx<'_>, kind: u32, start: u32, max_size: u32, out_bytes: u32, out_size: u32) -> Outcome {
    about(cx, || format!("buffer {kind}, {max_size} from {start}"));
    let kind = BufferKind::from_number(kind).ok_or(Status::BadArgument)?;
    start.checked_add(max_size).ok_or(Status::BadArgument)?;
    let start = start as usize;
    let length = buffer(cx.data(), kind)?.len().saturating_sub(start).min(max_size as usize);
    give(cx, length, (out_bytes, out_size), |state, place| {
        if let Some(bytes) = buffer(state, kind).ok().and_then(|bytes| bytes.get(start..start + length)) {
            place.copy_from_slice(bytes);
        }
    })
}

pub(super) fn status(cx: &mut Cx<'_>, kind: u32, out_length: u32, out_flags: u32) -> Outcome {
    let kind = BufferKind::from_number(kind).ok_or(Status::BadArgument)?;
    let length = u32::try_from(buffer(cx.data(), kind)?.len()).unwrap_or(u32::MAX);
    let (memory, _) = split(cx)?;
    put_u32(memory, out_length, length)?;
    put_u32(memory, out_flags, 0)
}

pub(super) fn write(cx: &mut Cx<'_>, kind: u32, start: u32, size: u32, bytes: u32, bytes_size: u32) -> Outcome {
    about(cx, || format!("buffer {kind}, {size} at {start} by {bytes_size}"));
    let kind = BufferKind::from_number(kind).ok_or(Status::BadArgument)?;
    let way = match kind {
        BufferKind::RequestBody => 0,
        BufferKind::ResponseBody => 1,
        _ => return Err(Status::BadArgument.into()),
    };
    let (memory, state) = split(cx)?;
    let bytes = slice(memory, bytes, bytes_size)?;
    let maximum = state.plugin.settings.limits.buffers[way];
    state.moved += bytes.len();
    let Some((data, index)) = state.stream_mut() else { return Err(Status::BadArgument.into()) };
    let held = match data.slots.get_mut(index) {
        // There is something to write to only in a body callback, while paused by one, or before the
        // trailers: what a filter still held of the body goes before them.
        Some(slot) if !slot.held[way].is_empty() || slot.last_chunk[way] || slot.trailers_open[way] => {
            &mut slot.held[way]
        }
        _ => return Err(Status::BadArgument.into()),
    };
    // At the end there is nothing to exchange, however much is named.
    let exchanged = held.len().saturating_sub(start as usize).min(size as usize);
    if held.len() - exchanged + bytes.len() > maximum.max(held.len()) {
        state.complain("proxy_set_buffer_bytes: the body would exceed limits.request_buffer or response_buffer");
        return Err(Status::BadArgument.into());
    }
    held.splice(start as usize, size as usize, bytes);
    Ok(())
}

pub(super) fn configuration(cx: &mut Cx<'_>, out_bytes: u32, out_size: u32) -> Outcome {
    let of = |state: &State| match state.phase {
        Phase::VmStart => state.plugin.settings.vm_configuration.clone(),
        _ => state.plugin.settings.configuration.clone(),
    };
    let bytes = of(cx.data());
    give(cx, bytes.len(), (out_bytes, out_size), |_, place| place.copy_from_slice(&bytes))
}
