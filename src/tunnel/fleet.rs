//! The links of one edge worker: which there are, which to take, and how to wait for one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::arrival::{Admitted, Office};
use super::control::Pushes;
use super::link::{Link, State};
use crate::limits::{FrameBudget, LINK_FRAMES};
use crate::metrics::Metrics;

/// Messages waiting for one worker's fleet: arrivals and questions, a few a second at most.
const MAILBOX: usize = 1024;

/// A connector that restarts or reconnects is back within this; a request may wait for it.
const RECENTLY: Duration = Duration::from_secs(5);

/// What the office tells a worker's fleet.
pub enum Mail {
    /// A link goes up.
    Adopt(Box<Admitted>),
    /// A connector was revoked: cut its links.
    Cut(String),
    /// How do you stand?
    Report(oneshot::Sender<Vec<LinkReport>>),
}

/// One link, for `/status`.
#[derive(Clone, Debug, Serialize)]
pub struct LinkReport {
    /// The connector's id.
    pub connector: String,
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its host name.
    pub host: String,
    /// Its software version.
    pub version: String,
    /// Which of its links.
    pub slot: u16,
    /// `up`, `suspect`, `draining`.
    pub state: &'static str,
    /// Relay streams under way.
    pub streams: usize,
    /// Round-trip time of the last probe, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Seconds since it went up.
    pub up_seconds: u64,
    /// Configuration generation confirmed.
    pub generation: u64,
}

/// The links of one worker.
pub struct Fleet {
    groups: RefCell<HashMap<String, Vec<Rc<Link>>>>,
    /// When each group lost a link last.
    lost: RefCell<HashMap<String, Instant>>,
    /// Told whenever a link becomes usable.
    arrived: Notify,
    /// What frames that bring nothing may cost one link.
    frames: FrameBudget,
    metrics: Arc<Metrics>,
}

impl Fleet {
    /// A fleet and the mailbox the office reaches it by, of links of up to `streams` streams. `pushes` is what
    /// links are told.
    #[must_use]
    pub fn start(
        metrics: Arc<Metrics>,
        streams: usize,
        pushes: watch::Receiver<Pushes>,
        office: Office,
        mut mailbox: mpsc::Receiver<Mail>,
    ) -> Rc<Self> {
        let frames = LINK_FRAMES.carrying(streams);
        let (groups, lost) = (RefCell::default(), RefCell::default());
        let fleet = Rc::new(Self { groups, lost, arrived: Notify::new(), frames, metrics });
        let own = fleet.clone();
        tokio::task::spawn_local(async move {
            while let Some(mail) = mailbox.recv().await {
                match mail {
                    Mail::Adopt(admitted) => {
                        tokio::task::spawn_local(own.clone().adopt(*admitted, pushes.clone(), office.clone()));
                    }
                    Mail::Cut(connector) => own.cut(&connector),
                    Mail::Report(answer) => drop(answer.send(own.report())),
                }
            }
        });
        fleet
    }

    /// The two ends of a fleet's mailbox.
    #[must_use]
    pub fn mailbox() -> (mpsc::Sender<Mail>, mpsc::Receiver<Mail>) {
        mpsc::channel(MAILBOX)
    }

    async fn adopt(self: Rc<Self>, admitted: Admitted, pushes: watch::Receiver<Pushes>, office: Office) {
        let Admitted { stream, member } = admitted;
        let (connector, peer) = (member.connector.clone(), member.peer);
        // A link of the same slot of the same connector is one it has given up already.
        self.replace(&connector, member.hello.slot, &member.hello.instance);
        let Ok(stream) = stream.attach() else { return };
        let own = Rc::downgrade(&self);
        let rtt = self.metrics.link_rtt.with_label_values(&[&connector]);
        let started = Link::start(member, (stream, self.frames), pushes, office, rtt, move |link, from, to, reason| {
            if let Some(fleet) = own.upgrade() {
                fleet.on_change(link, from, to, reason);
            }
        });
        match tokio::time::timeout(super::HELLO_TIMEOUT, started).await {
            Ok(Ok(link)) => self.insert(link),
            Ok(Err(reason)) => tracing::warn!(connector, %peer, reason, "a link did not come up"),
            Err(_) => tracing::warn!(connector, %peer, "a link did not come up in time"),
        }
    }

