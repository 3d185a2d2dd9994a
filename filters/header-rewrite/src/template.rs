//! Values with variables: `${client.address}`, `${1}`, `$1`, `$$`.
//!
//! It refuses unknown variables, a `$` that means nothing, and control characters when it is parsed;
//! what a variable turns out to hold is checked by who writes the field.

use regex::bytes::{Captures, Regex};

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Variable(Variable),
}

/// What can stand in `${…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// A property of the request, by its path.
    Property(&'static [u8]),
    /// The user's address, without the port.
    ClientAddress,
    Host,
    Path,
    Method,
    /// A header of the message the rule works on.
    Header(Vec<u8>),
    /// A header of the request, in a response rule too.
    RequestHeader(Vec<u8>),
    /// A group of the `replace` pattern.
    Inner(usize),
    /// A group of the condition's pattern.
    Outer(usize),
}

/// A parsed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

/// The patterns whose groups a value may name: that of the condition, and that of `replace`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Patterns<'a> {
    pub(crate) outer: Option<&'a Regex>,
    pub(crate) inner: Option<&'a Regex>,
}

impl Template {
    pub(crate) fn parse(text: &str, patterns: Patterns) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal(before, &mut parts)?;
            let (part, after) = variable(after, patterns)?;
            parts.push(part);
            rest = after;
        }
        literal(rest, &mut parts)?;
        Ok(Template(parts))
    }

    /// The value; `find` knows every variable but groups.
    pub(crate) fn expand(
        &self,
        outer: Option<&[Vec<u8>]>,
        inner: Option<&Captures>,
        find: impl Fn(&Variable) -> Vec<u8>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable(Variable::Inner(group)) => {
                    out.extend_from_slice(inner.and_then(|groups| groups.get(*group)).map_or(b"", |m| m.as_bytes()));
                }
                Part::Variable(Variable::Outer(group)) => {
                    out.extend_from_slice(outer.and_then(|groups| groups.get(*group)).map_or(b"", |text| text));
                }
                Part::Variable(variable) => out.extend(find(variable)),
            }
        }
        out
    }
}

fn literal(text: &str, parts: &mut Vec<Part>) -> Result<(), String> {
    if !plain(text.as_bytes()) {
        return Err("holds a control character; CR, LF and NUL are never sent".into());
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.as_bytes().to_vec()));
    }
    Ok(())
}

/// Whether these bytes may stand in a field value (RFC 9110, 5.5).
pub(crate) fn plain(value: &[u8]) -> bool {
    !value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
}

/// What follows a `$`, and the rest of the text.
fn variable<'t>(text: &'t str, patterns: Patterns) -> Result<(Part, &'t str), String> {
    if let Some(rest) = text.strip_prefix('$') {
        return Ok((Part::Text(b"$".to_vec()), rest));
    }
    if let Some(text) = text.strip_prefix('{') {
        let (name, rest) = text.split_once('}').ok_or("`${` without `}`")?;
        return Ok((Part::Variable(named(name, patterns)?), rest));
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    match text.split_at_checked(digits) {
        Some((name, rest)) if digits > 0 => Ok((Part::Variable(named(name, patterns)?), rest)),
        _ => Err("a `$` alone means nothing; write `$$` for the character".into()),
    }
}

fn named(name: &str, patterns: Patterns) -> Result<Variable, String> {
    if let Ok(number) = name.parse::<usize>() {
        return match patterns {
            Patterns { inner: Some(regex), .. } if number < regex.captures_len() => Ok(Variable::Inner(number)),
            Patterns { inner: None, outer: Some(regex) } if number < regex.captures_len() => {
                Ok(Variable::Outer(number))
            }
            _ => Err(format!("`${{{name}}}`: there is no group {number}")),
        };
    }
    let group = |regex: Option<&Regex>| regex?.capture_names().position(|group| group == Some(name));
    if let Some(number) = group(patterns.inner) {
        return Ok(Variable::Inner(number));
    }
    if let Some(number) = group(patterns.outer) {
        return Ok(Variable::Outer(number));
    }
    Ok(match name {
        "client.address" => Variable::ClientAddress,
        "app" => Variable::Property(b"xds\0route_name"),
        "request.id" => Variable::Property(b"request\0id"),
        "request.host" => Variable::Host,
        "request.path" => Variable::Path,
        "request.method" => Variable::Method,
        "scheme" => Variable::Property(b"request\0scheme"),
        _ => {
            let header = |prefix| name.strip_prefix(prefix).and_then(field_name);
            match (header("header."), header("request.header.")) {
                (Some(name), _) => Variable::Header(name),
                (_, Some(name)) => Variable::RequestHeader(name),
                _ => return Err(format!("unknown variable `${{{name}}}`")),
            }
        }
    })
}

/// A header name in lower case; nothing if it is no token (RFC 9110, 5.6.2).
pub(crate) fn field_name(name: &str) -> Option<Vec<u8>> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (!name.is_empty() && name.bytes().all(token)).then(|| name.to_ascii_lowercase().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, inner: Option<(&str, &str)>) -> Result<String, String> {
        let regex = inner.map(|(pattern, _)| Regex::new(pattern).unwrap());
        let outer = Regex::new("(?-u)(?P<kind>[a-z]+)").unwrap();
        let template = Template::parse(text, Patterns { outer: Some(&outer), inner: regex.as_ref() })?;
        let captures = regex.as_ref().and_then(|regex| regex.captures(inner.unwrap().1.as_bytes()));
        let groups = [b"whole".to_vec(), b"kind".to_vec()];
        let out = template.expand(Some(&groups), captures.as_ref(), |variable| format!("<{variable:?}>").into_bytes());
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn variables_and_groups_are_filled_in() {
        assert_eq!(expand("a$$b", None).unwrap(), "a$b");
        assert_eq!(expand("${0}-$1-${kind}", None).unwrap(), "whole-kind-kind");
        assert_eq!(expand("$2$1 ${kind}", Some(("(.)(.)", "xy"))).unwrap(), "yx kind");
        assert_eq!(expand("${request.method}", None).unwrap(), "<Method>");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for text in ["$", "a$b", "${", "${}", "${nope}", "$7", "${7}", "a\r\nb", "\0", "${header.a b}", "${header.}"] {
            assert!(expand(text, None).is_err(), "{text:?}");
        }
    }
}
