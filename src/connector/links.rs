//! Keeps the links of one worker up: dial, serve, and dial again with full jitter.
//!
//! ```text
//!   Dialling ─▶ Up ─▶ ended ─▶ Waiting (random, at most base × 2ⁿ) ─▶ Dialling
//!                └▶ Draining (process ends) ─▶ done
//! ```

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::sync::{Notify, mpsc};

use super::Shared;
use super::serve::{Job, Server};
use super::table::Table;
use crate::backend::{Backends, Resolver};
use crate::http::body::Body;
use crate::http::h2::{SendBody, StreamGuard};
use crate::io::clock::Watchdog;
use crate::limits;
use crate::metrics::Shard;
use crate::tls::Stream;
use crate::tunnel::control::{Decoder, ToConnector, ToEdge, encode};
use crate::tunnel::csr::csr_for_key;
use crate::tunnel::dial::{DialError, dial};
use crate::tunnel::hello::{Hello, Welcome};
use crate::tunnel::identity::connector_identity;
use crate::tunnel::tls::link_client;
use crate::tunnel::{PROBES_MISSED_AFTER, PROTOCOL_VERSION, field};

/// First wait after a failure: a short break is over within a second.
const BACKOFF_BASE: Duration = Duration::from_millis(200);
/// Longest wait: an edge that comes back is found within this.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A link that lived this long has proven that dialling works; the next failure starts anew.
const STEADY: Duration = Duration::from_secs(10);
/// A draining link stays this long after its last stream: requests that the edge sent before it
/// heard of the drain are still on their way.
const DRAIN_LINGER: Duration = Duration::from_millis(250);
/// How often a connector looks whether its certificate is past half its life.
const RENEWAL_CHECK: Duration = Duration::from_secs(60);

/// Starts the slots of worker `index` of `count`.
pub(super) fn keep(shared: Arc<Shared>, index: usize, count: usize) {
    let (setup, limits) = (&shared.setup, Rc::new(shared.setup.limits.clone()));
    let shard = Shard::start(&setup.metrics);
    let backends = Backends::new(limits, Resolver::new(setup.resolver.clone()), setup.policy.clone(), shard.clone());
    let server = Rc::new(Server::new(backends, shard));
    tokio::task::spawn_local(async move {
        let mut wanted = shared.wanted.subscribe();
        let mut started = 0;
        loop {
            let want = usize::from(*wanted.borrow_and_update());
            for slot in started..want.max(started) {
                if slot % count == index {
                    let slot = u16::try_from(slot).unwrap_or(u16::MAX);
                    tokio::task::spawn_local(keep_slot(shared.clone(), server.clone(), slot));
                }
            }
            started = want.max(started);
            if wanted.changed().await.is_err() {
                return;
            }
        }
    });
}

async fn keep_slot(shared: Arc<Shared>, server: Rc<Server>, slot: u16) {
    let mut drain = shared.setup.drain.clone();
    let mut failures = 0u32;
    loop {
        // The edge has fewer workers now: this slot is one too many.
        if slot >= *shared.wanted.borrow() {
            shared.status.forget(slot);
            let mut wanted = shared.wanted.subscribe();
            if wanted.wait_for(|&wanted| slot < wanted).await.is_err() {
                return;
            }
        }
        shared.status.set(slot, |link| link.state = "dialling");
        let began = Instant::now();
        let dialled = tokio::select! {
            dialled = dial_edge(&shared, slot) => dialled,
            () = drain.draining() => return,
        };
        // From here the link sees the drain itself: its streams may finish.
        let ended = match dialled {
            Ok((stream, welcome)) => Ended::Link(serve_link(&shared, &server, slot, stream, &welcome).await),
            Err(error) => Ended::Dial(error),
        };
        if shared.setup.drain.is_draining() {
            return;
        }
        failures = if began.elapsed() > STEADY { 0 } else { failures + 1 };
        let wait = jittered(failures);
        if let Ended::Dial(DialError::Refused(refusal)) = &ended
            && !refusal.temporary
        {
            shared.refused.send_replace(Some(format!("{} [{}]", refusal.reason, refusal.code)));
            return;
        }
        match &ended {
            Ended::Link(reason) => tracing::warn!(slot, reason, ?wait, "link ended; dialling again"),
            Ended::Dial(error) => tracing::warn!(slot, %error, ?wait, "no link; dialling again"),
        }
        let (reason, text) = match ended {
            Ended::Link(reason) => (reason, reason.to_owned()),
            Ended::Dial(error) => (error.reason(), error.to_string()),
        };
        shared.setup.metrics.link_ends.with_label_values(&[reason]).inc();
        shared.status.set(slot, |link| {
            link.state = "waiting";
            link.last_error = Some(text);
        });
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = drain.draining() => return,
        }
    }
}

