//! Which fields are translated, by which grammar, and the edits that come out.

use std::borrow::Cow;

use abi::Edit;
use origins::{AppId, Side, Table};
use values::View;

use crate::cookie;

/// The request fields this filter can change. With none of them present it need not be called.
pub const REQUEST_FIELDS: &[&str] = &["origin", "referer", "destination", "if"];

/// The response fields this filter can change. With none of them present it need not be called.
pub const RESPONSE_FIELDS: &[&str] = &[
    "location",
    "content-location",
    "refresh",
    "link",
    "set-cookie",
    "content-security-policy",
    "content-security-policy-report-only",
    "access-control-allow-origin",
    "timing-allow-origin",
    "x-frame-options",
    "sourcemap",
    "x-sourcemap",
    "service-worker-allowed",
    "permissions-policy",
    "report-to",
    "reporting-endpoints",
    "alt-svc",
];

/// The app a request belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Current<'a> {
    /// Nothing if the table does not know it; then only absolute URLs are translated.
    pub app: Option<AppId>,
    /// What the `*` of a wildcard app stands for, see [`Table::label`].
    pub label: &'a [u8],
}

type Grammar = fn(&View, &[u8]) -> Option<Vec<u8>>;

enum Rule {
    Value(Grammar),
    Drop,
}

/// The edits that turn a request's external URLs into internal ones. Names are lower-case.
pub fn translate_request<'a>(
    table: &Table,
    current: Current,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Vec<Edit<'a>> {
    request_with(table, || current, fields)
}

/// The edits that turn a response's internal URLs into external ones. Names are lower-case.
pub fn translate_response<'a>(
    table: &Table,
    current: Current,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Vec<Edit<'a>> {
    response_with(table, || current, fields)
}

/// As [`translate_request`]; asks which app it is only if there is something to translate.
pub(crate) fn request_with<'a, 'c>(
    table: &Table,
    current: impl FnOnce() -> Current<'c>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Vec<Edit<'a>> {
    translate(table, Side::Internal, current, fields, request_rule)
}

/// As [`translate_response`]; asks which app it is only if there is something to translate.
pub(crate) fn response_with<'a, 'c>(
    table: &Table,
    current: impl FnOnce() -> Current<'c>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Vec<Edit<'a>> {
    translate(table, Side::External, current, fields, response_rule)
}

/// A bit per length of a name: most names of a message are sorted out by it.
const fn lengths(names: &[&str]) -> u64 {
    let (mut bits, mut i) = (0, 0);
    while i < names.len() {
        bits |= 1 << names[i].len();
        i += 1;
    }
    bits
}

const REQUEST_LENGTHS: u64 = lengths(REQUEST_FIELDS);
const RESPONSE_LENGTHS: u64 = lengths(RESPONSE_FIELDS);

fn length_fits(name: &[u8], lengths: u64) -> bool {
    name.len() < 64 && lengths >> name.len() & 1 == 1
}

fn request_rule(name: &[u8]) -> Option<Rule> {
    if !length_fits(name, REQUEST_LENGTHS) {
        return None;
    }
    Some(Rule::Value(match name {
        b"origin" => values::origins,
        b"referer" | b"destination" => values::url,
        b"if" => values::tagged,
        _ => return None,
    }))
}

fn response_rule(name: &[u8]) -> Option<Rule> {
    if !length_fits(name, RESPONSE_LENGTHS) {
        return None;
    }
    Some(Rule::Value(match name {
        b"location" | b"content-location" | b"sourcemap" | b"x-sourcemap" | b"service-worker-allowed" => values::url,
        b"refresh" => values::refresh,
        b"link" => values::link,
        b"set-cookie" => cookie::set_cookie,
        b"content-security-policy" | b"content-security-policy-report-only" => values::policy,
        b"access-control-allow-origin" | b"timing-allow-origin" => values::origins,
        b"x-frame-options" => values::frame_options,
        b"permissions-policy" | b"report-to" | b"reporting-endpoints" => values::quoted,
        // It advertises the backend's own other addresses.
        b"alt-svc" => return Some(Rule::Drop),
        _ => return None,
    }))
}

fn translate<'a, 'c>(
    table: &Table,
    towards: Side,
    current: impl FnOnce() -> Current<'c>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    rule: fn(&[u8]) -> Option<Rule>,
) -> Vec<Edit<'a>> {
    let mut concerned = fields.clone().filter_map(|(name, value)| Some((name, value, rule(name)?))).peekable();
    if concerned.peek().is_none() {
        return Vec::new();
    }
    let current = current();
    let view = View { table, towards, app: current.app, label: current.label };
    let mut edits: Vec<Edit> = Vec::new();
    for (name, value, rule) in concerned {
        if done(&edits, name) {
            continue;
        }
        match rule {
            Rule::Drop => edits.push(Edit::Remove(Cow::Borrowed(name))),
            Rule::Value(grammar) => {
                if let Some(translated) = grammar(&view, value) {
                    replace(&view, fields.clone(), (name, value), translated, grammar, &mut edits);
                }
            }
        }
    }
    edits
}

fn done(edits: &[Edit], name: &[u8]) -> bool {
    edits.iter().any(|edit| match edit {
        Edit::Remove(other) | Edit::Set(other, _) | Edit::Add(other, _) => **other == *name,
    })
}

/// A single field is set; of several with one name all are written anew, in their order.
fn replace<'a>(
    view: &View,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    changed: (&'a [u8], &'a [u8]),
    translated: Vec<u8>,
    grammar: Grammar,
    edits: &mut Vec<Edit<'a>>,
) {
    let name = changed.0;
    let mut same = fields.filter(|field| field.0 == name);
    if same.clone().nth(1).is_none() {
        return edits.push(Edit::Set(Cow::Borrowed(name), translated));
    }
    edits.push(Edit::Remove(Cow::Borrowed(name)));
    // The first changed one is translated a second time here: rare, and simpler than to carry it.
    edits.extend(
        same.by_ref()
            .map(|(_, value)| Edit::Add(Cow::Borrowed(name), grammar(view, value).unwrap_or_else(|| value.to_vec()))),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_and_the_rules_name_the_same_fields() {
        assert!(REQUEST_FIELDS.iter().all(|name| request_rule(name.as_bytes()).is_some()));
        assert!(RESPONSE_FIELDS.iter().all(|name| response_rule(name.as_bytes()).is_some()));
    }
}
