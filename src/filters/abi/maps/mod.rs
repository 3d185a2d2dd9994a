//! Header maps (ABI, 3.3 and 16): pseudo-headers first, names in lower case, duplicates as separate pairs.
//!
//! Credentials and vouched-for fields are hidden from a filter, and kept from its hands, unless they
//! are granted. A value that could split a message is refused. Fields that frame a message may be
//! written and have no effect: framing is the host's.

mod view;

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use super::memory::{copy, give, put_u32, slice, split};
use super::{Cx, Fail, Outcome, about, pairs};
use crate::filters::plugin::{HeaderBytes, Plugin};
use crate::filters::state::{Named, Phase, State};
use crate::filters::status::{MapKind, Status};
use crate::filters::stream::Way;
use crate::metrics::{DeniedCapability, FilterPhase};
use view::{Key, View, lossy, map_size};
pub(in crate::filters) use view::{serialised, shown_value};

/// Fields of one map: far above what any head may have, far below what memory could hold.
const FIELDS_MAX: usize = 1024;

/// Bytes of one value.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// A name and a value that may go into a message.
pub(in crate::filters) fn legal_field(name: &[u8], value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name).ok()?, legal_value(value)?))
}

fn legal_value(value: &[u8]) -> Option<HeaderValue> {
    let value = value.trim_ascii();
    if value.len() > VALUE_BYTES_MAX {
        return None;
    }
    HeaderValue::from_bytes(value).ok()
}

fn kind(number: u32) -> Result<MapKind, Fail> {
    Ok(MapKind::from_number(number).ok_or(Status::BadArgument)?)
}

pub(super) fn size(cx: &mut Cx<'_>, map: u32, out_size: u32) -> Outcome {
    let size = map_size(cx.data(), kind(map)?);
    let (memory, _) = split(cx)?;
    put_u32(memory, out_size, u32::try_from(size).unwrap_or(u32::MAX))
}

pub(super) fn pairs(cx: &mut Cx<'_>, map: u32, out_pairs: u32, out_size: u32) -> Outcome {
    about(cx, || map_name(map).to_owned());
    let kind = kind(map)?;
    let size = map_size(cx.data(), kind);
    give(cx, size, (out_pairs, out_size), |state, place| {
        if let Some(view) = View::of(state, kind) {
            view.write(place);
        }
    })
}

pub(super) fn value(cx: &mut Cx<'_>, map: u32, key: u32, key_size: u32, out_value: u32, out_size: u32) -> Outcome {
    let kind = kind(map)?;
    let key = {
        let (memory, state) = split(cx)?;
        let text = slice(memory, key, key_size)?;
        if state.observer.as_ref().is_some_and(|observer| observer.traces()) {
            state.about = format!("{}, {:?}", map_name(map), String::from_utf8_lossy(text));
        }
        Key::read(state, text).ok_or(Status::NotFound)?
    };
    let found = View::of(cx.data(), kind).and_then(|view| view.value(&key));
    let length = found.ok_or(Status::NotFound)?.len();
    give(cx, length, (out_value, out_size), |state, place| {
        if let Some(value) = View::of(state, kind).and_then(|view| view.value(&key)) {
            place.copy_from_slice(&value);
        }
    })
}

/// What is done to a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Add,
    Replace,
    Remove,
}

pub(super) fn add(cx: &mut Cx<'_>, map: u32, key: u32, key_size: u32, value: u32, value_size: u32) -> Outcome {
    edit(cx, map, (key, key_size), (value, value_size), Edit::Add)
}

pub(super) fn replace(cx: &mut Cx<'_>, map: u32, key: u32, key_size: u32, value: u32, value_size: u32) -> Outcome {
    edit(cx, map, (key, key_size), (value, value_size), Edit::Replace)
}

pub(super) fn remove(cx: &mut Cx<'_>, map: u32, key: u32, key_size: u32) -> Outcome {
    edit(cx, map, (key, key_size), (0, 0), Edit::Remove)
}

