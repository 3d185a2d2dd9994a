//! Which fields a filter may see and touch: credentials, and what the proxy vouches for, need a grant.
//!
//! It refuses to know why: `docs/security.md` says what a filter could do with them.

use http::header::{self, HeaderMap, HeaderName};

use super::concern::Concern;
use crate::http::fields::is_forwarding;

/// Fields that carry credentials.
const CREDENTIALS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];

/// What one filter's grants leave protected from it.
#[derive(Debug, Default)]
pub struct Protection {
    hidden: Concern,
    granted: Vec<HeaderName>,
}

impl Protection {
    /// From a filter with these fields granted.
    #[must_use]
    pub fn without(granted: &[HeaderName]) -> Self {
        let hidden: Vec<HeaderName> = CREDENTIALS.into_iter().filter(|name| !granted.contains(name)).collect();
        Self { hidden: Concern::new(&hidden), granted: granted.to_vec() }
    }

    /// Whether the filter does not see `name`.
    #[must_use]
    pub fn hides(&self, name: &HeaderName) -> bool {
        self.hidden.names(name)
    }

    /// Whether the filter may not write `name`.
    #[must_use]
    pub fn bars(&self, name: &HeaderName) -> bool {
        (CREDENTIALS.contains(name) || is_forwarding(name)) && !self.granted.contains(name)
    }

    /// How many of `fields` the filter sees.
    #[must_use]
    pub fn shown(&self, fields: &HeaderMap) -> usize {
        fields.iter().filter(|(name, _)| !self.hides(name)).count()
    }
}
