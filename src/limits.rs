//! Every limit of the data path, with its reason. A limit reached is counted and named.
//!
//! The values here are the defaults; the ones an operator may change stand in the `[limits]`
//! table of the configuration under the same name. It refuses to hold a limit without a reason.

use std::time::Duration;

/// Limits of one process, the same for all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open client connections, all workers together. A connection costs 10–60 KiB with buffers
    /// of user and kernel space, so 10,000 stay under 600 MiB.
    pub connections: usize,
    /// TLS handshakes under way per worker. One costs about 0.3 ms of CPU: 512 are 150 ms of
    /// work, beyond which new ones would only time out.
    pub handshakes_in_flight: usize,
    /// Bytes of one head: request line and fields (RFC 9112, 2.1). 64 KiB carries the largest
    /// cookies and Kerberos tickets seen in the wild.
    pub head_bytes_max: usize,
    /// Fields of one head. Browsers send about 20; the original allows 60.
    pub header_count_max: usize,
    /// Bytes of the request target. RFC 9110, 4.1 asks for at least 8,000.
    pub uri_bytes_max: usize,
    /// Concurrent HTTP/2 streams of one client connection (RFC 9113, 6.5.2 asks for at least 100).
    pub streams_per_connection: usize,
    /// From the first byte of a head to its last: what a slow attacker may hold a connection.
    pub head_timeout: Duration,
    /// A keep-alive connection without a request. Browsers give up after 60–300 s themselves.
    pub idle_timeout: Duration,
    /// No byte of a body, in either direction, while one is expected and could move.
    pub body_idle_timeout: Duration,
    /// Bytes of a request body that buy its sender a second beyond `body_idle_timeout`, until the response
    /// begins. As Apache's; a line of 4 kbit/s has it.
    pub body_rate_min: usize,
    /// How long a request waits for a link of its group: a short break is bridged, a long one told.
    pub queue_wait: Duration,
    /// Requests waiting so, per worker.
    pub queue_length: usize,
    /// Relay streams on one link. Each may buffer up to a stream window.
    pub streams_per_link: usize,
    /// Backend connections per target and worker.
    pub backend_connections: usize,
    /// An idle backend connection is closed after this; below the 60–75 s of common servers, so
    /// that rarely one of ours meets a close of theirs.
    pub backend_idle_timeout: Duration,
    /// TCP and TLS to a backend.
    pub backend_connect_timeout: Duration,
    /// A client's TLS handshake.
    pub tls_handshake_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshakes_in_flight: 512,
            head_bytes_max: 64 * 1024,
            header_count_max: 128,
            uri_bytes_max: 16 * 1024,
            streams_per_connection: 128,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(60),
            body_rate_min: 500,
            queue_wait: Duration::from_secs(2),
            queue_length: 1024,
            streams_per_link: 4096,
            backend_connections: 1024,
            backend_idle_timeout: Duration::from_secs(30),
            backend_connect_timeout: Duration::from_secs(5),
            tls_handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// Chunk extensions of one body, all together: they carry nothing we forward (RFC 9112, 7.1.1).
pub const CHUNK_EXTENSION_BYTES: usize = 16 * 1024;

/// Trailer fields of one body: bytes. As hyper's.
pub const TRAILER_BYTES: usize = 16 * 1024;

/// Interim (1xx) responses of one request: more is a backend gone wild (RFC 9110, 15.2).
pub const INTERIM_RESPONSES: usize = 16;

/// What an HTTP/1 connection still reads of a request body nobody wanted, to reuse the
/// connection: four full reads. More is cheaper to close than to read.
pub const DRAIN_BYTES: usize = 256 * 1024;

/// Bytes queued for one client connection before its body is polled again: keeps one writev busy
/// without letting a slow client pin more.
pub const OUTPUT_HIGH_WATER: usize = 256 * 1024;

/// The same while memory is short.
pub const OUTPUT_WHEN_SHORT: usize = 16 * 1024;

/// While memory is short, a reader that takes nothing for this long is cut: what is held for it is others'
/// need. A line that loses packets rests for a second.
pub const STALL_WHEN_SHORT: Duration = Duration::from_secs(2);

/// HTTP/2 stream window towards clients: 256 KiB, times `streams_per_connection` bounds uploads.
pub const PUBLIC_STREAM_WINDOW: u32 = 256 * 1024;

/// HTTP/2 connection window towards clients: 16 full stream windows.
pub const PUBLIC_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Window of a relay stream on a link: 256 KiB is 13 MB/s at 20 ms for one stream.
pub const LINK_STREAM_WINDOW: u32 = 256 * 1024;

