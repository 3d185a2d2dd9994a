//! Extensions of this host, called by name (ABI, 15): no change of the ABI, and every SDK can call them.
//!
//! | name | arguments | does |
//! |---|---|---|
//! | `lockgate_skip_body` | `request` or `response` | no more body callbacks for this stream in that direction |
//! | `clear_route_cache` | none | nothing: routes are chosen before filters run; Envoy has it |

use super::memory::{copy, put_u32, split};
use super::{Cx, Outcome, about};
use crate::filters::status::Status;

pub(super) fn call(
    cx: &mut Cx<'_>,
    name: u32,
    name_size: u32,
    arguments: u32,
    arguments_size: u32,
    out_result: u32,
    out_size: u32,
) -> Outcome {
    let name = copy(cx, name, name_size.min(256))?;
    let arguments = copy(cx, arguments, arguments_size.min(64 * 1024))?;
    about(cx, || format!("{:?}", String::from_utf8_lossy(&name)));
    match &*name {
        b"lockgate_skip_body" => skip_body(cx, &arguments)?,
        b"clear_route_cache" => {}
        _ => return Err(Status::NotFound.into()),
    }
    // None of them has a result; a caller that wants none gives 0 for both addresses.
    if out_result != 0 || out_size != 0 {
        let (memory, _) = split(cx)?;
        put_u32(memory, out_result, 0)?;
        put_u32(memory, out_size, 0)?;
    }
    Ok(())
}

fn skip_body(cx: &mut Cx<'_>, arguments: &[u8]) -> Outcome {
    let way = match arguments {
        b"request" => 0,
        b"response" => 1,
        _ => return Err(Status::BadArgument.into()),
    };
    let Some((data, index)) = cx.data_mut().stream_mut() else { return Err(Status::BadArgument.into()) };
    if let Some(slot) = data.slots.get_mut(index) {
        slot.skips_body[way] = true;
    }
    Ok(())
}
