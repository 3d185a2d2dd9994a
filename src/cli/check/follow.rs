//! Where a page leads: the URLs of its attributes and style sheets, as they are written.
//!
//! Forms are not followed: what they do is the app's affair. Scripts are not read. It refuses to
//! decide what is inside the app.

/// Appends the URLs of one attribute.
pub(super) fn attribute(element: &str, name: &str, value: &str, links: &mut Vec<String>) {
    match (element, name) {
        // That is where links lead from.
        ("base", _) => {}
        (_, "href" | "src" | "poster" | "background" | "xlink:href" | "longdesc" | "manifest") | ("object", "data") => {
            links.push(value.to_owned());
        }
        (_, "srcset" | "imagesrcset") => {
            // A comma may be part of a URL; then half of one is asked for, and not found.
            let candidates = value.split([',', ' ', '\t', '\n', '\r']);
            // A descriptor, `2x` or `100w`, is no URL.
            let is_descriptor =
                |part: &&str| part.ends_with(['x', 'w', 'h']) && part.starts_with(|c: char| c.is_ascii_digit());
            links.extend(candidates.filter(|part| !part.is_empty() && !is_descriptor(part)).map(str::to_owned));
        }
        (_, "style") => style_sheet(value, links),
        ("meta", "content") => {
            if let Some((seconds, url)) = value.split_once(';')
                && seconds.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
                && let Some((name, url)) = url.split_once('=')
                && name.trim().eq_ignore_ascii_case("url")
            {
                links.push(url.trim().trim_matches(['"', '\'']).to_owned());
            }
        }
        _ => {}
    }
}

/// Appends the URLs of a style sheet.
pub(super) fn style_sheet(text: &str, links: &mut Vec<String>) {
    let lower = text.to_ascii_lowercase();
    for (start, word) in lower.match_indices("url(").chain(lower.match_indices("@import")) {
        let rest = text.get(start + word.len()..).unwrap_or_default().trim_start();
        let url = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => rest.get(1..).and_then(|rest| rest.split(quote).next()),
            Some(_) if word == "url(" => rest.split([')', ' ', '\n']).next(),
            _ => None,
        };
        links.extend(url.filter(|url| !url.is_empty()).map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_lead_somewhere() {
        for (element, name, value, expected) in [
            ("a", "href", "x", &["x"][..]),
            ("base", "href", "x", &[]),
            ("img", "srcset", "a.png 1x, b.png 2x,c.png 300w", &["a.png", "b.png", "c.png"]),
            ("meta", "content", "0; URL='x'", &["x"]),
            ("meta", "content", "a; b=c", &[]),
            ("p", "style", "background:url(x)", &["x"]),
            ("form", "action", "x", &[]),
        ] {
            let mut links = Vec::new();
            attribute(element, name, value, &mut links);
            assert_eq!(links, expected, "{element} {name} {value}");
        }
    }

    #[test]
    fn style_sheets_lead_somewhere() {
        let mut links = Vec::new();
        style_sheet("@import 'a';@IMPORT url(b);c{d:url( \"e\" ) URL(f)}", &mut links);
        links.sort();
        assert_eq!(links, ["a", "b", "e", "f"]);
    }
}
