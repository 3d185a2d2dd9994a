//! A steady stream of requests on keep-alive connections, and a tally of what became of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::client::h1;
use crate::world::{until, within};

/// What one client waits between two requests: some hundred a second all together.
const PACE: Duration = Duration::from_millis(5);

/// Requests under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Tally>,
}

/// What became of a load.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answers by status.
    pub answers: BTreeMap<u16, usize>,
    /// Requests that got no answer.
    pub lost: usize,
    /// Connections that the edge closed, with an answer or without.
    pub closed: usize,
    /// The first answer that was not 200.
    pub first_failure: Option<String>,
}

impl Load {
    /// Starts `clients` clients that repeat `request`, a whole request on HTTP/1.1.
    pub fn start(addr: SocketAddr, clients: usize, request: &str) -> Self {
        let mut load = Self { stop: Arc::default(), answered: Arc::default(), clients: JoinSet::new() };
        for _ in 0..clients {
            let (stop, answered, request) = (load.stop.clone(), load.answered.clone(), request.to_owned());
            load.clients.spawn(run(addr, request, stop, answered));
        }
        load
    }

    /// Waits for `count` more answers.
    pub async fn goes_on(&self, count: usize) {
        let goal = self.answered.load(Ordering::SeqCst) + count;
        until("answers under load", async || self.answered.load(Ordering::SeqCst) >= goal).await;
    }

    /// Ends the load.
    pub async fn finish(self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Tally::default();
        for tally in within("the end of a load", self.clients.join_all()).await {
            for (status, count) in tally.answers {
                *all.answers.entry(status).or_default() += count;
            }
            all.lost += tally.lost;
            all.closed += tally.closed;
            all.first_failure = all.first_failure.or(tally.first_failure);
        }
        all
    }
}

impl Tally {
    /// Every request was answered with 200, and there were some.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.answers.len() == 1 && self.answers.contains_key(&200)
    }
}

async fn run(addr: SocketAddr, request: String, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) -> Tally {
    let method = request.split(' ').next().unwrap_or_default().to_owned();
    let mut tally = Tally::default();
    let mut pace = tokio::time::interval(PACE);
    let mut client = h1(addr).await;
    while !stop.load(Ordering::SeqCst) {
        pace.tick().await;
        client.send(&request).await;
        let Some(answer) = client.answer(&method).await else {
            tally.lost += 1;
            tally.closed += 1;
            client = h1(addr).await;
            continue;
        };
        answered.fetch_add(1, Ordering::SeqCst);
        *tally.answers.entry(answer.status).or_default() += 1;
        if answer.status != 200 {
            tally.first_failure.get_or_insert_with(|| answer.text());
        }
        if answer.field("connection") == Some("close") {
            tally.closed += 1;
            client = h1(addr).await;
        }
    }
    tally
}
