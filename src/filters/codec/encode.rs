//! Applies content codings again, after the filters.
//!
//! ```text
//!   bytes ─▶ Packer (first coding) ─▶ Packer (last coding) ─▶ output
//! ```
//!
//! Levels and windows are those for encoding on the fly: a page is read once, and its first byte
//! is waited for. [`Encoder::flush`] after every chunk from upstream lets it go at once. It refuses
//! to choose codings: it takes the list that the body came with.

use std::fmt;

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use bytes::BytesMut;
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

use super::Coding;

/// Bytes an engine writes at once, on the stack.
const SCRATCH_BYTES: usize = 16 * 1024;

/// Binary logarithm of the window of br and zstd: 512 KiB. On a page of 1 MB, 4 MiB saves 0.6 % of
/// the size and costs br 9 MiB instead of 1.9; 256 KiB costs 2 to 5 % more bytes.
const WINDOW_LOG: u32 = 19;

/// How hard each coding tries. The default is measured (decision record): of gzip and zstd the last
/// level before time grows faster than size shrinks, of br the first that beats both in size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// gzip and deflate, 1 to 9.
    pub deflate: u8,
    /// br, 0 to 11.
    pub brotli: u8,
    /// zstd, 1 to 19.
    pub zstd: u8,
}

impl Default for Levels {
    fn default() -> Self {
        Self { deflate: 5, brotli: 4, zstd: 3 }
    }
}

/// An engine failed, for want of memory; no input brings it about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// The coding that failed.
    pub coding: Coding,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} encoder failed", self.coding.name())
    }
}

impl std::error::Error for EncodeError {}

/// Applies a list of codings.
///
/// Memory per coding, at the default levels and whatever the body's size: gzip and deflate
/// 0.4 MiB, br 1.9 MiB, zstd 2.0 MiB; of a stack also what one write becomes in between.
pub struct Encoder {
    /// In the order of the list.
    packers: Vec<Packer>,
    /// Something was written since the last flush.
    unflushed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Write,
    Flush,
    Finish,
}

impl Encoder {
    /// An encoder that applies `codings` in this order. None is the identity.
    ///
    /// # Errors
    ///
    /// No memory for an engine.
    pub fn new(codings: &[Coding], levels: Levels) -> Result<Self, EncodeError> {
        let packer = |&coding: &Coding| match Engine::new(coding, levels) {
            Some(engine) => Ok(Packer { coding, engine }),
            None => Err(EncodeError { coding }),
        };
        Ok(Self { packers: codings.iter().map(packer).collect::<Result<_, _>>()?, unflushed: false })
    }

    /// Encodes `input`; what is ready of it is appended to `output`. The engines keep the rest.
    ///
    /// # Errors
    ///
    /// An engine failed; the encoder is of no further use.
    pub fn write(&mut self, input: &[u8], output: &mut BytesMut) -> Result<(), EncodeError> {
        self.unflushed |= !input.is_empty();
        run(&mut self.packers, Operation::Write, input, output)
    }

    /// Appends all that was written so far, so that a decoder can read it. Costs a few bytes in
    /// each coding; nothing if nothing was written since the last flush.
    ///
    /// # Errors
    ///
    /// An engine failed; the encoder is of no further use.
    pub fn flush(&mut self, output: &mut BytesMut) -> Result<(), EncodeError> {
        if !std::mem::take(&mut self.unflushed) {
            return Ok(());
        }
        run(&mut self.packers, Operation::Flush, &[], output)
    }

    /// Appends all that is left, and the end of the streams. Of an empty body, too, a valid stream.
    ///
    /// # Errors
    ///
    /// An engine failed; the encoder is of no further use.
    pub fn finish(mut self, output: &mut BytesMut) -> Result<(), EncodeError> {
        run(&mut self.packers, Operation::Finish, &[], output)
    }
}

/// Runs `input` through all packers.
fn run(packers: &mut [Packer], operation: Operation, input: &[u8], output: &mut BytesMut) -> Result<(), EncodeError> {
    match packers {
        [] => output.extend_from_slice(input),
        [last] => last.run(operation, input, output)?,
        [first, rest @ ..] => {
            let mut between = BytesMut::new();
            first.run(operation, input, &mut between)?;
            if operation != Operation::Write && !between.is_empty() {
                run(rest, Operation::Write, &between, output)?;
                between.clear();
            }
            run(rest, operation, &between, output)?;
        }
    }
    Ok(())
}

