//! Lines, the clock, the timer (ABI, 3.1), and the end of an AssemblyScript module.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::memory::{put, put_u32, slice, split};
use super::{Cx, Outcome, about};
use crate::filters::observe::Level;
use crate::filters::state::Effect;
use crate::filters::status::Status;

/// The shortest timer: a filter that asks for 1 ms on 16 workers would cost 16,000 wake-ups a second.
const TICK_MIN: Duration = Duration::from_millis(10);

pub(super) fn line(cx: &mut Cx<'_>, level: u32, message: u32, message_size: u32) -> Outcome {
    let level = *Level::ALL.get(level as usize).ok_or(Status::BadArgument)?;
    let (memory, state) = split(cx)?;
    // Only what will be written is looked at: 100 MB of log are a range check.
    let message = slice(memory, message, message_size)?;
    state.line(level, message);
    Ok(())
}

pub(super) fn level(cx: &mut Cx<'_>, out_level: u32) -> Outcome {
    let (memory, state) = split(cx)?;
    put_u32(memory, out_level, state.plugin.settings.log_level as u32)
}

pub(super) fn time(cx: &mut Cx<'_>, out_time: u32) -> Outcome {
    let (memory, _) = split(cx)?;
    put(memory, out_time, &unix_nanoseconds().to_le_bytes())
}

pub(super) fn tick(cx: &mut Cx<'_>, period: u32) -> Outcome {
    about(cx, || format!("{period} ms"));
    let period = (period > 0).then(|| Duration::from_millis(period.into()).max(TICK_MIN));
    cx.data_mut().effects.push(Effect::Tick(period));
    Ok(())
}

/// `env.abort` of AssemblyScript: message and file are its strings (UTF-16, length in bytes before them).
pub(super) fn abort(mut cx: Cx<'_>, message: u32, file: u32, line: u32, column: u32) -> wasmtime::Result<()> {
    let text = |cx: &mut Cx<'_>, at: u32| -> String {
        let Ok((memory, _)) = split(cx) else { return String::new() };
        let length = at.checked_sub(4).and_then(|at| slice(memory, at, 4).ok()).and_then(|word| word.try_into().ok());
        let length = length.map_or(0, u32::from_le_bytes).min(1024) & !1;
        let units = slice(memory, at, length).unwrap_or_default().chunks_exact(2);
        let units: Vec<u16> = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let (message, file) = (text(&mut cx, message), text(&mut cx, file));
    Err(wasmtime::Error::msg(format!("abort: {message:?} at {file}:{line}:{column}")))
}

/// Unix time in nanoseconds.
pub(super) fn unix_nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
