//! The guest's memory: ranges that are checked, and bytes that are handed over (ABI, 6).
//!
//! A bad range is a status, never a trap. One allocation per host call at most, and none for
//! nothing: the Go SDK's allocator panics when asked for 0 bytes.

use wasmtime::{AsContextMut, Extern};

use super::{Cx, Fail, Outcome};
use crate::filters::state::{Phase, State};
use crate::filters::status::Status;

/// Where a guest wants a pointer and a length written.
pub(in crate::filters) type Out = (u32, u32);

/// The guest's memory and the host's state, both at once.
pub(in crate::filters) fn split<'a>(cx: &'a mut Cx<'_>) -> Result<(&'a mut [u8], &'a mut State), Fail> {
    let memory = match cx.data().memory {
        Some(memory) => memory,
        // A start function runs before anybody could look the export up.
        None => match cx.get_export("memory") {
            Some(Extern::Memory(memory)) => memory,
            _ => return Err(Status::InvalidMemoryAccess.into()),
        },
    };
    let (bytes, state) = memory.data_and_store_mut(cx.as_context_mut());
    Ok((bytes, state))
}

/// `length` bytes at `at`.
pub(in crate::filters) fn slice(memory: &[u8], at: u32, length: u32) -> Result<&[u8], Fail> {
    let at = at as usize;
    let end = at.checked_add(length as usize).ok_or(Status::InvalidMemoryAccess)?;
    Ok(memory.get(at..end).ok_or(Status::InvalidMemoryAccess)?)
}

/// Writes `bytes` at `at`.
pub(in crate::filters) fn put(memory: &mut [u8], at: u32, bytes: &[u8]) -> Outcome {
    let at = at as usize;
    let end = at.checked_add(bytes.len()).ok_or(Status::InvalidMemoryAccess)?;
    memory.get_mut(at..end).ok_or(Status::InvalidMemoryAccess)?.copy_from_slice(bytes);
    Ok(())
}

/// Writes a number at `at`.
pub(in crate::filters) fn put_u32(memory: &mut [u8], at: u32, number: u32) -> Outcome {
    put(memory, at, &number.to_le_bytes())
}

/// Copies `length` bytes at `at` out of the guest.
pub(in crate::filters) fn copy(cx: &mut Cx<'_>, at: u32, length: u32) -> Result<Vec<u8>, Fail> {
    let (memory, state) = split(cx)?;
    let bytes = slice(memory, at, length)?.to_vec();
    state.moved += bytes.len();
    Ok(bytes)
}

/// Hands `length` bytes to the guest: allocates them there, has `fill` write them, and writes
/// pointer and length to `out`.
pub(in crate::filters) fn give(
    cx: &mut Cx<'_>,
    length: usize,
    (out_bytes, out_size): Out,
    fill: impl FnOnce(&State, &mut [u8]),
) -> Outcome {
    let size = u32::try_from(length).map_err(|_| Status::InternalFailure)?;
    {
        // Checked before anything happens, and read as nothing until the end.
        let (memory, _) = split(cx)?;
        put_u32(memory, out_bytes, 0)?;
        put_u32(memory, out_size, 0)?;
    }
    if length == 0 {
        return Ok(());
    }
    let at = allocate(cx, size)?;
    // The memory may have grown, and moved, meanwhile.
    let (memory, state) = split(cx)?;
    let begin = at as usize;
    let place = begin.checked_add(length).and_then(|end| memory.get_mut(begin..end));
    fill(state, place.ok_or(Status::InvalidMemoryAccess)?);
    state.moved += length;
    put_u32(memory, out_bytes, at)?;
    put_u32(memory, out_size, size)
}

/// Hands `bytes` to the guest.
pub(in crate::filters) fn give_bytes(cx: &mut Cx<'_>, bytes: &[u8], out: Out) -> Outcome {
    give(cx, bytes.len(), out, |_, place| place.copy_from_slice(bytes))
}

fn allocate(cx: &mut Cx<'_>, size: u32) -> Result<u32, Fail> {
    let state = cx.data_mut();
    let allocator = state.allocator.clone().ok_or(Status::InvalidMemoryAccess)?;
    let phase = std::mem::replace(&mut state.phase, Phase::Allocate);
    let called = allocator.call(cx.as_context_mut(), size);
    cx.data_mut().phase = phase;
    match called {
        Ok(0) => Err(Status::InvalidMemoryAccess.into()),
        Ok(at) => Ok(at),
        Err(trap) => Err(Fail::Trap(trap)),
    }
}