fn edit(cx: &mut Cx<'_>, map: u32, key: (u32, u32), value: (u32, u32), edit: Edit) -> Outcome {
    let kind = kind(map)?;
    let (memory, state) = split(cx)?;
    let name = slice(memory, key.0, key.1)?;
    let value = slice(memory, value.0, value.1)?;
    if state.observer.as_ref().is_some_and(|observer| observer.traces()) {
        let text = String::from_utf8_lossy;
        state.about = format!("{}, {:?}: {:?}", map_name(map), text(name), text(value));
        state.moved += value.len();
    }
    if !writable(state, kind) {
        state.complain(&format!("{} cannot be written in this callback", map_name(map)));
        return Err(Status::BadArgument.into());
    }
    if name.first() == Some(&b':') {
        return set_pseudo(state, kind, name, value, edit);
    }
    let Some(Named { name, barred, .. }) = state.name(name) else {
        state.complain("a field name that is no token (RFC 9110, 5.1) was refused");
        return Err(Status::BadArgument.into());
    };
    if barred {
        let text = format!("{name} may not be set without capabilities.protected_headers = [\"{name}\"]; ignored");
        state.denied(DeniedCapability::ProtectedHeaders, &text);
        return Ok(());
    }
    let Some(value) = legal_value(value) else {
        state.complain(&format!("a value of {name} with CR, LF, NUL or more than 64 KiB was refused"));
        return Err(Status::BadArgument.into());
    };
    let Some(fields) = fields_mut(state, kind) else { return Err(Status::BadArgument.into()) };
    match edit {
        Edit::Remove => drop(fields.remove(&name)),
        _ if fields.len() >= FIELDS_MAX => return Err(Status::BadArgument.into()),
        Edit::Replace => {
            // Removed first, so that the new one stands at the end (ABI, 3.3).
            fields.remove(&name);
            fields.append(name, value);
        }
        Edit::Add => drop(fields.append(name, value)),
    }
    Ok(())
}

pub(super) fn set_pairs(cx: &mut Cx<'_>, map: u32, list: u32, list_size: u32) -> Outcome {
    about(cx, || map_name(map).to_owned());
    let kind = kind(map)?;
    let list = copy(cx, list, list_size)?;
    let state = cx.data_mut();
    if !writable(state, kind) {
        state.complain(&format!("{} cannot be written in this callback", map_name(map)));
        return Err(Status::BadArgument.into());
    }
    let list = match pairs::read(&list) {
        Ok(list) => list,
        Err(reason) => {
            state.complain(&format!("proxy_set_header_map_pairs: {reason}"));
            return Err(Status::BadArgument.into());
        }
    };
    let mut fresh = HeaderMap::with_capacity(list.len());
    for (name, value) in list {
        if name.first() == Some(&b':') {
            set_pseudo(state, kind, name, value, Edit::Replace)?;
            continue;
        }
        let Some((name, value)) = legal_field(name, value) else {
            state.complain("proxy_set_header_map_pairs: a field that is not legal HTTP was refused");
            return Err(Status::BadArgument.into());
        };
        let value = original(state, kind, &name, &value).unwrap_or(value);
        fresh.append(name, value);
    }
    let plugin = state.plugin.clone();
    let Some(fields) = fields_mut(state, kind) else { return Err(Status::BadArgument.into()) };
    // What the filter may not touch stays as it was, whatever its list says.
    let kept: Vec<HeaderName> = fields.keys().filter(|name| plugin.protection.bars(name)).cloned().collect();
    let barred: Vec<HeaderName> = fresh.keys().filter(|name| plugin.protection.bars(name)).cloned().collect();
    for name in barred {
        fresh.remove(name);
    }
    for name in kept {
        for value in fields.get_all(&name) {
            fresh.append(name.clone(), value.clone());
        }
    }
    *fields = fresh;
    Ok(())
}

