//! Bodies that take time or space: the download pattern, live events, trailers, the echo.
//!
//! Nothing here grows: every body is made frame by frame when the connection has room for it, and each frame is small or
//! borrowed from the binary. A body that is not polled costs its own few bytes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// What the sample answers with.
#[derive(Debug)]
pub enum Body {
    /// All of it at once; empty once sent.
    Whole(Bytes),
    /// `/download` and `/chunked`.
    Pattern(Pattern),
    /// `/events`.
    Events(Events),
    /// `/trailers`.
    Trailed(Trailed),
    /// `/echo`: the request's own body, trailers included.
    Echo(Incoming),
}

impl Body {
    /// A body that is ready in full.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => None,
            Self::Whole(bytes) => Some(Frame::data(std::mem::take(bytes))),
            Self::Pattern(pattern) => pattern.next_block().map(Frame::data),
            Self::Events(events) => ready!(events.poll_next(context)).map(Frame::data),
            Self::Trailed(trailed) => trailed.next_frame(),
            Self::Echo(incoming) => return Pin::new(incoming).poll_frame(context),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pattern(pattern) => pattern.left == 0,
            Self::Events(_) | Self::Trailed(_) => false,
            Self::Echo(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pattern(pattern) if pattern.announced => SizeHint::with_exact(pattern.left),
            Self::Pattern(_) | Self::Events(_) | Self::Trailed(_) => SizeHint::default(),
            Self::Echo(incoming) => incoming.size_hint(),
        }
    }
}

/// 251 is prime, so no power-of-two buffer size hides a lost or doubled block from whoever compares the bytes.
const PATTERN_PERIOD: usize = 251;
/// 256 × 251 = 64,256 bytes: whole periods, so that blocks join without a seam.
const BLOCK_BYTES: usize = 256 * PATTERN_PERIOD;
static BLOCK: [u8; BLOCK_BYTES] = pattern_block();

const fn pattern_block() -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut at = 0;
    while at < BLOCK_BYTES {
        // Below 251, so nothing is cut off.
        block[at] = (at % PATTERN_PERIOD) as u8;
        at += 1;
    }
    block
}

/// Bytes anyone can check: the one at offset `i` is `i mod 251`.
#[derive(Debug)]
pub struct Pattern {
    /// A block is only cut short at the very end, so every block begins at a whole period.
    left: u64,
    /// Whether the length is told beforehand (`Content-Length`) or not (chunked).
    announced: bool,
}

impl Pattern {
    /// `bytes` of the pattern; `announced` decides between `Content-Length` and chunked.
    pub fn new(bytes: u64, announced: bool) -> Self {
        Self { left: bytes, announced }
    }

    fn next_block(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let bytes = usize::try_from(self.left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        self.left -= bytes as u64;
        Some(Bytes::from_static(&BLOCK[..bytes]))
    }
}

/// Server-sent events (WHATWG HTML, 9.2), numbered, at a steady pace; the first one at once.
#[derive(Debug)]
pub struct Events {
    sent: u64,
    count: u64,
    started: Instant,
    interval: Interval,
}

impl Events {
    /// Events `seen + 1` to `count`, one per `interval`. Needs a Tokio runtime; `interval` is not zero.
    pub fn new(seen: u64, count: u64, interval: Duration) -> Self {
        let mut interval = tokio::time::interval(interval);
        // A reader that stalled gets the next event, not a burst of late ones.
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { sent: seen, count, started: Instant::now(), interval }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.sent >= self.count {
            return Poll::Ready(None);
        }
        let _tick = ready!(self.interval.poll_tick(context));
        self.sent += 1;
        let sent_ms = self.started.elapsed().as_millis();
        let seq = self.sent;
        let event = format!("id: {seq}\ndata: {{\"seq\":{seq},\"sent_ms\":{sent_ms}}}\n\n");
        Poll::Ready(Some(event.into()))
    }
}

/// A short text whose checksum comes after it. Hyper sends the trailer only to a client that said `TE: trailers`
/// (RFC 9110, 6.5.1).
#[derive(Debug, Default)]
pub struct Trailed {
    lines: usize,
    tally: Tally,
    ended: bool,
}

impl Trailed {
    /// What the `Trailer` header announces.
    pub const FIELDS: &'static str = "x-body-bytes, x-body-fnv1a-64";

    /// Separate frames, so that the proxy sees more than one chunk.
    const LINES: [&'static str; 3] = [
        "The length and the FNV-1a checksum of this text\n",
        "come after it, in a trailer section.\n",
        "Ask with: curl -v --raw -H 'TE: trailers' URL\n",
    ];

    fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if let Some(line) = Self::LINES.get(self.lines) {
            self.lines += 1;
            self.tally.add(line.as_bytes());
            return Some(Frame::data(Bytes::from_static(line.as_bytes())));
        }
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-body-bytes", HeaderValue::from(self.tally.bytes()));
        if let Ok(checksum) = HeaderValue::try_from(self.tally.fnv1a_64()) {
            trailers.insert("x-body-fnv1a-64", checksum);
        }
        Some(Frame::trailers(trailers))
    }
}

/// The length and FNV-1a 64 checksum of bytes that are not kept. It finds accidents, not forgeries.
#[derive(Debug)]
pub struct Tally {
    bytes: u64,
    hash: u64,
}

impl Default for Tally {
    fn default() -> Self {
        // The FNV-1a 64 offset basis.
        Self { bytes: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Tally {
    /// The FNV 64 prime, 2^40 + 2^8 + 0xb3.
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    /// Counts in `data`, which follows what was added before.
    pub fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.hash = data.iter().fold(self.hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(Self::PRIME));
    }

    /// How many bytes were added.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The checksum as 16 hexadecimal digits.
    pub fn fnv1a_64(&self) -> String {
        format!("{:016x}", self.hash)
    }
}