/// Window of a whole link: as large as HTTP/2 allows, so that only the streams' own windows hold
/// anything back. A smaller one could be filled by one client's unread downloads, and then every
/// other stream of the link would stand still. What a link can pin is `streams_per_link` × 256 KiB
/// (1 GiB by default), until `body_idle_timeout` resets the stalled streams.
pub const LINK_CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// What one stream may queue for sending on HTTP/2 before it must wait.
pub const H2_SEND_BUFFER: usize = 128 * 1024;

/// Largest DATA frame on a link. Larger frames are fewer writes; one at a time still leaves an
/// interactive stream waiting for some 50 µs at most.
pub const LINK_FRAME_BYTES: u32 = 64 * 1024;

/// What small DATA frames received and not yet read may cost a link beside their bytes, each 256 bytes less
/// its own: `streams_per_link` × 256 KiB, as much as a link can pin in windows. A reader that stalls before
/// messages of 50 bytes leaves a window of 5,243, which is 1 MiB: a sixteenth of this would end every stream of
/// a link because of 62 such readers, and the default of `h2` (25,600 bytes) because of one.
pub const LINK_DATA_FRAME_BUDGET: usize = 4096 * 256 * 1024;

/// A piece of a body smaller than this is passed on together with what is there behind it: to hold a frame
/// costs its reader some 256 bytes, however small it is.
pub const CRUMB_BYTES: usize = 1024;

/// Crumbs passed on together: one frame of the smallest size HTTP/2 allows.
pub const GATHERED_BYTES: usize = 16 * 1024;

/// Streams of a link that may be reset before they were accepted, and remembered after: a crowd
/// of clients leaving at once must not look like an attack. Bounded by the streams of a link.
pub const LINK_RESET_STREAMS: usize = 8192;

/// One line of the hello on a link, either way.
pub const HELLO_BYTES: usize = 16 * 1024;

/// One message on a link's control stream: the pushed configuration of some 20,000 apps.
pub const CONTROL_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// How long the other half of a tunnelled stream may be silent after one half has ended.
pub const HALF_CLOSED_IDLE: Duration = Duration::from_secs(60);

/// Links one connector keeps to an edge, however many workers that says it has: one for each core of
/// the largest machines.
pub const LINKS_PER_EDGE: u16 = 1024;

/// Streams a connector accepts on one link. The edge's own `streams_per_link` is what bounds
/// them; this is its largest setting, and what a hostile edge could open.
pub const LINK_STREAMS: u32 = 65_536;

/// What frames that bring nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown ones, empty DATA,
/// heads that are never answered) may cost one HTTP/2 connection before it ends with
/// ENHANCE_YOUR_CALM. Answers fill it again, and so does time.
#[derive(Clone, Copy, Debug)]
pub struct FrameBudget {
    /// Frames at once, and the most that is ever left.
    pub burst: u32,
    /// What comes back in a second.
    pub per_second: u32,
    /// What a stream costs that the peer resets.
    pub reset: u32,
    /// What a stream costs that we reset, since the peer may have seen to it (CVE-2025-8671).
    pub provoked: u32,
    /// What a response head, or DATA with a byte in it, brings back.
    pub answer: u32,
}

impl FrameBudget {
    /// The same for a connection that may carry `streams` at once: that all of them are reset together, and
    /// their successors too, is no attack.
    #[must_use]
    pub fn carrying(self, streams: usize) -> Self {
        let resets = u32::try_from(streams).unwrap_or(u32::MAX).saturating_mul(2).saturating_mul(self.reset);
        Self { burst: self.burst.max(resets), ..self }
    }
}

/// A client's connection. 1,024 / 4 = 256 resets at once: twice `streams_per_connection`, a page
/// left while all of it loads; more with more streams. An answer brings 4: a reader that gives credit back
/// for every frame, on its stream and on the connection, and pings for its bandwidth, pays 3.
pub const CLIENT_FRAMES: FrameBudget = FrameBudget { burst: 1024, per_second: 64, reset: 4, provoked: 4, answer: 4 };

/// A link, for what a connector sends: 64 clients' worth, and more back for each request we send. Our
/// own resets are free: it is clients who leave, and they must not cost each other the link.
pub const LINK_FRAMES: FrameBudget =
    FrameBudget { burst: 64 * 1024, per_second: 4096, reset: 4, provoked: 0, answer: 8 };
