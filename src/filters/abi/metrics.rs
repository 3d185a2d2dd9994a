//! Metrics of the filter's own (ABI, 3.7 and 13).
//!
//! A filter over its limit gets the id of a metric that is shown nowhere, because the Rust SDK traps
//! on anything but `OK`.

use super::memory::{copy, put, put_u32, split};
use super::{Cx, Outcome, about};
use crate::filters::status::Status;
use crate::metrics::CustomKind;

pub(super) fn define(cx: &mut Cx<'_>, kind: u32, name: u32, name_size: u32, out_metric: u32) -> Outcome {
    let kind = match kind {
        0 => CustomKind::Counter,
        1 => CustomKind::Gauge,
        2 => CustomKind::Histogram,
        _ => return Err(Status::BadArgument.into()),
    };
    let name = String::from_utf8_lossy(&copy(cx, name, name_size.min(4096))?).into_owned();
    about(cx, || format!("{name:?}"));
    let state = cx.data_mut();
    let settings = &state.plugin.settings;
    let handle = state.plugin.custom.define(&settings.name, kind, &name, settings.limits.metrics);
    // Ids as in the reference host: the low two bits tell the kind.
    let id = u32::try_from(state.metrics.len() + 1).unwrap_or(u32::MAX >> 2) << 2 | kind as u32;
    if state.metrics.len() < settings.limits.metrics.saturating_mul(4) {
        state.metrics.insert(id, handle);
    }
    let (memory, _) = split(cx)?;
    put_u32(memory, out_metric, id)
}

pub(super) fn increment(cx: &mut Cx<'_>, metric: u32, by: i64) -> Outcome {
    let metric = cx.data().metrics.get(&metric).ok_or(Status::NotFound)?;
    match metric.kind() {
        CustomKind::Counter if by <= 0 => Err(Status::BadArgument.into()),
        CustomKind::Histogram => Err(Status::BadArgument.into()),
        CustomKind::Counter | CustomKind::Gauge => {
            metric.add(by);
            Ok(())
        }
    }
}

pub(super) fn record(cx: &mut Cx<'_>, metric: u32, value: i64) -> Outcome {
    let metric = cx.data().metrics.get(&metric).ok_or(Status::NotFound)?;
    match metric.kind() {
        // As in Envoy.
        CustomKind::Counter => metric.add(value.max(0)),
        CustomKind::Gauge => metric.set(value.cast_unsigned()),
        CustomKind::Histogram => metric.observe(value.cast_unsigned()),
    }
    Ok(())
}

pub(super) fn value(cx: &mut Cx<'_>, metric: u32, out_value: u32) -> Outcome {
    let metric = cx.data().metrics.get(&metric).ok_or(Status::NotFound)?;
    if metric.kind() == CustomKind::Histogram {
        return Err(Status::BadArgument.into());
    }
    let value = metric.value();
    let (memory, _) = split(cx)?;
    put(memory, out_value, &value.to_le_bytes())
}