/// The value that was shown as `value`: what a filter hands back unread keeps its bytes.
fn original(state: &State, kind: MapKind, name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
    if value.as_bytes().is_ascii() {
        return None;
    }
    let view = View::of(state, kind)?;
    view.fields.get_all(name).iter().find(|old| *lossy(old.as_bytes()) == *value.as_bytes()).cloned()
}

fn writable(state: &State, kind: MapKind) -> bool {
    let Some(slot) = state.stream().and_then(|data| data.slots.get(state.index)) else { return false };
    if state.phase == Phase::Running(FilterPhase::Log) {
        return false;
    }
    match kind {
        MapKind::RequestHeaders => slot.head_open[0],
        MapKind::ResponseHeaders => slot.head_open[1],
        MapKind::RequestTrailers => slot.trailers_open[0] || slot.last_chunk[0],
        MapKind::ResponseTrailers => slot.trailers_open[1] || slot.last_chunk[1],
        MapKind::Grpc | MapKind::CallResponseHeaders | MapKind::CallResponseTrailers => false,
    }
}

fn fields_mut(state: &mut State, kind: MapKind) -> Option<&mut HeaderMap> {
    let (data, _) = state.stream_mut()?;
    match kind {
        MapKind::RequestHeaders => Some(&mut data.headers[Way::Request as usize]),
        MapKind::ResponseHeaders => Some(&mut data.headers[Way::Response as usize]),
        MapKind::RequestTrailers => Some(data.trailers[0].get_or_insert_default()),
        MapKind::ResponseTrailers => Some(data.trailers[1].get_or_insert_default()),
        MapKind::Grpc | MapKind::CallResponseHeaders | MapKind::CallResponseTrailers => None,
    }
}

/// Sets a pseudo-header; one that cannot be set here, or removed at all, is left alone as in Envoy.
fn set_pseudo(state: &mut State, kind: MapKind, name: &[u8], value: &[u8], edit: Edit) -> Outcome {
    let Some((data, _)) = state.stream_mut() else { return Err(Status::BadArgument.into()) };
    if edit == Edit::Remove {
        return Ok(());
    }
    let set = match (kind, name) {
        (MapKind::RequestHeaders, b":method") => Method::from_bytes(value).map(|method| data.method = method).is_ok(),
        (MapKind::RequestHeaders, b":path") => {
            if value == data.path.as_str().as_bytes() {
                return Ok(());
            }
            let path = PathAndQuery::try_from(value).ok().filter(|path| path.as_str().starts_with('/'));
            data.path_changed |= path.is_some();
            path.map(|path| data.path = path).is_some()
        }
        (MapKind::RequestHeaders, b":authority") => {
            let authority = HeaderValue::from_bytes(value).ok().filter(|value| !value.is_empty());
            let changed = authority.as_ref().is_some_and(|authority| *authority != data.authority);
            data.authority_changed |= changed;
            authority.map(|authority| data.authority = authority).is_some()
        }
        (MapKind::ResponseHeaders, b":status") => {
            let status = StatusCode::from_bytes(value).ok().filter(|status| status.as_u16() >= 200);
            // A 101 is no ordinary answer, and none can be made one.
            match (data.status, status) {
                (Some(StatusCode::SWITCHING_PROTOCOLS), _) => return Ok(()),
                (_, Some(status)) => data.status = Some(status),
                (_, None) => return Err(Status::BadArgument.into()),
            }
            true
        }
        // `:scheme` and whatever else is not the filter's to say.
        _ => true,
    };
    if set { Ok(()) } else { Err(Status::BadArgument.into()) }
}

fn map_name(map: u32) -> &'static str {
    match map {
        0 => "request headers",
        1 => "request trailers",
        2 => "response headers",
        3 => "response trailers",
        4 => "gRPC initial metadata",
        5 => "gRPC trailing metadata",
        6 => "call response headers",
        7 => "call response trailers",
        _ => "unknown map",
    }
}
