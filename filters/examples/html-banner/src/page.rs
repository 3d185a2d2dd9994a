//! Whether a response is a page that gets a banner, and what its headers may no longer say. Refuses parts of pages
//! (206) and character sets in which ASCII bytes are no ASCII.

/// Headers that speak of the bytes of the body, and are wrong once it has a banner.
pub const BODY_HEADERS: [&str; 6] =
    ["content-length", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"];

/// Whether a response gets a banner.
pub fn is_page(status: &[u8], content_type: Option<&[u8]>) -> bool {
    let whole = matches!(status, [b'2' | b'4' | b'5', _, _]) && !matches!(status, b"204" | b"205" | b"206");
    let Some(content_type) = content_type else { return false };
    let mut parts = content_type.split(|&byte| byte == b';').map(|part| part.trim_ascii().to_ascii_lowercase());
    let html = parts.next().is_some_and(|media| media == b"text/html" || media == b"application/xhtml+xml");
    let wide = parts.any(|part| {
        part.strip_prefix(b"charset=").is_some_and(|charset| {
            let charset = charset.trim_ascii().strip_prefix(b"\"").unwrap_or(charset.trim_ascii());
            charset.starts_with(b"utf-16") || charset.starts_with(b"utf-32") || charset.starts_with(b"utf-7")
        })
    });
    whole && html && !wide
}

/// Whether a body comes encoded, for hosts that hand it over as it is.
pub fn is_encoded(content_encoding: Option<&[u8]>) -> bool {
    content_encoding.is_some_and(|coding| !coding.trim_ascii().is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// The entity tag of the page with the banner: a strong one becomes weak, because the bytes differ.
pub fn weakened(etag: &[u8]) -> Option<Vec<u8>> {
    (!etag.starts_with(b"W/")).then(|| [b"W/", etag].concat())
}

#[cfg(test)]
mod tests {
    use super::{is_encoded, is_page, weakened};

    #[test]
    fn pages() {
        for html in
            ["text/html", "Text/HTML; charset=UTF-8", "text/html;charset=\"iso-8859-1\"", "application/xhtml+xml"]
        {
            assert!(is_page(b"200", Some(html.as_bytes())), "{html}");
        }
        assert!(is_page(b"404", Some(b"text/html")));
        for other in ["text/plain", "text/html5", "application/json; x=text/html", "text/html; charset=UTF-16LE", ""] {
            assert!(!is_page(b"200", Some(other.as_bytes())), "{other}");
        }
        assert!(!is_page(b"200", None));
        for status in [&b"204"[..], b"206", b"304", b"301", b"101", b"2000", b""] {
            assert!(!is_page(status, Some(b"text/html")), "{status:?}");
        }
        assert!(!is_page(b"200", Some(b"caf\xe9")));
    }

    #[test]
    fn encodings_and_tags() {
        assert!(is_encoded(Some(b"gzip")) && is_encoded(Some(b"\xe9")));
        assert!(!is_encoded(None) && !is_encoded(Some(b"Identity")) && !is_encoded(Some(b"")));
        assert_eq!(weakened(b"\"a\""), Some(b"W/\"a\"".to_vec()));
        assert_eq!(weakened(b"W/\"a\""), None);
    }
}
