//! The Wasm side. A violation puts a close frame in the place of the offending one: its receiver
//! answers it, and so both ends learn why. Where the frame's start is gone already, the stream is
//! closed at once.

use abi::Pairs;
use abi::contexts::{Action, Filter};
use abi::host::{self, Body, Level, Map};

use crate::{Inspect, Inspector, Policy, Refusal, Sender, Verdict, config, judge};

/// 1 MiB: what may still be under way when a frame is refused. After that the stream is closed.
const DISCARDED_BYTES_MAX: usize = 1 << 20;

abi::export!(Handshakes, bodies);

struct Handshakes(Policy);

#[derive(Default)]
struct Stream {
    /// Granted with 200 instead of 101.
    extended: bool,
    /// Of an accepted handshake whose frames are inspected: from the client, from the server.
    data: Option<[Direction; 2]>,
}

struct Direction {
    inspector: Inspector,
    /// Counts once a violation was found.
    discarded: Option<usize>,
}

impl Filter for Handshakes {
    type Stream = Stream;

    fn configure(configuration: &[u8]) -> Result<Self, String> {
        config::policy(configuration).map(Handshakes)
    }

    fn request_headers(&self, stream: &mut Stream) -> Action {
        let pairs = host::pairs(Map::Request);
        match judge(&self.0, Pairs::parse(&pairs)) {
            Verdict::Pass => Action::Continue,
            Verdict::Accept { edits, extended } => {
                host::apply(Map::Request, &edits);
                stream.extended = extended;
                let direction = |sender| Direction { inspector: Inspector::new(sender), discarded: None };
                let inspected = self.0.inspect.is_some();
                stream.data = inspected.then(|| [direction(Sender::Client), direction(Sender::Server)]);
                Action::Continue
            }
            Verdict::Refuse(refusal) => {
                respond(&refusal);
                Action::Pause
            }
        }
    }

    fn response_headers(&self, stream: &mut Stream) -> Action {
        if stream.data.is_some() {
            // Anything but a granted handshake is an ordinary answer, with an ordinary body.
            let status = host::value(Map::Response, b":status").unwrap_or_default();
            if status != b"101" && !(stream.extended && status == b"200") {
                stream.data = None;
            }
        }
        Action::Continue
    }

    fn body(&self, stream: &mut Stream, body: Body, size: usize, _end: bool) -> Action {
        if let (Some(inspect), Some([client, server])) = (&self.0.inspect, &mut stream.data)
            && size > 0
        {
            let direction = match body {
                Body::Request => client,
                Body::Response => server,
            };
            direction.pass(inspect, body, size);
        }
        Action::Continue
    }
}

fn respond(refusal: &Refusal) {
    let mut headers = vec![("content-type", "text/plain; charset=utf-8")];
    headers.extend_from_slice(refusal.headers);
    host::respond(refusal.status, "websocket_refused", &headers, refusal.body.as_bytes());
}

impl Direction {
    fn pass(&mut self, inspect: &Inspect, body: Body, size: usize) {
        if let Some(discarded) = &mut self.discarded {
            *discarded = discarded.saturating_add(size);
            if *discarded > DISCARDED_BYTES_MAX || !host::replace_body(body, size, b"") {
                host::close(body);
            }
            return;
        }
        let chunk = host::body(body, size);
        let Err(violation) = self.inspector.feed(inspect, &chunk) else { return };
        self.discarded = Some(0);
        let sender = self.inspector.sender();
        host::log(Level::Warn, &format!("{sender:?} closed with {}: {}", violation.code, violation.reason));
        let before = violation.clean.and_then(|clean| chunk.get(..clean));
        let replaced = before
            .is_some_and(|before| host::replace_body(body, size, &[before, &violation.close_frame(sender)].concat()));
        if !replaced {
            host::close(body);
        }
    }
}