/// Full jitter: anywhere from nothing to the bound, so that a fleet does not come back in step.
fn jittered(failures: u32) -> Duration {
    let bound = BACKOFF_BASE.saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX);
    bound.mul_f64(fastrand::f64())
}

enum Ended {
    Dial(DialError),
    Link(&'static str),
}

async fn dial_edge(shared: &Arc<Shared>, slot: u16) -> Result<(Stream, Welcome), DialError> {
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        software: env!("CARGO_PKG_VERSION").into(),
        instance: shared.instance.clone(),
        slot,
        host: shared.host.clone(),
    };
    let tls = shared.tls.borrow().clone();
    let (stream, welcome): (Stream, Welcome) = dial(&shared.setup.credentials.edge, tls, &hello).await?;
    let workers = welcome.workers.clamp(1, limits::LINKS_PER_EDGE);
    shared.wanted.send_if_modified(|wanted| std::mem::replace(wanted, workers) != workers);
    Ok((stream, welcome))
}

/// HTTP/2, turned round: the edge opens the streams, this end answers them.
async fn serve_link(
    shared: &Arc<Shared>,
    server: &Rc<Server>,
    slot: u16,
    stream: Stream,
    welcome: &Welcome,
) -> &'static str {
    // A drain waits for the streams of this link.
    let _guard = shared.setup.drain.guard();
    let Ok(mut connection) = shake_hands(stream).await else { return "handshake" };
    tracing::info!(slot, group = welcome.group, name = welcome.name, "link up");
    shared.status.set(slot, |link| {
        link.state = "up";
        link.last_error = None;
        link.group = Some(welcome.group.clone());
        link.proven = Some(Instant::now());
    });
    let table = Rc::<Table>::default();
    let (outbox, outgoing) = mpsc::channel::<Bytes>(16);
    let mut outgoing = Some(outgoing);
    let mut drain = shared.setup.drain.clone();
    let mut draining = pin!(drain.draining());
    let mut drained = false;
    let mut silence = Watchdog::default();
    silence.arm(PROBES_MISSED_AFTER);
    let streams = StreamGuard::default();
    let mut linger = Watchdog::default();
    let misled = Rc::<Notify>::default();
    let mut stopped = pin!(misled.notified());
    loop {
        let next = std::future::poll_fn(|cx| {
            if !drained && draining.as_mut().poll(cx).is_ready() {
                drained = true;
                // The word goes first: the edge stops choosing this link; then GOAWAY closes it.
                let _ = outbox.try_send(encode(&ToEdge::Draining));
                connection.graceful_shutdown();
                shared.status.set(slot, |link| link.state = "draining");
                linger.arm(DRAIN_LINGER);
            }
            if drained && streams.count() > 0 {
                // Counted from the last stream's end: what it said last must still be flushed.
                linger.arm(DRAIN_LINGER);
                let _ = linger.poll_elapsed(cx);
            } else if drained && linger.poll_elapsed(cx).is_ready() {
                // The control stream never ends by itself; the link is finished without it.
                connection.abrupt_shutdown(Reason::NO_ERROR);
            }
            if let Poll::Ready(next) = connection.poll_accept(cx) {
                return Poll::Ready(next);
            }
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Err(h2::Error::from(Reason::PROTOCOL_ERROR))));
            }
            silence.poll_elapsed(cx).map(|()| Some(Err(h2::Error::from(Reason::NO_ERROR))))
        });
        match next.await {
            None => return if drained { "drained" } else { "closed" },
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) && !error.is_remote() => return "silent",
            Some(Err(error)) if error.is_go_away() => return "goaway",
            Some(Err(error)) if error.reason() == Some(Reason::PROTOCOL_ERROR) => return "protocol",
            Some(Err(_)) => return "broken",
            Some(Ok((request, mut respond))) => match service(&request) {
                Some("probe") => {
                    silence.arm(PROBES_MISSED_AFTER);
                    shared.status.set(slot, |link| link.proven = Some(Instant::now()));
                    let _ = respond.send_response(http::Response::new(()), true);
                }
                Some("control") => {
                    let Some(outgoing) = outgoing.take() else { continue };
                    let (table, outbox, misled) = (table.clone(), outbox.clone(), misled.clone());
                    let control = Control { shared: shared.clone(), table, outbox, misled, slot };
                    tokio::task::spawn_local(control.run(request, respond, outgoing));
                }
                _ => {
                    server.serve(Job { table: table.clone(), request, respond, entered: streams.enter() });
                }
            },
        }
    }
}

