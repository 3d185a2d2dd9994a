//! Undoes content codings, piece by piece, whatever the sender says.
//!
//! ```text
//!   input ─▶ Stage (last coding) ─▶ Stage (first coding) ─▶ pieces of at most 16 KiB
//!
//!   a stage:  Fresh ─first byte─▶ Within ─end of member─▶ Between ─other byte─▶ After (drops)
//!                                   ▲────────member's first byte────┘
//! ```
//!
//! A caller pulls pieces, so it decides how much is decoded: neither a bomb nor a large body makes
//! memory grow. After the end of the data a gzip or zstd member may follow (RFC 1952, 2.2; RFC
//! 8878, 3.1) and is decoded as well; anything else there is dropped and counted, as gzip(1)
//! and Chromium do: servers that pad exist, and the reader gets exactly what the filters saw.
//!
//! It refuses streams cut short, dictionaries, windows above the codings' limits, and bombs.

use std::fmt;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::Coding;

/// Bytes of the largest piece [`Decoder::decode`] returns, and of what a stage reads at once. A
/// frame or record of HTTP/2 and TLS; 64 KiB decode no faster, and need more stack.
pub const PIECE_BYTES: usize = 16 * 1024;

/// Decoded bytes per encoded byte above which a body is a bomb. A page of the kind that filters
/// read packs 3 to 30 times, logs and generated tables 100 times. Deflate cannot exceed 1032, so
/// beyond 1000 nearly every byte of it says "the same again"; br and zstd reach a million.
pub const BOMB_RATIO: u64 = 1000;

/// Decoded bytes that are never a bomb: small bodies of spaces or zeros are somebody's tests.
pub const BOMB_FREE_BYTES: u64 = 1024 * 1024;

/// Binary logarithm of the largest zstd window: 8 MiB (RFC 9659, 3).
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Steps of all stages in one call, 32 × 16 KiB = 512 KiB read or written: a stack whose middle
/// is large and whose end is nothing must not hold the worker.
const STEPS_PER_CALL: u32 = 32;

/// Why a body cannot be decoded. The decoder stays failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are not of this coding, or need a dictionary or a window that is refused.
    Corrupt {
        /// The coding that failed; of a stack, which one.
        coding: Coding,
        /// What the decoder said, for the log.
        reason: String,
    },
    /// The body ended within this coding's stream.
    Truncated(Coding),
    /// More than [`BOMB_RATIO`] to one and more than [`BOMB_FREE_BYTES`].
    Bomb {
        /// Bytes read so far.
        encoded: u64,
        /// Bytes that the worst stage made of them.
        decoded: u64,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { coding, reason } => write!(f, "the body is not valid {}: {reason}", coding.name()),
            Self::Truncated(coding) => write!(f, "the body ends within its {} coding", coding.name()),
            Self::Bomb { encoded, decoded } => write!(f, "{encoded} encoded bytes became {decoded}: a bomb"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Undoes a list of codings.
///
/// Memory, beyond the input handed in: nothing before the first byte; then per coding gzip and
/// deflate 46 KiB; br 0.6 MiB for a page of 1 MB, at most 16.5 MiB (the sender's window, grown as
/// it fills) and 24 MiB while it grows; zstd the sender's window and 0.5 MiB, at most 8.5 MiB;
/// between two stages 16 KiB. All measured.
pub struct Decoder {
    /// In the order of decoding: the coding applied last comes first.
    stages: Vec<Stage>,
    encoded: u64,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// A decoder for a body to which `codings` were applied in this order, as
    /// [`Coding::list`] gives them. None is the identity.
    #[must_use]
    pub fn new(codings: &[Coding]) -> Self {
        Self { stages: codings.iter().rev().map(|&coding| Stage::new(coding)).collect(), encoded: 0, failed: None }
    }

    /// Takes what it needs from `input` and returns the next piece; none once `input` is used up
    /// and all it stood for has been returned. A piece may be empty: the call has worked long
    /// enough, and there is more to do.
    ///
    /// # Errors
    ///
    /// The body is not what its codings say, or a bomb. The error is final.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut run = Run { source: input, encoded: self.encoded, steps_left: STEPS_PER_CALL };
        let pulled = run.pull(&mut self.stages);
        self.encoded = run.encoded;
        if let Err(error) = &pulled {
            self.failed = Some(error.clone());
        }
        pulled
    }

    /// Checks that the body was complete, after its end and after [`Self::decode`] returned none.
    /// A body without any byte is complete: it is empty.
    ///
    /// # Errors
    ///
    /// The stream was cut short, or had failed before.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.stages.iter().find(|stage| matches!(stage.state, State::Within(_))) {
            Some(stage) => Err(DecodeError::Truncated(stage.coding)),
            None => Ok(()),
        }
    }

    /// Bytes dropped after the end of the data, all stages together.
    #[must_use]
    pub fn trailing_bytes(&self) -> u64 {
        self.stages.iter().map(|stage| stage.trailing).sum()
    }
}

