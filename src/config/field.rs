//! Names of header fields.
//!
//! Refuses what is no token (RFC 9110, 5.1): such a name would never match a field.

use http::HeaderName;
use toml::de::DeValue;

use super::error::{Wrong, cited, quoted};
use super::kind::Kind;

/// The name of a field, in lower case.
pub(super) struct Field;

impl Kind for Field {
    type Value = HeaderName;

    fn read(&self, value: &DeValue<'_>) -> Result<HeaderName, Vec<Wrong>> {
        let name = value.as_str().ok_or_else(|| self.mistyped(value))?;
        parse(name).ok_or_else(|| Wrong::one(format!("{} is not {}", cited(name), self.allowed())))
    }

    fn show(&self, value: &HeaderName) -> String {
        quoted(value.as_str())
    }

    fn allowed(&self) -> String {
        "the name of a field (RFC 9110)".to_owned()
    }
}

/// A field or a pseudo-header of HTTP/2 such as `:authority`, as filters see both; in lower case.
pub(super) struct FieldOrPseudo;

/// The pseudo-headers of requests and responses (RFC 9113, 8.3).
const PSEUDO: [&str; 5] = [":method", ":scheme", ":authority", ":path", ":status"];

impl Kind for FieldOrPseudo {
    type Value = String;

    fn read(&self, value: &DeValue<'_>) -> Result<String, Vec<Wrong>> {
        let name = value.as_str().ok_or_else(|| self.mistyped(value))?;
        if PSEUDO.contains(&name) {
            return Ok(name.to_owned());
        }
        let field = parse(name).map(|field| field.as_str().to_owned());
        field.ok_or_else(|| Wrong::one(format!("{} is not {}", cited(name), self.allowed())))
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }

    fn allowed(&self) -> String {
        "the name of a field (RFC 9110) or pseudo-header such as \":path\"".to_owned()
    }
}

fn parse(name: &str) -> Option<HeaderName> {
    if name.starts_with(':') { None } else { HeaderName::from_bytes(name.as_bytes()).ok() }
}

#[cfg(test)]
mod tests {
    use super::super::kind::read_literal;
    use super::*;

    #[test]
    fn rfc9110_5_1_names_are_tokens_in_any_case() {
        assert_eq!(read_literal(&Field, "\"X-Api-Key\"").unwrap().as_str(), "x-api-key");
        for bad in ["\"\"", "\"a b\"", "\":path\"", "\"ü\"", "\"a:\"", "1"] {
            assert!(read_literal(&Field, bad).is_err(), "{bad}");
        }
        assert_eq!(read_literal(&FieldOrPseudo, "\":path\"").as_deref(), Ok(":path"));
        assert_eq!(read_literal(&FieldOrPseudo, "\"Host\"").as_deref(), Ok("host"));
        assert!(read_literal(&FieldOrPseudo, "\":paht\"").is_err());
    }
}
