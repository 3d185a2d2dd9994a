//! What a filter is given as its configuration: bytes that only the filter understands.
//!
//! A table or an array is given as JSON, because that is what filters parse; its keys keep the
//! order of the file. Refuses what JSON cannot say (`inf`, `nan`), and to show a payload in a log:
//! it may hold secrets.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Wrong, quoted};
use super::kind::{Kind, integer};

/// A payload is copied into the memory of every VM: 1 MiB is 1/64 of what one has by default.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// A filter's configuration as it reads it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// The bytes that the filter sees.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// `configuration` and `vm_configuration`.
pub(super) struct Given;

impl Kind for Given {
    type Value = Payload;

    fn read(&self, value: &DeValue<'_>) -> Result<Payload, Vec<Wrong>> {
        let bytes = match value {
            DeValue::String(text) => text.as_bytes().to_vec(),
            DeValue::Table(_) | DeValue::Array(_) => {
                let mut json = Vec::new();
                write_json(value, &mut json).map_err(|wrong| vec![wrong])?;
                json
            }
            _ => return Err(self.mistyped(value)),
        };
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(Wrong::one(format!("{} bytes; at most 1 MiB may be given to a filter", bytes.len())));
        }
        Ok(Payload(bytes))
    }

    /// The text of it: a table is shown as the JSON that it means.
    fn show(&self, value: &Payload) -> String {
        quoted(&String::from_utf8_lossy(&value.0))
    }

    fn allowed(&self) -> String {
        "a text, given as it is, or a table or an array, given as JSON; at most 1 MiB".to_owned()
    }
}

fn write_json(value: &DeValue<'_>, out: &mut Vec<u8>) -> Result<(), Wrong> {
    match value {
        DeValue::String(text) => write_text(text, out),
        DeValue::Integer(_) => match integer(value).filter(|number| is_64_bit(*number)) {
            Some(number) => out.extend(number.to_string().bytes()),
            None => return Err(Wrong::new("an integer that does not fit in 64 bits")),
        },
        DeValue::Float(float) => match float.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
            Some(number) => out.extend(number.to_string().bytes()),
            None => return Err(Wrong::new(format!("{} cannot be said in JSON; write it as a text", float.as_str()))),
        },
        DeValue::Boolean(truth) => out.extend(truth.to_string().bytes()),
        DeValue::Datetime(time) => write_text(&time.to_string(), out),
        DeValue::Array(array) => {
            out.push(b'[');
            for (index, element) in array.iter().enumerate() {
                separate(index, out);
                write_json(element.get_ref(), out).map_err(|wrong| wrong.in_element(index, element.span().start))?;
            }
            out.push(b']');
        }
        DeValue::Table(table) => write_table(table, out)?,
    }
    Ok(())
}

fn write_table(table: &DeTable<'_>, out: &mut Vec<u8>) -> Result<(), Wrong> {
    let mut entries: Vec<(&Spanned<_>, &Spanned<DeValue<'_>>)> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    out.push(b'{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        separate(index, out);
        write_text(key.get_ref(), out);
        out.push(b':');
        write_json(value.get_ref(), out).map_err(|wrong| wrong.under(key.get_ref(), value.span().start))?;
    }
    out.push(b'}');
    Ok(())
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend(serde_json::Value::from(text).to_string().bytes());
}

fn is_64_bit(number: i128) -> bool {
    i64::try_from(number).is_ok() || u64::try_from(number).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::kind::read_literal;
    use super::*;

    fn json(toml: &str) -> Result<String, String> {
        read_literal(&Given, toml).map(|payload| String::from_utf8(payload.0).unwrap())
    }

    #[test]
    fn a_text_is_given_as_it_is() {
        assert_eq!(json("\"\"").as_deref(), Ok(""));
        assert_eq!(json("'{\"a\": 1}'").as_deref(), Ok("{\"a\": 1}"));
        assert!(json("1").is_err() && json("true").is_err());
        assert_eq!(json(&quoted(&"x".repeat(PAYLOAD_BYTES_MAX))).map(|text| text.len()), Ok(PAYLOAD_BYTES_MAX));
        assert!(json(&quoted(&"x".repeat(PAYLOAD_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn tables_and_arrays_are_given_as_json_in_the_order_of_the_file() {
        let toml = "{ zulu = [1, -2, 0x10, 1.5, 2e3], alpha = { b = true, a = \"q\\\"ü\\n\" }, day = 1979-05-27, \
                    time = 1979-05-27T07:32:00Z, \"k\\\"\" = [], big = 18446744073709551615 }";
        let expected = "{\"zulu\":[1,-2,16,1.5,2000.0],\"alpha\":{\"b\":true,\"a\":\"q\\\"ü\\n\"},\"day\":\"1979-05-27\",\
                        \"time\":\"1979-05-27T07:32:00Z\",\"k\\\"\":[],\"big\":18446744073709551615}";
        assert_eq!(json(toml).as_deref(), Ok(expected));
        assert!(serde_json::from_str::<serde_json::Value>(expected).is_ok());
        assert_eq!(json("[{ b = 1, a = 2 }]").as_deref(), Ok("[{\"b\":1,\"a\":2}]"));
    }

    #[test]
    fn what_json_cannot_say_is_refused_with_its_place() {
        for (toml, part, offset) in
            [("{ a = [1, nan] }", ".a[1]", 10), ("[{ b = -inf }]", "[0].b", 7), ("[99999999999999999999]", "[0]", 1)]
        {
            let value = DeValue::parse(toml).unwrap();
            let wrongs = Given.read(value.get_ref()).unwrap_err();
            assert_eq!(wrongs[0].part, Some((part.to_owned(), offset)), "{toml}: {wrongs:?}");
        }
    }

    #[test]
    fn a_payload_keeps_its_secrets() {
        assert_eq!(format!("{:?}", Payload::from(b"token".to_vec())), "Payload(5 bytes)");
    }
}
