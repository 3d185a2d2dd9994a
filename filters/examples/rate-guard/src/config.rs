//! What the operator writes. Refuses limits that would let nothing through.

use serde::Deserialize;

/// The configuration: either limit may be absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Most bytes of a request's body.
    pub max_request_bytes: Option<u64>,
    /// The rate per client.
    pub rate: Option<Rate>,
}

/// A token bucket per client.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests per second, over a long time; may be a fraction.
    pub per_second: f64,
    /// Requests at once.
    pub burst: u32,
    /// The request header that says whose request it is; without it, or in its absence, the client's address.
    pub header: Option<String>,
    /// How many buckets there are; clients whose buckets fall together share one.
    #[serde(default = "default_buckets")]
    pub buckets: u32,
}

/// 4,096 × (24 bytes and a key of 20): below 200 KiB of shared data.
fn default_buckets() -> u32 {
    4096
}

impl Config {
    /// Reads a configuration; the error is for the operator.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut config: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if config.max_request_bytes.is_none() && config.rate.is_none() {
            return Err("neither `max_request_bytes` nor `rate` is set".to_owned());
        }
        if let Some(rate) = &mut config.rate {
            let sane = rate.per_second.is_finite() && rate.per_second >= 0.001 && rate.per_second <= 1e6;
            if !sane {
                return Err("`rate.per_second` has to be between 0.001 and 1000000".to_owned());
            }
            if rate.burst == 0 || rate.burst > 1_000_000 {
                return Err("`rate.burst` has to be between 1 and 1000000".to_owned());
            }
            if rate.buckets == 0 || rate.buckets > 1_000_000 {
                return Err("`rate.buckets` has to be between 1 and 1000000".to_owned());
            }
            if let Some(header) = &mut rate.header {
                header.make_ascii_lowercase();
                if header.is_empty()
                    || !header.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                {
                    return Err("`rate.header` is no header name".to_owned());
                }
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn configurations() {
        let config = Config::parse(br#"{"rate": {"per_second": 0.5, "burst": 3, "header": "X-User"}}"#).expect("good");
        let rate = config.rate.expect("a rate");
        assert_eq!((rate.header.as_deref(), rate.buckets), (Some("x-user"), 4096));
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"rate": {"per_second": 0, "burst": 1}}"#,
            r#"{"rate": {"per_second": 1, "burst": 0}}"#,
            r#"{"rate": {"per_second": 1, "burst": 1, "header": "a b"}}"#,
            r#"{"max_request_bytes": -1}"#,
            r#"{"max_request_bytes": 1, "typo": 1}"#,
            r#"{"rate": {"per_second": 1, "burst": 1, "buckets": 0}}"#,
        ] {
            assert!(Config::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
