//! `Set-Cookie` of a backend, made to arrive at the external URL.
//!
//! * `Domain`: one that covers the internal host is dropped, which makes the cookie host-only. Of a
//!   wildcard app (`*.corp.local` ↔ `*.example.com`) the shared domain becomes the other shared domain,
//!   since the operator published it as a whole. Any other domain stays: the browser judges it.
//! * `Path`: mapped like a path; one above the internal path becomes the external path, because that
//!   is all the app has outside. `__Host-` cookies keep `/`.
//! * `Secure`: the backend's flags stay, but where RFC 6265bis would have the browser drop the cookie:
//!   added outside `https` to `SameSite=None` and to `__Secure-` and `__Host-` names; taken away
//!   outside plain `http`, unless one of those demands it.
//!
//! It refuses to reorder or to mend anything else; what it does not know is copied.

use origins::{AppId, Place, Side};
use values::View;

/// Translates one `Set-Cookie` value; nothing if it stays.
pub(crate) fn set_cookie(view: &View, value: &[u8]) -> Option<Vec<u8>> {
    let app = view.app?;
    let (internal, external) = (view.table.place(app, Side::Internal), view.table.place(app, Side::External));
    let pair = value.split(|&byte| byte == b';').next().filter(|pair| !pair.trim_ascii().is_empty())?;
    let host_only = prefixed(pair, b"__host-");
    let demanded = host_only
        || prefixed(pair, b"__secure-")
        || attributes(value).any(|(name, value)| {
            name.eq_ignore_ascii_case(b"samesite") && value.trim_ascii().eq_ignore_ascii_case(b"none")
        });
    let mut out = Vec::with_capacity(value.len() + external.path.len() + 8);
    out.extend_from_slice(pair);
    let mut secure = false;
    for part in value.split(|&byte| byte == b';').skip(1) {
        let (name, text) = attribute(part);
        if name.eq_ignore_ascii_case(b"secure") {
            secure = true;
            if !external.secure && !demanded {
                continue;
            }
        }
        if name.eq_ignore_ascii_case(b"domain") {
            match domain(view, internal, external, text) {
                Domain::Stays => {}
                Domain::HostOnly => continue,
                Domain::Becomes(domain) => {
                    out.extend_from_slice(b"; Domain=");
                    out.extend_from_slice(domain);
                    continue;
                }
            }
        }
        let length = out.len();
        if name.eq_ignore_ascii_case(b"path") && !host_only {
            out.extend_from_slice(b"; Path=");
            if path(view, app, internal, external, text, &mut out) {
                continue;
            }
            out.truncate(length);
        }
        out.push(b';');
        out.extend_from_slice(part);
    }
    if demanded && !secure && external.secure {
        out.extend_from_slice(b"; Secure");
    }
    (out != value).then_some(out)
}

enum Domain<'p> {
    Stays,
    HostOnly,
    Becomes(&'p [u8]),
}

fn domain<'p>(view: &View, internal: &Place, external: &'p Place, text: &[u8]) -> Domain<'p> {
    let domain = text.strip_prefix(b".").unwrap_or(text);
    let domain = domain.strip_suffix(b".").unwrap_or(domain);
    if domain.is_empty() {
        return Domain::Stays;
    }
    if internal.wildcard {
        if covers(domain, &external.host) {
            return Domain::Stays;
        }
        if domain.eq_ignore_ascii_case(&internal.host) {
            return Domain::Becomes(&external.host);
        }
        let own = domain.get(view.label.len()..).and_then(|rest| rest.strip_prefix(b"."));
        let own = own.is_some_and(|rest| rest.eq_ignore_ascii_case(&internal.host))
            && domain.get(..view.label.len()).is_some_and(|label| label.eq_ignore_ascii_case(view.label));
        return if own || covers(domain, &internal.host) { Domain::HostOnly } else { Domain::Stays };
    }
    if covers(domain, &external.host) {
        return Domain::Stays;
    }
    if covers(domain, &internal.host) { Domain::HostOnly } else { Domain::Stays }
}

/// Whether a host is this domain or below it.
fn covers(domain: &[u8], host: &[u8]) -> bool {
    let Some(split) = host.len().checked_sub(domain.len()) else { return false };
    let (before, end) = host.split_at(split);
    end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with(b"."))
}

fn path(view: &View, app: AppId, internal: &Place, external: &Place, text: &[u8], out: &mut Vec<u8>) -> bool {
    if internal.path == external.path || text.first() != Some(&b'/') {
        return false;
    }
    if view.table.map_path(view.towards, app, text, out) {
        return true;
    }
    let above = text.strip_suffix(b"/").unwrap_or(text);
    let rest = internal.path.strip_prefix(above);
    let covers_internal = rest.is_some_and(|rest| rest.starts_with(b"/"));
    if covers_internal && text != external.path {
        out.extend_from_slice(&external.path);
        return true;
    }
    false
}

fn attributes(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    value.split(|&byte| byte == b';').skip(1).map(attribute)
}

/// Name and value without the spaces around them.
fn attribute(part: &[u8]) -> (&[u8], &[u8]) {
    let equals = part.iter().position(|&byte| byte == b'=');
    let (name, value) = part.split_at_checked(equals.unwrap_or(part.len())).unwrap_or((part, b""));
    (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii())
}

/// Browsers compare the prefixes without case (RFC 6265bis).
fn prefixed(pair: &[u8], prefix: &[u8]) -> bool {
    pair.trim_ascii_start().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
