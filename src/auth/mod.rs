//! Room 3: who may enter.
//!
//! Passthrough apps admit everybody; it is the only policy of this build, and the configuration
//! refuses to name another. The room refuses to invent an identity: passthrough has none.

use crate::error::Result;

/// Who must sign in before a byte reaches a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nobody: the application sees to it itself.
    Passthrough,
}

/// The person a request was admitted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// Nobody was asked.
    Anonymous,
}

impl Policy {
    /// Decides whether a request may enter.
    ///
    /// # Errors
    /// None for passthrough; a policy that asks refuses here.
    pub fn admit(self) -> Result<Person> {
        match self {
            Self::Passthrough => Ok(Person::Anonymous),
        }
    }
}
