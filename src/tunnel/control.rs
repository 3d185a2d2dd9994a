//! Messages on a link's control stream, and how they are cut out of its bytes.
//!
//! ```text
//!   edge ──Config, Certificate──▶ connector        length (u32, big endian) │ JSON
//!   edge ◀──Ack, Draining, Renew── connector
//! ```
//!
//! A message above [`CONTROL_MESSAGE_BYTES`] ends the link.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits::CONTROL_MESSAGE_BYTES;

/// One app as pushed to the connectors of its group. What the target means is not this room's
/// business.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PushedApp {
    /// The app's name.
    pub name: String,
    /// Changes when the target changes.
    pub revision: String,
    /// The target, as the backend room writes it.
    pub target: Box<RawValue>,
}

/// The configuration of a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The edge's configuration generation.
    pub generation: u64,
    /// All apps of the group; what is not here is gone.
    pub apps: Vec<PushedApp>,
}

/// What the edge publishes to its links: a configuration for each group, encoded once.
#[derive(Clone, Debug)]
pub struct Pushes {
    /// By group.
    pub groups: Arc<HashMap<String, Arc<Push>>>,
    /// For a group that has no app, or none any more.
    pub nothing: Arc<Push>,
}

impl Pushes {
    /// What the connectors of `group` are told.
    #[must_use]
    pub fn of(&self, group: &str) -> &Arc<Push> {
        self.groups.get(group).unwrap_or(&self.nothing)
    }
}

/// An encoded [`Config`] message and its generation.
#[derive(Debug)]
pub struct Push {
    /// The generation in the message.
    pub generation: u64,
    /// The framed message.
    pub message: Bytes,
}

/// Edge to connector.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToConnector {
    /// Serve these apps from now on.
    Config(Config),
    /// A renewed certificate, base64 of DER; the old one stays valid until it expires.
    Certificate(String),
}

/// Connector to edge.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToEdge {
    /// This generation is in force on this link.
    Ack(u64),
    /// No new requests, please; those under way will be finished.
    Draining,
    /// Please sign this certificate request, base64 of DER.
    Renew(String),
}

/// Frames a message.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    let json = serde_json::to_vec(message).unwrap_or_default();
    let mut framed = BytesMut::with_capacity(4 + json.len());
    framed.put_u32(u32::try_from(json.len()).unwrap_or(u32::MAX));
    framed.put_slice(&json);
    framed.freeze()
}

/// Cuts messages out of a stream of bytes.
#[derive(Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message.
    ///
    /// # Errors
    /// A message that is too long or not of the protocol, in words.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        let Some(length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > CONTROL_MESSAGE_BYTES {
            return Err(format!("a control message of {length} bytes"));
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        let framed = self.buffer.split_to(4 + length);
        serde_json::from_slice(&framed[4..]).map(Some).map_err(|error| format!("a control message: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_same_whatever_the_chunking() {
        let framed = [encode(&ToEdge::Ack(7)), encode(&ToEdge::Draining)].concat();
        for size in 1..framed.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in framed.chunks(size) {
                decoder.push(piece);
                while let Some(message) = decoder.take::<ToEdge>().expect("of the protocol") {
                    seen.push(format!("{message:?}"));
                }
            }
            assert_eq!(seen, ["Ack(7)", "Draining"]);
        }
    }

    #[test]
    fn garbage_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xff; 8]);
        assert!(decoder.take::<ToEdge>().is_err());
        let mut decoder = Decoder::default();
        decoder.push(b"\0\0\0\x02{}");
        assert!(decoder.take::<ToEdge>().is_err());
    }
}
