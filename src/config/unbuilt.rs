//! Settings that have their place in the file but whose feature is not part of this build yet.
//!
//! Refuses their use with an honest reason: a setting accepted and then ignored would be a lie,
//! and with `pre_authentication` a dangerous one.

use toml::de::DeValue;

use super::error::Wrong;
use super::kind::{Choice, Kind};

/// Who must sign in before a byte reaches a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreAuthentication {
    /// Nobody: the backend does what sign-in it wants.
    Passthrough,
}

/// `pre_authentication`.
pub(super) struct SignIn;

const SIGN_IN: Choice<PreAuthentication> = Choice(&[("passthrough", PreAuthentication::Passthrough)]);

impl Kind for SignIn {
    type Value = PreAuthentication;

    fn read(&self, value: &DeValue<'_>) -> Result<PreAuthentication, Vec<Wrong>> {
        match value.as_str() {
            Some("oidc") => Err(Wrong::one("sign-in (\"oidc\") is not part of this build yet; use \"passthrough\"")),
            _ => SIGN_IN.read(value),
        }
    }

    fn show(&self, value: &PreAuthentication) -> String {
        SIGN_IN.show(value)
    }

    fn allowed(&self) -> String {
        SIGN_IN.allowed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::read_literal;
    use super::*;

    #[test]
    fn what_is_not_built_is_refused_with_its_reason() {
        assert_eq!(read_literal(&SignIn, "\"passthrough\""), Ok(PreAuthentication::Passthrough));
        let reason = "sign-in (\"oidc\") is not part of this build yet; use \"passthrough\"";
        assert_eq!(read_literal(&SignIn, "\"oidc\""), Err(reason.to_owned()));
        assert!(read_literal(&SignIn, "\"none\"").is_err());
    }
}
