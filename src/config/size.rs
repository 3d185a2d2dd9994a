//! Sizes in bytes: `65536`, `"64KiB"`, `"1MiB"`, `"1GiB"`.
//!
//! Refuses `KB`, `K` and the like: people disagree whether they mean 1000 or 1024.

use toml::de::DeValue;

use super::error::{Wrong, cited, quoted};
use super::kind::{Kind, integer};

/// Largest first.
const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A size in bytes within limits, both included.
pub(super) struct Size {
    pub min: usize,
    pub max: usize,
}

impl Kind for Size {
    type Value = usize;

    fn read(&self, value: &DeValue<'_>) -> Result<usize, Vec<Wrong>> {
        let bytes = match value {
            DeValue::Integer(_) => integer(value).and_then(|bytes| usize::try_from(bytes).ok()),
            DeValue::String(text) => Some(parse(text).map_err(Wrong::one)?),
            _ => return Err(self.mistyped(value)),
        };
        let bytes = bytes.filter(|bytes| (self.min..=self.max).contains(bytes));
        bytes.ok_or_else(|| Wrong::one(format!("out of range; allowed is {}", self.allowed())))
    }

    fn show(&self, value: &usize) -> String {
        show(*value)
    }

    fn allowed(&self) -> String {
        format!("a size from {} to {}", show(self.min), show(self.max))
    }
}

fn parse(text: &str) -> Result<usize, String> {
    let bad = || format!("{} is not a size; write bytes as a number, or for example \"64KiB\", \"1MiB\"", cited(text));
    let (unit, worth) = UNITS.into_iter().find(|(unit, _)| text.ends_with(unit)).ok_or_else(bad)?;
    let number = text.strip_suffix(unit).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let number: usize = number.and_then(|number| number.parse().ok()).ok_or_else(bad)?;
    number.checked_mul(worth).ok_or_else(|| format!("{} is too large", cited(text)))
}

/// In TOML: the largest unit that divides it, or a plain number of bytes.
fn show(bytes: usize) -> String {
    match UNITS.into_iter().find(|(_, worth)| bytes > 0 && bytes.is_multiple_of(*worth)) {
        Some((unit, worth)) => quoted(&format!("{}{unit}", bytes / worth)),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::read_literal;
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        let kind = Size { min: 0, max: usize::MAX };
        for (toml, bytes, shown) in [
            ("65536", 65_536, "\"64KiB\""),
            ("\"64KiB\"", 65_536, "\"64KiB\""),
            ("\"1MiB\"", 1 << 20, "\"1MiB\""),
            ("\"1GiB\"", 1 << 30, "\"1GiB\""),
            ("1000", 1000, "1000"),
            ("0", 0, "0"),
        ] {
            assert_eq!(read_literal(&kind, toml), Ok(bytes), "{toml}");
            assert_eq!(kind.show(&bytes), shown);
            assert_eq!(read_literal(&kind, shown), Ok(bytes), "{shown}");
        }
    }

    #[test]
    fn other_spellings_and_sizes_are_refused() {
        let kind = Size { min: 8192, max: 1 << 20 };
        for bad in ["\"64KB\"", "\"64K\"", "\"64\"", "\"KiB\"", "\"-1KiB\"", "\"1.5MiB\"", "\"64 KiB\"", "true", "1.0"]
        {
            assert!(read_literal(&kind, bad).is_err(), "{bad}");
        }
        let reason = "out of range; allowed is a size from \"8KiB\" to \"1MiB\"";
        for bad in ["-1", "100", "\"1GiB\""] {
            assert_eq!(read_literal(&kind, bad), Err(reason.to_owned()), "{bad}");
        }
        assert!(read_literal(&kind, "\"99999999999999999GiB\"").is_err());
    }
}