async fn shake_hands(stream: Stream) -> Result<h2::server::Connection<Stream, Bytes>, h2::Error> {
    h2::server::Builder::new()
        .initial_window_size(limits::LINK_STREAM_WINDOW)
        .initial_connection_window_size(limits::LINK_CONNECTION_WINDOW)
        .max_concurrent_streams(limits::LINK_STREAMS)
        .max_frame_size(limits::LINK_FRAME_BYTES)
        .max_header_list_size(256 * 1024)
        .max_send_buffer_size(limits::H2_SEND_BUFFER)
        .max_concurrent_reset_streams(limits::LINK_RESET_STREAMS)
        .max_pending_accept_reset_streams(limits::LINK_RESET_STREAMS)
        .max_local_error_reset_streams(None)
        .data_frame_budget(limits::LINK_DATA_FRAME_BUDGET)
        .enable_connect_protocol()
        .handshake(stream)
        .await
}

fn service(request: &http::Request<RecvStream>) -> Option<&str> {
    request.headers().get(field::SERVICE).and_then(|service| service.to_str().ok())
}

/// The control stream of one link.
struct Control {
    shared: Arc<Shared>,
    table: Rc<Table>,
    outbox: mpsc::Sender<Bytes>,
    /// Told when the edge breaks the protocol: a link that hears no configuration is none.
    misled: Rc<Notify>,
    slot: u16,
}

impl Control {
    async fn run(
        self,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        outgoing: mpsc::Receiver<Bytes>,
    ) {
        let Ok(stream) = respond.send_response(http::Response::new(()), false) else { return };
        let sending = SendBody::new(stream, Body::Channel(outgoing), crate::error::Side::Link);
        tokio::task::spawn_local(async move { drop(sending.await) });
        let mut stream = request.into_body();
        let mut decoder = Decoder::default();
        let mut check = tokio::time::interval(RENEWAL_CHECK);
        loop {
            tokio::select! {
                received = stream.data() => {
                    let Some(Ok(bytes)) = received else { return };
                    decoder.push(&bytes);
                    let _ = stream.flow_control().release_capacity(bytes.len());
                    loop {
                        match decoder.take::<ToConnector>() {
                            Ok(Some(message)) => self.hear(message).await,
                            Ok(None) => break,
                            Err(error) => {
                                tracing::error!(error, "the edge breaks the control protocol");
                                return self.misled.notify_one();
                            }
                        }
                    }
                }
                _ = check.tick() => self.renew_if_due().await,
            }
        }
    }

    async fn hear(&self, message: ToConnector) {
        match message {
            ToConnector::Config(config) => {
                let (generation, apps) = (config.generation, config.apps.len());
                self.table.replace(config);
                self.shared.status.set(self.slot, |link| link.generation = generation);
                tracing::info!(slot = self.slot, generation, apps, "configuration received");
                let _ = self.outbox.send(encode(&ToEdge::Ack(generation))).await;
            }
            ToConnector::Certificate(certificate) => match self.adopt(certificate) {
                Ok(()) => tracing::info!("certificate renewed"),
                Err(error) => tracing::error!(error, "a renewed certificate cannot be used; the old one stays"),
            },
        }
    }

    /// Asks for a new certificate past half the life of the old one. Only slot 0 asks.
    async fn renew_if_due(&self) {
        if self.slot != 0 {
            return;
        }
        let credentials = super::Credentials::load(&self.shared.setup.data_dir).ok().flatten();
        let credentials = credentials.unwrap_or_else(|| self.shared.setup.credentials.clone());
        let Ok((certificate, _, _)) = credentials.decode() else { return };
        let Ok(identity) = connector_identity(&certificate) else { return };
        let left = identity.not_after.duration_since(std::time::SystemTime::now()).unwrap_or_default();
        if left > crate::tunnel::identity::CONNECTOR_VALIDITY / 2 {
            return;
        }
        if let Ok(csr) = csr_for_key(&credentials.key) {
            let _ = self.outbox.send(encode(&ToEdge::Renew(STANDARD.encode(csr)))).await;
        }
    }

    /// Takes a renewed certificate: on disk first, then for the next link that is dialled. Links
    /// that are up keep the old one, which stays valid.
    fn adopt(&self, certificate: String) -> Result<(), String> {
        let mut credentials = self.shared.setup.credentials.clone();
        credentials.certificate = certificate;
        let (certificate, authority, key) = credentials.decode().map_err(|error| error.to_string())?;
        let config = link_client(&authority, certificate, key).map_err(|error| error.to_string())?;
        credentials.save(&self.shared.setup.data_dir).map_err(|error| error.to_string())?;
        self.shared.tls.send_replace(config);
        Ok(())
    }
}