/// One call of [`Decoder::decode`].
struct Run<'a> {
    source: &'a mut Bytes,
    encoded: u64,
    steps_left: u32,
}

impl Run<'_> {
    /// The next piece of the last of `stages`, which pulls from the one before it; the first pulls
    /// from the source.
    fn pull(&mut self, stages: &mut [Stage]) -> Result<Option<Bytes>, DecodeError> {
        let Some((stage, before)) = stages.split_last_mut() else {
            let piece = self.source.split_to(self.source.len().min(PIECE_BYTES));
            self.encoded += piece.len() as u64;
            return Ok(Some(piece).filter(|piece| !piece.is_empty()));
        };
        loop {
            if let Some(piece) = stage.step()? {
                if stage.decoded > BOMB_FREE_BYTES && stage.decoded / BOMB_RATIO > self.encoded {
                    return Err(DecodeError::Bomb { encoded: self.encoded, decoded: stage.decoded });
                }
                return Ok(Some(piece));
            }
            let Some(steps_left) = self.steps_left.checked_sub(1) else { return Ok(Some(Bytes::new())) };
            self.steps_left = steps_left;
            match self.pull(before)? {
                Some(piece) => stage.input = piece,
                None => return Ok(None),
            }
        }
    }
}

/// Undoes one coding.
struct Stage {
    coding: Coding,
    state: State,
    /// Not read yet; at most one piece.
    input: Bytes,
    /// The last step filled its piece, so the engine may hold more.
    pending: bool,
    decoded: u64,
    trailing: u64,
}

/// See the drawing above.
enum State {
    Fresh,
    Within(Engine),
    /// Kept, because a zstd context is made for the next frame as it is.
    Between(Engine),
    After,
}

impl Stage {
    fn new(coding: Coding) -> Self {
        Self { coding, state: State::Fresh, input: Bytes::new(), pending: false, decoded: 0, trailing: 0 }
    }

    /// Decodes from the own input: the next piece, or none if more input is needed.
    fn step(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if !self.pending && self.input.is_empty() {
            return Ok(None); // the common first question, not worth clearing the scratch space
        }
        let mut scratch = [0; PIECE_BYTES];
        while self.pending || !self.input.is_empty() {
            let State::Within(engine) = &mut self.state else {
                self.enter()?;
                continue;
            };
            let moved = engine
                .decode(&self.input, &mut scratch)
                .map_err(|reason| DecodeError::Corrupt { coding: self.coding, reason })?;
            self.input.advance(moved.read);
            self.pending = moved.written == scratch.len() && !moved.ended;
            self.decoded += moved.written as u64;
            if moved.ended {
                self.state = match std::mem::replace(&mut self.state, State::After) {
                    State::Within(engine) => State::Between(engine),
                    other => other,
                };
            } else if moved.read == 0 && moved.written == 0 && !self.input.is_empty() {
                return Err(DecodeError::Corrupt { coding: self.coding, reason: "no progress".to_owned() });
            }
            if moved.written > 0 {
                return Ok(Some(Bytes::copy_from_slice(&scratch[..moved.written])));
            }
        }
        Ok(None)
    }

