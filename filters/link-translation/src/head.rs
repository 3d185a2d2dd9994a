//! Heads: which responses are translated, and what their fields may still say.
//!
//! ```text
//!   request   If-None-Match, If-Match   our tags become the backend's; of an older map they do not match
//!             If-Range                  with our tag goes, and Range with it: the whole body comes
//!   response  not ours                  as it is
//!             ours                      Content-Length, digests and Accept-Ranges go, ETag, Vary change
//!             304                       ETag as in the 200
//! ```
//!
//! A `Range` alone passes, since nobody knows yet what the answer will be, and a part (206) is never
//! translated; translated responses do not offer ranges. A response to HEAD is treated as its GET
//! would be. It refuses to touch a response that forbids it by `no-transform`.

use std::borrow::Cow;

use abi::Edit;
use origins::AppId;

use crate::config::Maps;
use crate::etag::{self, Inside};
use crate::kind::Kind;

/// The request fields this filter can change.
pub const REQUEST_FIELDS: &[&str] = &["if-none-match", "if-match", "if-range"];

/// The response fields without one of which no response concerns this filter.
pub const RESPONSE_FIELDS: &[&str] = &["content-type", "etag"];

/// Fields that describe bytes which change.
const OF_THE_BYTES: &[&[u8]] =
    &[b"content-length", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"];

/// What a response is to this filter.
#[derive(Debug, PartialEq, Eq)]
pub enum Response {
    /// It passes as it is.
    Passed,
    /// Its fields change, and it has no body.
    Head(Vec<Edit<'static>>),
    /// Its body is translated.
    Translated(Kind, Vec<Edit<'static>>),
}

/// What a request says of a copy that the client has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// What is to be changed.
    pub edits: Vec<Edit<'static>>,
    /// It asks about a translated copy: the answer may be a 304.
    pub has_our_tag: bool,
}

/// The request's conditions, as the backend understands them. Names are lower-case.
pub fn request<'a>(version: &str, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Request {
    let mut request = Request::default();
    for (name, value) in fields {
        match name {
            b"if-none-match" => request.condition("if-none-match", value, version, false),
            b"if-match" => request.condition("if-match", value, version, true),
            b"if-range" if matches!(etag::inside(value.trim_ascii(), version), Inside::Ours { .. }) => {
                request.edits.push(Edit::Remove(Cow::Borrowed(b"if-range")));
                request.edits.push(Edit::Remove(Cow::Borrowed(b"range")));
            }
            _ => {}
        }
    }
    request
}

impl Request {
    fn condition(&mut self, name: &'static str, value: &[u8], version: &str, of_any_version: bool) {
        let mut list: Vec<u8> = Vec::new();
        let mut is_changed = false;
        for tag in etag::tags(value) {
            let tag = match etag::inside(tag, version) {
                Inside::Other => Cow::Borrowed(tag),
                Inside::Ours { tag, is_current } => {
                    is_changed = true;
                    if !(is_current || of_any_version) {
                        continue;
                    }
                    self.has_our_tag = true;
                    Cow::Owned(tag)
                }
            };
            if !list.is_empty() {
                list.extend_from_slice(b", ");
            }
            list.extend_from_slice(&tag);
        }
        if is_changed {
            let name = Cow::Borrowed(name.as_bytes());
            self.edits.push(if list.is_empty() { Edit::Remove(name) } else { Edit::Set(name, list) });
        }
    }
}

/// What becomes of a response. Names are lower-case; `has_our_tag` is the [`Request`]'s.
pub fn response<'a>(
    maps: &Maps,
    app: Option<AppId>,
    has_our_tag: bool,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Response {
    let first = |wanted: &[u8]| fields.clone().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let Some(options) = app.map(|app| maps.options(app)).filter(|options| options.translate) else {
        return Response::Passed;
    };
    let status = first(b":status").unwrap_or_default();
    if status == b"304" {
        let tag = first(b"etag").filter(|_| has_our_tag).and_then(|tag| etag::outside(tag, &maps.version));
        return tag.map_or(Response::Passed, |tag| Response::Head(vec![Edit::Set(Cow::Borrowed(b"etag"), tag)]));
    }
    let kind = first(b"content-type").and_then(Kind::of).filter(|kind| kind.is_wanted(options));
    let Some(kind) = kind else { return Response::Passed };
    let has_body = !matches!(status, b"206" | b"204" | b"205") && !status.starts_with(b"1");
    // The host has taken off every coding it knows; what is still named hides the body.
    let is_coded = first(b"content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    if !has_body || is_coded || says_no_transform(fields.clone()) {
        return Response::Passed;
    }
    Response::Translated(kind, edits(maps, fields))
}

fn edits<'a>(maps: &Maps, fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<Edit<'static>> {
    let has = |wanted: &[u8]| fields.clone().any(|(name, _)| name == wanted);
    let gone = OF_THE_BYTES.iter().filter(|name| has(name));
    let mut edits: Vec<_> = gone.map(|name| Edit::Remove(Cow::Borrowed(*name))).collect();
    if let Some((_, tag)) = fields.clone().find(|(name, _)| *name == b"etag") {
        let name = Cow::Borrowed(&b"etag"[..]);
        edits.push(match etag::outside(tag, &maps.version) {
            Some(tag) => Edit::Set(name, tag),
            None => Edit::Remove(name),
        });
    }
    let varies = |wanted: &'static [u8]| listed(fields.clone(), b"vary", wanted);
    if !varies(b"*") && !varies(b"accept-encoding") {
        edits.push(Edit::Add(Cow::Borrowed(b"vary"), b"Accept-Encoding".to_vec()));
    }
    edits
}

fn says_no_transform<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
    listed(fields, b"cache-control", b"no-transform")
}

/// Whether a comma-separated field has this member.
fn listed<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>, name: &[u8], member: &[u8]) -> bool {
    let mut values = fields.filter(|field| field.0 == name).flat_map(|field| field.1.split(|&byte| byte == b','));
    values.any(|value| value.trim_ascii().eq_ignore_ascii_case(member))
}
