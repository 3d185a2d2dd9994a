//! Writes JSON. Refuses to read it: nothing here needs to.

use std::fmt::Write;

/// A JSON value.
pub enum Json {
    Text(String),
    /// Written with three decimals; `null` if not finite.
    Number(f64),
    Whole(u64),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The value as indented text, ending in a line break.
    pub fn render(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text.push('\n');
        text
    }

    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Self::Text(text) => quote(out, text),
            Self::Number(number) if number.is_finite() => drop(write!(out, "{number:.3}")),
            Self::Number(_) => out.push_str("null"),
            Self::Whole(number) => drop(write!(out, "{number}")),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    new_line(out, index, depth + 1);
                    item.write(out, depth + 1);
                }
                close(out, ']', items.len(), depth);
            }
            // A flat object stays on its line: a run reads as a row.
            Self::Object(members) => {
                let flat = !members.iter().any(|(_, value)| matches!(value, Self::List(_) | Self::Object(_)));
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if flat {
                        out.push_str(if index == 0 { "" } else { ", " });
                    } else {
                        new_line(out, index, depth + 1);
                    }
                    quote(out, name);
                    out.push_str(": ");
                    value.write(out, depth + 1);
                }
                close(out, '}', if flat { 0 } else { members.len() }, depth);
            }
        }
    }
}

fn new_line(out: &mut String, index: usize, depth: usize) {
    out.push_str(if index == 0 { "\n" } else { ",\n" });
    out.push_str(&"  ".repeat(depth));
}

fn close(out: &mut String, bracket: char, lines: usize, depth: usize) {
    if lines > 0 {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
    out.push(bracket);
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_escaped_is() {
        let value = Json::Object(vec![("a", Json::text("\"\\\n")), ("b", Json::Number(f64::NAN))]);
        assert_eq!(value.render(), "{\"a\": \"\\\"\\\\\\u000a\", \"b\": null}\n");
    }
}
