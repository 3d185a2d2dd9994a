//! Keys, each for one algorithm, and the check of a signature with them. Refuses private keys, short ones, and to say
//! more than whether a signature is good.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use serde_json::Value;
use sha2::Sha256;

/// Shortest HMAC key, in bytes: the length of the hash (RFC 7518, section 3.2).
const HMAC_BYTES_MIN: usize = 32;

/// RSA keys of 2048 bits (RFC 7518, section 3.3) to 4096; larger ones take long to check.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// The key of an issuer of tokens.
#[derive(Debug)]
pub struct Key {
    /// Its name, if it has one.
    pub id: Option<String>,
    kind: Kind,
}

enum Kind {
    Hs256(Vec<u8>),
    Rs256(Box<rsa::pkcs1v15::VerifyingKey<Sha256>>),
    Es256(Box<p256::ecdsa::VerifyingKey>),
    EdDsa(Box<ed25519_dalek::VerifyingKey>),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.algorithm())
    }
}

impl Kind {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }
}

/// Bytes in the base64url alphabet without padding, as tokens have them.
pub fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl Key {
    /// Reads a JSON Web Key (RFC 7517, RFC 8037).
    pub fn parse(key: &Value) -> Result<Self, &'static str> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes =
            |name: &str| text(name).and_then(|text| base64url(text.as_bytes())).ok_or("a part of the key is missing");
        if key.get("d").is_some() {
            return Err("this is a private key; give the public one");
        }
        let kind = match (text("kty"), text("alg"), text("crv")) {
            (_, None, _) => return Err("`alg` is missing: a key is for one algorithm"),
            (Some("oct"), Some("HS256"), _) => {
                let secret = bytes("k")?;
                if secret.len() < HMAC_BYTES_MIN {
                    return Err("an HS256 key needs 32 bytes");
                }
                Kind::Hs256(secret)
            }
            (Some("RSA"), Some("RS256"), _) => {
                let part = |name| bytes(name).map(|bytes| rsa::BigUint::from_bytes_be(&bytes));
                let key = rsa::RsaPublicKey::new(part("n")?, part("e")?).map_err(|_| "this is no RSA key")?;
                if !RSA_BYTES.contains(&key.size()) {
                    return Err("an RSA key needs 2048 to 4096 bits");
                }
                Kind::Rs256(Box::new(rsa::pkcs1v15::VerifyingKey::new(key)))
            }
            (Some("EC"), Some("ES256"), Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != 32 || y.len() != 32 {
                    return Err("a coordinate has the wrong length");
                }
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                let key =
                    p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| "this point is not on P-256")?;
                Kind::Es256(Box::new(key))
            }
            (Some("OKP"), Some("EdDSA"), Some("Ed25519")) => {
                let x: [u8; 32] = bytes("x")?.try_into().map_err(|_| "an Ed25519 key has 32 bytes")?;
                let key = ed25519_dalek::VerifyingKey::from_bytes(&x).map_err(|_| "this is no Ed25519 key")?;
                Kind::EdDsa(Box::new(key))
            }
            _ => return Err("supported are HS256, RS256, ES256 (P-256) and EdDSA (Ed25519)"),
        };
        Ok(Self { id: text("kid").map(str::to_owned), kind })
    }

    /// The algorithm the key is for.
    pub fn algorithm(&self) -> &'static str {
        self.kind.algorithm()
    }

    /// Whether the signature is this key's over the message. HMACs are compared in constant time.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.kind {
            Kind::Hs256(secret) => Hmac::<Sha256>::new_from_slice(secret)
                .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok()),
            Kind::Rs256(key) => rsa::pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Kind::Es256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Kind::EdDsa(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}
