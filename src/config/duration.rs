//! Durations as people write them: `"250ms"`, `"30s"`, `"1h30m"`.
//!
//! Refuses numbers without a unit (30 what?), fractions, signs, and units out of order or twice.

use std::time::Duration;

use toml::de::DeValue;

use super::error::{Wrong, cited, quoted};
use super::kind::Kind;

/// The shortest time any setting takes, where it does not take zero: below, timers are noise.
pub(super) const INSTANT: Duration = Duration::from_millis(10);
/// 60 × 60 s.
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
/// 24 × 60 × 60 s.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Largest first: the order in which they are written. Milliseconds each.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A duration within limits, both included.
pub(super) struct Time {
    pub min: Duration,
    pub max: Duration,
}

impl Time {
    /// From 10 ms to `max`.
    pub(super) const fn up_to(max: Duration) -> Self {
        Self { min: INSTANT, max }
    }
}

impl Kind for Time {
    type Value = Duration;

    fn read(&self, value: &DeValue<'_>) -> Result<Duration, Vec<Wrong>> {
        if let DeValue::Integer(number) = value {
            let hint =
                format!("a duration needs a unit: write \"{number}s\" or \"{number}ms\", \"{number}m\", \"{number}h\"");
            return Err(Wrong::one(hint));
        }
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        let duration = parse(text).map_err(Wrong::one)?;
        if !(self.min..=self.max).contains(&duration) {
            return Err(Wrong::one(format!("{} is out of range; allowed is {}", cited(text), self.allowed())));
        }
        Ok(duration)
    }

    fn show(&self, value: &Duration) -> String {
        quoted(&show(*value))
    }

    fn allowed(&self) -> String {
        format!("a duration from {} to {}", quoted(&show(self.min)), quoted(&show(self.max)))
    }
}

/// `backend_timeout`: the two names of the original, or a duration up to a day.
pub(super) struct BackendTimeout;

impl BackendTimeout {
    /// `"default"`.
    pub(super) const DEFAULT: Duration = Duration::from_secs(85);
    /// `"long"`.
    pub(super) const LONG: Duration = Duration::from_secs(180);
    const OTHER: Time = Time::up_to(DAY);
}

impl Kind for BackendTimeout {
    type Value = Duration;

    fn read(&self, value: &DeValue<'_>) -> Result<Duration, Vec<Wrong>> {
        match value {
            DeValue::String(name) if name == "default" => Ok(Self::DEFAULT),
            DeValue::String(name) if name == "long" => Ok(Self::LONG),
            DeValue::String(_) | DeValue::Integer(_) => Self::OTHER.read(value),
            _ => Err(self.mistyped(value)),
        }
    }

    fn show(&self, value: &Duration) -> String {
        match *value {
            Self::DEFAULT => quoted("default"),
            Self::LONG => quoted("long"),
            _ => Self::OTHER.show(value),
        }
    }

    fn allowed(&self) -> String {
        format!("\"default\", \"long\" or {}", Self::OTHER.allowed())
    }
}

/// Parses one or more numbers with units, larger units first.
fn parse(text: &str) -> Result<Duration, String> {
    let bad =
        || format!("{} is not a duration; write for example \"250ms\", \"30s\", \"5m\" or \"1h30m\"", cited(text));
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut millis = 0u64;
    if text.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|char: char| char.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|char: char| char.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        // Searching on from the last unit is what keeps them in order and single.
        let (_, worth) = units.find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let number: u64 = number.parse().map_err(|_| bad())?;
        let added = number.checked_mul(*worth).and_then(|added| millis.checked_add(added));
        millis = added.ok_or_else(|| format!("{} is too long", cited(text)))?;
        rest = tail;
    }
    Ok(Duration::from_millis(millis))
}

/// The usual way to write `duration`: seconds up to two minutes, larger units after.
pub(super) fn show(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let largest = if millis < 120_000 { 1_000 } else { u64::MAX };
    let mut out = String::new();
    for (unit, worth) in UNITS.into_iter().filter(|(_, worth)| *worth <= largest) {
        if millis >= worth {
            out.push_str(&format!("{}{unit}", millis / worth));
            millis %= worth;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::super::kind::read_literal;
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        for (text, millis, shown) in [
            ("250ms", 250, "250ms"),
            ("30s", 30_000, "30s"),
            ("75s", 75_000, "75s"),
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("1d", 86_400_000, "1d"),
            ("1s500ms", 1_500, "1s500ms"),
            ("0s", 0, "0s"),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(show(Duration::from_millis(millis)), shown);
            assert_eq!(parse(shown), Ok(Duration::from_millis(millis)), "{shown}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in
            ["", "30", "s", "30S", "1.5s", "-1s", "+1s", " 1s", "1s ", "1 s", "30m1h", "1s1s", "1week", "1µs", "ü"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("99999999999999999d"), Err("\"99999999999999999d\" is too long".to_owned()));
    }

    #[test]
    fn numbers_need_units_and_limits_hold() {
        let kind = Time::up_to(HOUR);
        let reason = "a duration needs a unit: write \"30s\" or \"30ms\", \"30m\", \"30h\"";
        assert_eq!(read_literal(&kind, "30"), Err(reason.to_owned()));
        let reason = "\"2h\" is out of range; allowed is a duration from \"10ms\" to \"1h\"";
        assert_eq!(read_literal(&kind, "\"2h\""), Err(reason.to_owned()));
        assert!(read_literal(&kind, "\"0s\"").is_err());
        assert_eq!(read_literal(&BackendTimeout, "\"default\""), Ok(Duration::from_secs(85)));
        assert_eq!(read_literal(&BackendTimeout, "\"long\""), Ok(Duration::from_secs(180)));
        assert_eq!(read_literal(&BackendTimeout, "\"20m\""), Ok(Duration::from_secs(1200)));
        assert!(read_literal(&BackendTimeout, "\"never\"").is_err());
        assert!(read_literal(&BackendTimeout, "85").is_err());
        assert!(read_literal(&BackendTimeout, "true").is_err());
    }
}