    fn insert(&self, link: Rc<Link>) {
        if link.state() == State::Closed {
            return;
        }
        tracing::info!(connector = %link.connector, name = %link.name, group = %link.group, slot = link.hello.slot, "link up");
        self.metrics.links.with_label_values(&[&link.connector, link.state().word()]).inc();
        self.groups.borrow_mut().entry(link.group.clone()).or_default().push(link);
        self.arrived.notify_waiters();
    }

    fn replace(&self, connector: &str, slot: u16, instance: &str) {
        for link in self.groups.borrow().values().flatten() {
            if link.connector == connector && link.hello.slot == slot && link.hello.instance == instance {
                link.kill("replaced");
            }
        }
    }

    fn on_change(&self, link: &Rc<Link>, from: State, to: State, reason: &str) {
        let gauge = |state: State| self.metrics.links.with_label_values(&[&*link.connector, state.word()]);
        let known =
            self.groups.borrow().get(&link.group).is_some_and(|links| links.iter().any(|one| Rc::ptr_eq(one, link)));
        if known {
            gauge(from).dec();
        }
        if to == State::Closed {
            if let Some(links) = self.groups.borrow_mut().get_mut(&link.group) {
                links.retain(|one| !Rc::ptr_eq(one, link));
            }
            self.lost.borrow_mut().insert(link.group.clone(), Instant::now());
            self.metrics.link_ends.with_label_values(&[reason]).inc();
        } else if known {
            gauge(to).inc();
        }
        match to {
            State::Up => self.arrived.notify_waiters(),
            State::Suspect => {
                tracing::warn!(connector = %link.connector, slot = link.hello.slot, reason, "link suspect")
            }
            State::Draining | State::Closed => {
                tracing::info!(connector = %link.connector, slot = link.hello.slot, reason, streams = link.streams(), state = to.word(), "link changed");
            }
        }
    }

    /// The less loaded of two random usable links of `group`, other than those in `tried`.
    pub fn pick(&self, group: &str, tried: &[Rc<Link>], streams_max: usize) -> Pick {
        let groups = self.groups.borrow();
        let Some(links) = groups.get(group) else { return Pick::Nobody };
        let usable = |link: &&Rc<Link>| link.is_ready() && !tried.iter().any(|one| Rc::ptr_eq(one, link));
        let mut full = false;
        let mut best: Option<&Rc<Link>> = None;
        // Groups are small; with more than two members the start is random and two are compared.
        let start = fastrand::usize(..links.len().max(1));
        let mut seen = 0;
        for link in links[start..].iter().chain(&links[..start]).filter(usable) {
            if link.streams() >= streams_max {
                full = true;
                continue;
            }
            if best.is_none_or(|best| link.streams() < best.streams()) {
                best = Some(link);
            }
            seen += 1;
            if seen == 2 {
                break;
            }
        }
        match best {
            Some(link) => Pick::Link(link.clone()),
            None if full => Pick::Full,
            None => Pick::Nobody,
        }
    }

    /// Completes when a link has become usable since the call, or after `patience`.
    pub async fn wait(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.arrived.notified()).await.is_ok()
    }

    /// Whether `group` has a link, or lost its last one only a moment ago: then one is worth
    /// waiting for.
    #[must_use]
    pub fn lately(&self, group: &str) -> bool {
        self.groups.borrow().get(group).is_some_and(|links| !links.is_empty())
            || self.lost.borrow().get(group).is_some_and(|lost| lost.elapsed() < RECENTLY)
    }

    fn cut(&self, connector: &str) {
        for link in self.groups.borrow().values().flatten() {
            if link.connector == connector {
                link.kill("revoked");
            }
        }
    }

    fn report(&self) -> Vec<LinkReport> {
        let groups = self.groups.borrow();
        groups.values().flatten().map(|link| self.report_one(link)).collect()
    }

    fn report_one(&self, link: &Rc<Link>) -> LinkReport {
        LinkReport {
            connector: link.connector.clone(),
            name: link.name.clone(),
            group: link.group.clone(),
            host: link.hello.host.clone(),
            version: link.hello.software.clone(),
            slot: link.hello.slot,
            state: link.state().word(),
            streams: link.streams(),
            rtt_ms: link.rtt().map(|rtt| rtt.as_secs_f64() * 1000.0),
            up_seconds: link.since.elapsed().as_secs(),
            generation: link.acknowledged(),
        }
    }
}

/// A link to take, or why there is none.
pub enum Pick {
    /// Take this one.
    Link(Rc<Link>),
    /// All usable ones are at their limit of streams.
    Full,
    /// There is no usable one.
    Nobody,
}
