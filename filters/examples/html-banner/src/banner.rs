//! The configuration, and the markup made of it. Refuses markup in the text: everything is escaped, and what is not
//! ASCII becomes a character reference, so that it is right in every character set of the page.

use serde::Deserialize;

/// Longest text, in bytes: a banner is a sentence.
const TEXT_BYTES_MAX: usize = 4096;

/// What the operator writes.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text of the banner.
    pub text: String,
    /// CSS declarations of its box.
    #[serde(default = "default_style")]
    pub style: String,
    /// Whether the host hands over identity bytes. In one that does not (Envoy), `false` asks the backend for identity,
    /// and encoded responses are left alone.
    #[serde(default = "default_host_decodes")]
    pub host_decodes: bool,
}

fn default_style() -> String {
    "background:#b00020;color:#fff;padding:8px;text-align:center;font:16px sans-serif".to_owned()
}

fn default_host_decodes() -> bool {
    true
}

impl Config {
    /// Reads a configuration; the error is for the operator.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if config.text.is_empty() || config.text.len() > TEXT_BYTES_MAX {
            return Err(format!("`text` has to have 1 to {TEXT_BYTES_MAX} bytes"));
        }
        Ok(config)
    }

    /// The markup, pure ASCII.
    pub fn markup(&self) -> Vec<u8> {
        format!(r#"<div role="note" style="{}">{}</div>"#, escape(&self.style), escape(&self.text)).into_bytes()
    }
}

/// Text as it may stand in an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' | ' '..='~' => escaped.push(c),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Config, escape};
    use proptest::prelude::*;

    #[test]
    fn text_is_escaped() {
        let config = Config::parse(r#"{"text": "<script>alert('é')</script>"}"#.as_bytes()).expect("a configuration");
        let markup = String::from_utf8(config.markup()).expect("ASCII");
        assert!(markup.ends_with("&lt;script&gt;alert(&#39;&#233;&#39;)&lt;/script&gt;</div>"), "{markup}");
    }

    #[test]
    fn wrong_configurations_are_refused() {
        for wrong in [&b""[..], b"{}", br#"{"text": ""}"#, br#"{"text": "a", "colour": "red"}"#, b"text"] {
            assert!(Config::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_of_the_text_is_markup(text in any::<String>()) {
            let escaped = escape(&text);
            prop_assert!(escaped.is_ascii());
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
        }
    }
}
