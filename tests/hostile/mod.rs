//! What nobody honest does, by the numbers of the list of hostile cases: each is refused within its bound, and a
//! canary on another connection of the same edge and link still gets its own answer.
//!
//! F, R and W, of HTTP/1, are listed in `http1`. H02–H07 and H19 are in `http2_malformed`, H14 also in `crowding`, the
//! reset of one stream in `http2`.

mod dial;
mod edge;
mod floods;
mod http1;
mod link;
mod requests;
mod resets;
mod windows;

use crate::client::get;
use crate::frames::{CANCEL, END_STREAM, Frames, headers, reset};
use crate::gate::Gate;
use crate::world::{Plan, World, plan, until};

type Field = (&'static str, &'static str);
/// A request that the gate holds back.
const HOLD: [Field; 4] = [(":method", "GET"), (":scheme", "https"), (":authority", "shop.test"), (":path", "/hold")];
/// A request with a body that the gate waits for.
const UPLOAD: [Field; 4] = [(":method", "POST"), (":scheme", "https"), (":authority", "shop.test"), (":path", "/hold")];
/// A request that is answered at once.
const GET: [Field; 4] = [(":method", "GET"), (":scheme", "https"), (":authority", "shop.test"), (":path", "/")];

/// Streams one connection may have at once, and twice that: what may reach a backend of an attack.
const CONCURRENT: usize = 128;

/// A world under attack: one connector, one link, a backend that holds `/hold` back.
struct Siege {
    world: World,
    gate: Gate,
}

impl Siege {
    async fn start() -> Self {
        Self::with(|plan| plan).await
    }

    async fn with(change: impl FnOnce(Plan) -> Plan) -> Self {
        let gate = Gate::closed().await;
        let world = change(plan().app("shop", gate.url())).start().await;
        Self { world, gate }
    }

    async fn attacker(&self) -> Frames {
        Frames::handshake(self.world.https, "shop.test", &[]).await.0
    }

    /// Requests of attackers that have reached the backend since the last canary.
    fn reached(&self) -> usize {
        self.gate.seen()
    }

    /// Somebody else is served, over the same link.
    async fn canary(&self, case: &str) {
        let answer = get(self.world.http, "shop.test", "/canary").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"), "{case}");
        let links = self.world.edge.links().await;
        assert!(links.len() == 1 && links[0].state == "up", "{case}: {links:?}");
    }

    /// Nothing of the attack is under way any more, neither here nor on the link.
    async fn calm(&self, case: &str) {
        until(&format!("{case}: no stream is left"), async || {
            self.world.edge.links().await.iter().all(|link| link.streams == 0)
        })
        .await;
        until(&format!("{case}: no connection is left"), async || {
            self.world.metric("lockgate_client_connections{listener=\"https\"}").await == 0.0
        })
        .await;
    }

    /// Connections that were ended for their frames.
    async fn ended_for_frames(&self) -> f64 {
        self.world.metric("lockgate_refused_connections_total{limit=\"frames\"}").await
    }
}

/// The odd identifiers, from 1.
fn streams() -> impl Iterator<Item = u32> + Clone {
    (0..).map(|index| index * 2 + 1)
}

/// A request that is taken back at once.
fn rapid(stream: u32, fields: &[Field]) -> Vec<u8> {
    [headers(stream, fields, END_STREAM), reset(stream, CANCEL)].concat()
}
