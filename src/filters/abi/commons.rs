//! Shared data and queues (ABI, 3.7 and 12).
//!
//! Granted or not is decided here and not by the imports: modules of the Rust SDK import all of these
//! and call none. Who has no grant finds nothing, and stores nothing.

use super::memory::{copy, give_bytes, put_u32, split};
use super::{Cx, Outcome, about};
use crate::filters::state::Effect;
use crate::filters::status::Status;
use crate::metrics::DeniedCapability;

/// Refuses a call that needs a grant and has none, with `status`.
fn granted(cx: &mut Cx<'_>, capability: DeniedCapability, status: Status) -> Result<(), Status> {
    let settings = &cx.data().plugin.settings;
    let is_granted = match capability {
        DeniedCapability::SharedData => settings.grants.shared_data,
        _ => settings.grants.queues,
    };
    if is_granted {
        return Ok(());
    }
    let word = capability.word();
    let text = format!("it may not use {word}; grant it with [filter.{}.capabilities] {word} = true", settings.name);
    cx.data_mut().denied(capability, &text);
    Err(status)
}

pub(super) fn read(cx: &mut Cx<'_>, key: u32, key_size: u32, out_value: u32, out_size: u32, out_cas: u32) -> Outcome {
    granted(cx, DeniedCapability::SharedData, Status::NotFound)?;
    let key = copy(cx, key, key_size)?;
    about(cx, || format!("{:?}", String::from_utf8_lossy(&key)));
    {
        let (memory, _) = split(cx)?;
        put_u32(memory, out_cas, 0)?;
    }
    let (value, cas) = cx.data().plugin.commons.read(&key).ok_or(Status::NotFound)?;
    give_bytes(cx, &value, (out_value, out_size))?;
    let (memory, _) = split(cx)?;
    put_u32(memory, out_cas, cas)
}

pub(super) fn write(cx: &mut Cx<'_>, key: u32, key_size: u32, value: u32, value_size: u32, cas: u32) -> Outcome {
    granted(cx, DeniedCapability::SharedData, Status::InternalFailure)?;
    let key = copy(cx, key, key_size)?;
    about(cx, || format!("{:?}, cas {cas}", String::from_utf8_lossy(&key)));
    let value = copy(cx, value, value_size)?;
    let state = cx.data_mut();
    let limits = &state.plugin.settings.limits;
    let room = (limits.shared_data, limits.shared_data_keys);
    let stored = state.plugin.commons.write(&key, &value, cas, room);
    if stored == Err(Status::InternalFailure) {
        state.complain("proxy_set_shared_data: limits.shared_data or limits.shared_data_keys is reached");
    }
    Ok(stored?)
}

pub(super) fn register(cx: &mut Cx<'_>, name: u32, name_size: u32, out_queue: u32) -> Outcome {
    granted(cx, DeniedCapability::Queues, Status::InternalFailure)?;
    let name = copy(cx, name, name_size)?;
    about(cx, || format!("{:?}", String::from_utf8_lossy(&name)));
    let state = cx.data_mut();
    // A VM that waits as a spare consumes nothing yet; the worker that adopts it registers again.
    let consumer = state.adopted.then(|| state.mailbox.downgrade());
    let id = state.plugin.commons.register(&name, consumer)?;
    state.effects.push(Effect::Registered(name));
    let (memory, _) = split(cx)?;
    put_u32(memory, out_queue, id)
}

pub(super) fn resolve(cx: &mut Cx<'_>, vm: u32, vm_size: u32, name: u32, name_size: u32, out_queue: u32) -> Outcome {
    granted(cx, DeniedCapability::Queues, Status::NotFound)?;
    let vm = copy(cx, vm, vm_size)?;
    let name = copy(cx, name, name_size)?;
    // Queues of another filter are found by its name, as `plugin_vm_id` gives it; "" is its own.
    let id = cx.data().plugin.commons.resolve(&String::from_utf8_lossy(&vm), &name);
    let id = id.ok_or(Status::NotFound)?;
    let (memory, _) = split(cx)?;
    put_u32(memory, out_queue, id)
}

pub(super) fn enqueue(cx: &mut Cx<'_>, queue: u32, item: u32, item_size: u32) -> Outcome {
    // Ids are small numbers: without this, guessing one would be as good as a grant.
    granted(cx, DeniedCapability::Queues, Status::NotFound)?;
    let item = copy(cx, item, item_size)?;
    let state = cx.data_mut();
    let sent = state.plugin.commons.enqueue(queue, &item, state.plugin.settings.limits.queue_items);
    if sent == Err(Status::InternalFailure) {
        state.complain("proxy_enqueue_shared_queue: limits.queue_items is reached, or the item exceeds 1 MiB");
    }
    Ok(sent?)
}

pub(super) fn dequeue(cx: &mut Cx<'_>, queue: u32, out_item: u32, out_size: u32) -> Outcome {
    // Ids are small numbers: without this, guessing one would be as good as a grant.
    granted(cx, DeniedCapability::Queues, Status::NotFound)?;
    // Checked first: an item that cannot be handed over would be lost.
    {
        let (memory, _) = split(cx)?;
        put_u32(memory, out_item, 0)?;
        put_u32(memory, out_size, 0)?;
    }
    let item = cx.data().plugin.commons.dequeue(queue)?;
    give_bytes(cx, &item, (out_item, out_size))
}
