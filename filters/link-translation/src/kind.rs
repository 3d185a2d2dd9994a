//! What a body is, by its `Content-Type`, and whether that is translated.
//!
//! It refuses to sniff: what a browser makes of a body without a type is its own affair.

use crate::config::Options;

/// The languages that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `text/html`.
    Html,
    /// XHTML, SVG, feeds, sitemaps, DASH, WSDL: whatever is XML.
    Xml,
    /// `text/css`.
    Css,
    /// JSON and JavaScript.
    Script,
    /// Web manifests, which are JSON whose members are all URLs and names.
    Manifest,
    /// `text/event-stream`.
    EventStream,
    /// HLS.
    Playlist,
}

impl Kind {
    /// The kind of a media type.
    pub fn of(content_type: &[u8]) -> Option<Kind> {
        let end = content_type.iter().position(|&byte| byte == b';').unwrap_or(content_type.len());
        let essence = content_type.get(..end)?.trim_ascii().to_ascii_lowercase();
        Some(match essence.as_slice() {
            b"text/html" => Kind::Html,
            b"text/xml" | b"application/xml" => Kind::Xml,
            b"text/css" => Kind::Css,
            b"application/manifest+json" => Kind::Manifest,
            b"text/event-stream" => Kind::EventStream,
            b"application/vnd.apple.mpegurl" | b"application/x-mpegurl" | b"audio/mpegurl" | b"audio/x-mpegurl" => {
                Kind::Playlist
            }
            b"text/javascript"
            | b"application/javascript"
            | b"application/x-javascript"
            | b"text/ecmascript"
            | b"application/ecmascript"
            | b"application/json"
            | b"text/json"
            | b"application/x-ndjson"
            | b"application/jsonl" => Kind::Script,
            essence if essence.ends_with(b"+xml") => Kind::Xml,
            essence if essence.ends_with(b"+json") => Kind::Script,
            _ => return None,
        })
    }

    /// Whether an app wants it translated.
    pub fn is_wanted(self, options: &Options) -> bool {
        options.translate
            && match self {
                Kind::Html | Kind::Xml | Kind::Css | Kind::Manifest | Kind::Playlist => true,
                Kind::Script => options.scripts,
                Kind::EventStream => options.event_streams,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_have_their_kinds() {
        for (content_type, kind) in [
            ("text/html", Some(Kind::Html)),
            (" Text/HTML ; charset=utf-8", Some(Kind::Html)),
            ("application/xhtml+xml", Some(Kind::Xml)),
            ("image/svg+xml", Some(Kind::Xml)),
            ("application/rss+xml;charset=x", Some(Kind::Xml)),
            ("application/dash+xml", Some(Kind::Xml)),
            ("text/css", Some(Kind::Css)),
            ("application/hal+json", Some(Kind::Script)),
            ("application/manifest+json", Some(Kind::Manifest)),
            ("text/event-stream", Some(Kind::EventStream)),
            ("application/vnd.apple.mpegurl", Some(Kind::Playlist)),
            ("text/plain", None),
            ("image/png", None),
            ("text/htmlx", None),
            ("", None),
        ] {
            assert_eq!(Kind::of(content_type.as_bytes()), kind, "{content_type}");
        }
    }
}