    /// Looks at the first byte of the input, outside of a member: begins one, or drops what is no
    /// member.
    fn enter(&mut self) -> Result<(), DecodeError> {
        let Some(&first) = self.input.first() else { return Ok(()) };
        self.state = match std::mem::replace(&mut self.state, State::After) {
            State::Fresh => State::Within(
                Engine::new(self.coding, first)
                    .map_err(|reason| DecodeError::Corrupt { coding: self.coding, reason })?,
            ),
            State::Between(engine) => engine.next_member(first).map_or(State::After, State::Within),
            state @ (State::Within(_) | State::After) => state,
        };
        if matches!(self.state, State::After) {
            self.trailing += self.input.len() as u64;
            self.input.clear();
        }
        Ok(())
    }
}

/// What one call of an engine did.
struct Moved {
    read: usize,
    written: usize,
    /// The member is complete and all of it was written.
    ended: bool,
}

/// The libraries' decoders, and what they are called with.
enum Engine {
    Gzip(Decompress),
    /// zlib or bare.
    Deflate(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(DCtx<'static>),
}

impl Engine {
    /// For a stream that begins with this byte. Only `deflate` looks at it: CM is 8 and CINFO at
    /// most 7 in a zlib header (RFC 1950, 2.2); bare deflate would begin so with a stored block
    /// whose padding is not zero, which no encoder writes.
    fn new(coding: Coding, first: u8) -> Result<Self, String> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(Decompress::new_gzip(15)),
            Coding::Deflate => Self::Deflate(Decompress::new(first & 0x8f == 8)),
            // Strict: large windows (up to 1 GiB) are no part of RFC 7932.
            Coding::Brotli => Self::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            Coding::Zstd => {
                let mut context = DCtx::try_create().ok_or("no memory")?;
                context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(zstd_reason)?;
                Self::Zstd(context)
            }
        })
    }

    /// The engine for another member that begins with this byte, if a member can.
    fn next_member(self, first: u8) -> Option<Self> {
        match self {
            Self::Gzip(_) if first == 0x1f => Some(Self::Gzip(Decompress::new_gzip(15))),
            // A frame, or a skippable one (RFC 8878, 3.1.1 and 3.1.2), lowest byte first.
            Self::Zstd(context) if first == 0x28 || first & 0xf0 == 0x50 => Some(Self::Zstd(context)),
            _ => None,
        }
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Moved, String> {
        match self {
            Self::Gzip(inflate) | Self::Deflate(inflate) => {
                let (read, written) = (inflate.total_in(), inflate.total_out());
                let status =
                    inflate.decompress(input, output, FlushDecompress::None).map_err(|error| error.to_string())?;
                Ok(Moved {
                    read: (inflate.total_in() - read) as usize,
                    written: (inflate.total_out() - written) as usize,
                    ended: status == Status::StreamEnd,
                })
            }
            Self::Brotli(state) => {
                let (mut left, mut room, mut read, mut written) = (input.len(), output.len(), 0, 0);
                let result =
                    BrotliDecompressStream(&mut left, &mut read, input, &mut room, &mut written, output, &mut 0, state);
                match result {
                    BrotliResult::ResultFailure => Err(format!("{:?}", state.error_code)),
                    _ => Ok(Moved { read, written, ended: matches!(result, BrotliResult::ResultSuccess) }),
                }
            }
            Self::Zstd(context) => {
                let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
                let hint = context.decompress_stream(&mut to, &mut from).map_err(zstd_reason)?;
                Ok(Moved { read: from.pos(), written: to.pos(), ended: hint == 0 })
            }
        }
    }
}

fn zstd_reason(code: usize) -> String {
    zstd_safe::get_error_name(code).to_owned()
}
