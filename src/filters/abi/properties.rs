//! What a filter may know about a request and its surroundings (ABI, 3.4 and 14).
//!
//! Names are those of Envoy's attributes, values in the forms of ABI, 5. What this host does not
//! know is `NOT_FOUND`, never an invented value; credentials stay hidden here too.

use std::time::UNIX_EPOCH;

use bytes::Bytes;

use super::log::unix_nanoseconds;
use super::memory::{copy, give_bytes};
use super::{Cx, Outcome, about, maps, pairs};
use crate::filters::charset::charset_of;
use crate::filters::state::State;
use crate::filters::status::{MapKind, Status};
use crate::filters::stream::Data;

/// Bytes of all properties a request's filters keep.
const KEPT_BYTES_MAX: usize = 64 * 1024;

pub(super) fn read(cx: &mut Cx<'_>, path: u32, path_size: u32, out_value: u32, out_size: u32) -> Outcome {
    let path = copy(cx, path, path_size.min(4096))?;
    let shown = || String::from_utf8_lossy(&path).replace('\0', ".");
    about(cx, shown);
    let parts: Vec<&[u8]> = path.split(|&byte| byte == 0).collect();
    let value = property(cx.data(), &parts).ok_or(Status::NotFound)?;
    let Value::Bytes(value) = value else { return Err(Status::SerializationFailure.into()) };
    give_bytes(cx, &value, (out_value, out_size))
}

pub(super) fn write(cx: &mut Cx<'_>, path: u32, path_size: u32, value: u32, value_size: u32) -> Outcome {
    let path = copy(cx, path, path_size.min(4096))?;
    let value = copy(cx, value, value_size)?;
    let state = cx.data_mut();
    let Some((data, _)) = state.stream_mut() else { return Err(Status::NotFound.into()) };
    let kept: usize = data.properties.iter().map(|(path, value)| path.len() + value.len()).sum();
    if kept + path.len() + value.len() > KEPT_BYTES_MAX {
        state.complain("proxy_set_property: more than 64 KiB for one request");
        return Err(Status::InternalFailure.into());
    }
    data.properties.insert(path, Bytes::from(value));
    Ok(())
}

enum Value {
    Bytes(Vec<u8>),
    /// A group: it has parts and no serialised form.
    Group,
}

fn text(text: impl AsRef<[u8]>) -> Option<Value> {
    Some(Value::Bytes(text.as_ref().to_vec()))
}

fn number(number: u64) -> Option<Value> {
    text(number.to_le_bytes())
}

fn property(state: &State, parts: &[&[u8]]) -> Option<Value> {
    let settings = &state.plugin.settings;
    // Where the words are read as text, a byte that is none matches nothing.
    let words: Vec<&str> = parts.iter().map(|part| std::str::from_utf8(part).unwrap_or("\u{fffd}")).collect();
    match *words.as_slice() {
        // The C++ SDK's registry of factories asks for this before anything else (ABI, 18).
        ["plugin_root_id"] => return text(&settings.root_id),
        ["plugin_name" | "plugin_vm_id"] => return text(&settings.name),
        _ => {}
    }
    let data = state.stream()?;
    match *words.as_slice() {
        ["request", name] => request(state, data, name),
        ["request", "headers", name] => header(state, MapKind::RequestHeaders, name),
        ["response", name] => response(state, data, name),
        ["response", "headers", name] => header(state, MapKind::ResponseHeaders, name),
        ["response", "trailers", name] => header(state, MapKind::ResponseTrailers, name),
        ["source", "address"] => text(data.facts.peer.to_string()),
        ["source", "port"] => number(data.facts.peer.port().into()),
        ["destination", "address"] => text(data.facts.local.to_string()),
        ["destination", "port"] => number(data.facts.local.port().into()),
        ["connection", "id"] => number(data.facts.connection),
        ["connection", "tls_version"] => data.facts.tls_version.and_then(text),
        ["connection", "requested_server_name"] => text(data.facts.server_name.as_deref().unwrap_or("")),
        // Clients of the public door bring no certificates.
        ["connection", "mtls"] => text([0]),
        // What the bytes of a body mean, as a browser would read them (HTML, 13.2.3.2).
        ["lockgate", "response", "charset"] => text(charset(state, data)),
        ["xds", "route_name"] | ["route_name"] | ["lockgate", "app"] => text(&*data.facts.app),
        ["request" | "response" | "source" | "destination" | "connection" | "upstream" | "xds" | "lockgate"] => {
            Some(Value::Group)
        }
        [_] => data.properties.get(parts[0]).and_then(text),
        // Envoy shows what was set under "a" as wasm.a in the filter state.
        ["filter_state", name] => data.properties.get(name.strip_prefix("wasm.")?.as_bytes()).and_then(text),
        _ => None,
    }
}

/// The label of the response's character encoding; from its head, and from what is held of its body.
fn charset(state: &State, data: &Data) -> &'static str {
    let held = data.slots.get(state.index).map_or(&[][..], |slot| slot.held[1].as_slice());
    charset_of(data.headers[1].get(http::header::CONTENT_TYPE), held).label
}

fn request(state: &State, data: &Data, name: &str) -> Option<Value> {
    match name {
        "path" => text(data.path.as_str()),
        "url_path" => text(data.path.path()),
        "query" => text(data.path.query().unwrap_or("")),
        "host" => text(data.authority.as_bytes()),
        "scheme" => text(data.facts.scheme),
        "method" => text(data.method.as_str()),
        "protocol" => text(data.facts.protocol),
        "id" => text(data.facts.id.as_str()),
        "referer" => header(state, MapKind::RequestHeaders, "referer"),
        "useragent" => header(state, MapKind::RequestHeaders, "user-agent"),
        "headers" => text(all(state, MapKind::RequestHeaders)),
        "time" => number(nanoseconds_since_epoch(data)),
        "duration" => number(unix_nanoseconds().saturating_sub(nanoseconds_since_epoch(data))),
        "size" => number(data.sizes[0]),
        "total_size" => number(data.sizes[0] + head_size(state, MapKind::RequestHeaders)),
        _ => None,
    }
}

fn response(state: &State, data: &Data, name: &str) -> Option<Value> {
    let status = data.status?;
    match name {
        "code" => number(status.as_u16().into()),
        "code_details" => text(if data.details.is_empty() { "via_upstream" } else { &data.details }),
        "headers" => text(all(state, MapKind::ResponseHeaders)),
        "trailers" => text(all(state, MapKind::ResponseTrailers)),
        "size" => number(data.sizes[1]),
        "total_size" => number(data.sizes[1] + head_size(state, MapKind::ResponseHeaders)),
        _ => None,
    }
}

fn header(state: &State, kind: MapKind, name: &str) -> Option<Value> {
    maps::shown_value(state, kind, name.as_bytes()).and_then(text)
}

fn all(state: &State, kind: MapKind) -> Vec<u8> {
    maps::serialised(state, kind)
}

fn head_size(state: &State, kind: MapKind) -> u64 {
    // Names, values, and ": " and CR LF of each.
    let list = maps::serialised(state, kind);
    let pairs = pairs::read(&list).unwrap_or_default();
    pairs.iter().map(|(name, value)| (name.len() + value.len() + 4) as u64).sum()
}

fn nanoseconds_since_epoch(data: &Data) -> u64 {
    let since = data.facts.began.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
