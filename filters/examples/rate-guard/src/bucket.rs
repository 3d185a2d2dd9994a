//! One token bucket, as it is in shared data. Refuses to run backwards: a clock that jumps back neither takes tokens
//! nor gives any.
//!
//! ```text
//! 24 bytes: fingerprint u64 │ tokens in millionths u64 │ time in ns u64, little-endian
//! ```

use crate::config::Rate;

/// A token, in the unit they are counted in.
const TOKEN: u64 = 1_000_000;

/// The state of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Whose it is, or was last.
    fingerprint: u64,
    /// Millionths of a token.
    tokens: u64,
    /// When that was counted.
    time_ns: u64,
}

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A token was taken; the bucket has to be stored.
    Admitted,
    /// There was none; there will be one in so many seconds, at least 1.
    Limited {
        /// For `Retry-After`.
        retry_after_seconds: u64,
    },
}

impl Bucket {
    /// A bucket from shared data. What is no bucket counts as none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 24] = bytes.try_into().ok()?;
        let word = |at: usize| Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?));
        Some(Self { fingerprint: word(0)?, tokens: word(8)?, time_ns: word(16)? })
    }

    /// As it is stored.
    pub fn serialise(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (at, word) in [self.fingerprint, self.tokens, self.time_ns].into_iter().enumerate() {
            bytes[8 * at..8 * at + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Takes a token from a bucket, or from a new one. Two clients whose buckets fall together share the tokens, until
    /// the bucket is full again.
    pub fn take(found: Option<Self>, fingerprint: u64, now_ns: u64, rate: &Rate) -> (Self, Verdict) {
        let full = u64::from(rate.burst) * TOKEN;
        let mut bucket = match found {
            Some(found) => {
                let gained = now_ns.saturating_sub(found.time_ns) as f64 / 1e9 * rate.per_second * TOKEN as f64;
                // `as` saturates, and a bucket holds no more than its burst, whatever was stored.
                let tokens = found.tokens.saturating_add(gained as u64).min(full);
                Self { fingerprint, tokens, time_ns: now_ns.max(found.time_ns) }
            }
            None => Self { fingerprint, tokens: full, time_ns: now_ns },
        };
        if bucket.tokens >= TOKEN {
            bucket.tokens -= TOKEN;
            return (bucket, Verdict::Admitted);
        }
        let missing = (TOKEN - bucket.tokens) as f64 / TOKEN as f64;
        let retry_after_seconds = ((missing / rate.per_second).ceil() as u64).max(1);
        (bucket, Verdict::Limited { retry_after_seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Verdict};
    use crate::config::Rate;
    use proptest::prelude::*;

    fn rate(per_second: f64, burst: u32) -> Rate {
        Rate { per_second, burst, header: None, buckets: 16 }
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (rate, second) = (rate(2.0, 3), 1_000_000_000);
        let mut bucket = None;
        let mut ask = |now: u64| {
            let (next, verdict) = Bucket::take(bucket, 1, now, &rate);
            bucket = Some(next);
            verdict
        };
        assert_eq!([ask(0), ask(0), ask(0)], [Verdict::Admitted; 3]);
        assert_eq!(ask(0), Verdict::Limited { retry_after_seconds: 1 });
        assert_eq!([ask(second), ask(second)], [Verdict::Admitted; 2]);
        assert_eq!(ask(second), Verdict::Limited { retry_after_seconds: 1 });
    }

    #[test]
    fn slow_rates_say_when() {
        let (bucket, _) = Bucket::take(None, 1, 0, &rate(0.01, 1));
        let (_, verdict) = Bucket::take(Some(bucket), 1, 20_000_000_000, &rate(0.01, 1));
        assert_eq!(verdict, Verdict::Limited { retry_after_seconds: 80 });
    }

    proptest! {
        #[test]
        fn stored_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            match Bucket::parse(&bytes) {
                Some(bucket) => prop_assert_eq!(bucket.serialise().to_vec(), bytes),
                None => prop_assert_ne!(bytes.len(), 24),
            }
        }

        #[test]
        fn never_more_than_burst_and_rate(
            steps in proptest::collection::vec(0u64..3_000_000_000, 1..200), per_second in 0.1f64..20.0, burst in 1u32..20,
        ) {
            let rate = rate(per_second, burst);
            let (mut bucket, mut now, mut admitted) = (None, 5_000_000_000u64, 0u64);
            for step in &steps {
                now += step;
                let (next, verdict) = Bucket::take(bucket, 9, now, &rate);
                admitted += u64::from(verdict == Verdict::Admitted);
                bucket = Some(next);
            }
            let seconds = (now - 5_000_000_000) as f64 / 1e9;
            prop_assert!(admitted as f64 <= f64::from(burst) + seconds * per_second + 1e-3, "{} admitted", admitted);
        }

        #[test]
        fn whatever_is_stored_and_whatever_the_clock_says(
            bytes in proptest::array::uniform24(any::<u8>()), now in any::<u64>(), per_second in 0.001f64..1e6,
        ) {
            let (bucket, _) = Bucket::take(Bucket::parse(&bytes), 1, now, &rate(per_second, 5));
            prop_assert!(bucket.tokens <= 5_000_000);
        }
    }
}