/// Applies one coding.
struct Packer {
    coding: Coding,
    engine: Engine,
}

impl Packer {
    fn run(&mut self, operation: Operation, mut input: &[u8], output: &mut BytesMut) -> Result<(), EncodeError> {
        let mut scratch = [0; SCRATCH_BYTES];
        loop {
            let moved =
                self.engine.encode(operation, input, &mut scratch).ok_or(EncodeError { coding: self.coding })?;
            input = &input[moved.read..];
            output.extend_from_slice(&scratch[..moved.written]);
            if moved.done {
                return Ok(());
            }
            if moved.read == 0 && moved.written == 0 {
                return Err(EncodeError { coding: self.coding });
            }
        }
    }
}

/// What one call of an engine did.
struct Moved {
    read: usize,
    written: usize,
    /// The operation is complete: nothing to read, nothing it still has to write.
    done: bool,
}

/// The libraries' encoders, and what they are called with.
enum Engine {
    Deflate(Compress),
    Brotli(Box<BrotliEncoderStateStruct<StandardAlloc>>),
    Zstd(CCtx<'static>),
}

impl Engine {
    fn new(coding: Coding, levels: Levels) -> Option<Self> {
        let deflate = Compression::new(u32::from(levels.deflate).min(9));
        Some(match coding {
            Coding::Gzip => Self::Deflate(Compress::new_gzip(deflate, 15)),
            Coding::Deflate => Self::Deflate(Compress::new(deflate, true)),
            Coding::Brotli => {
                let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
                state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, levels.brotli.into());
                state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, WINDOW_LOG);
                Self::Brotli(Box::new(state))
            }
            Coding::Zstd => {
                let mut context = CCtx::try_create()?;
                context.set_parameter(CParameter::CompressionLevel(levels.zstd.into())).ok()?;
                context.set_parameter(CParameter::WindowLog(WINDOW_LOG)).ok()?;
                Self::Zstd(context)
            }
        })
    }

    /// None if the library reports an error.
    fn encode(&mut self, operation: Operation, input: &[u8], output: &mut [u8]) -> Option<Moved> {
        match self {
            Self::Deflate(deflate) => {
                let (read, written) = (deflate.total_in(), deflate.total_out());
                let flush = match operation {
                    Operation::Write => FlushCompress::None,
                    Operation::Flush => FlushCompress::Sync,
                    Operation::Finish => FlushCompress::Finish,
                };
                let status = deflate.compress(input, output, flush).ok()?;
                let (read, written) = ((deflate.total_in() - read) as usize, (deflate.total_out() - written) as usize);
                let done = match operation {
                    Operation::Finish => status == Status::StreamEnd,
                    // A full output may hide more; the next call then writes nothing and says so.
                    Operation::Write | Operation::Flush => read == input.len() && written < output.len(),
                };
                Some(Moved { read, written, done })
            }
            Self::Brotli(state) => {
                let (mut left, mut room, mut read, mut written) = (input.len(), output.len(), 0, 0);
                let operation = match operation {
                    Operation::Write => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
                    Operation::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
                    Operation::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
                };
                let fine = state.compress_stream(
                    operation,
                    &mut left,
                    input,
                    &mut read,
                    &mut room,
                    output,
                    &mut written,
                    &mut None,
                    &mut |_, _, _, _| (),
                );
                fine.then(|| Moved { read, written, done: read == input.len() && !state.has_more_output() })
            }
            Self::Zstd(context) => {
                let mut to = OutBuffer::around(output);
                if operation == Operation::Write {
                    let mut from = InBuffer::around(input);
                    context.compress_stream(&mut to, &mut from).ok()?;
                    let read = from.pos();
                    return Some(Moved { read, written: to.pos(), done: read == input.len() });
                }
                let left = match operation {
                    Operation::Finish => context.end_stream(&mut to),
                    Operation::Write | Operation::Flush => context.flush_stream(&mut to),
                };
                Some(Moved { read: 0, written: to.pos(), done: left.ok()? == 0 })
            }
        }
    }
}
