//! One link, the edge's half: an HTTP/2 client whose streams are requests.
//!
//! ```text
//!   Up ⇄ Suspect      a probe unanswered for SUSPECT_AFTER; answered again
//!    └───┴─▶ Draining  the connector said so, or a GOAWAY came
//!    └───┴────┴─▶ Closed
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Uri};
use tokio::sync::watch;
use tokio::time::Instant;

use super::arrival::{Member, Office, Renewal};
use super::control::{Decoder, Pushes, ToConnector, ToEdge, encode};
use super::hello::Hello;
use super::{DEAD_AFTER, PROBE_INTERVAL, SUSPECT_AFTER, field};
use crate::http::h2::client::{self, Answer, Failure};
use crate::http::h2::{End, SendBody, StreamGuard, Watch, Watched};
use crate::http::{Body, Interim};
use crate::limits::{self, FrameBudget};
use crate::tls::Stream;

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Takes requests.
    Up,
    /// A probe is overdue: takes none until it is answered.
    Suspect,
    /// Takes none; those under way go on.
    Draining,
    /// Gone.
    Closed,
}

impl State {
    /// The word in metrics and status.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }
}

/// Hears of a change of state: from, to, and why.
type OnChange = Rc<dyn Fn(&Rc<Link>, State, State, &str)>;

/// One link on one worker.
pub struct Link {
    /// The connector's id.
    pub connector: String,
    /// Its name, for people.
    pub name: String,
    /// The group it serves.
    pub group: String,
    /// What it said in its hello.
    pub hello: Hello,
    /// When the link went up.
    pub since: Instant,
    send: RefCell<SendRequest<Bytes>>,
    state: Cell<State>,
    streams: StreamGuard,
    rtt: Cell<Option<Duration>>,
    rtt_shown: prometheus::Gauge,
    acknowledged: Cell<u64>,
    kill: watch::Sender<Option<&'static str>>,
}

impl Link {
    /// Starts HTTP/2 on an admitted connection, whose peer has a budget. `on_change` hears every change of state, the last
    /// with the reason of the end.
    ///
    /// # Errors
    /// The handshake's failure in words.
    pub async fn start(
        member: Member,
        (stream, frames): (Stream, FrameBudget),
        pushes: watch::Receiver<Pushes>,
        office: Office,
        rtt_shown: prometheus::Gauge,
        on_change: impl Fn(&Rc<Self>, State, State, &str) + 'static,
    ) -> Result<Rc<Self>, String> {
        let stream = Watched::new(stream, End::Client, frames);
        let watch = stream.watch();
        let (send, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(limits::LINK_STREAM_WINDOW)
            .initial_connection_window_size(limits::LINK_CONNECTION_WINDOW)
            .initial_max_send_streams(limits::LINK_STREAMS as usize)
            .max_frame_size(limits::LINK_FRAME_BYTES)
            .max_header_list_size(256 * 1024)
            .max_send_buffer_size(limits::H2_SEND_BUFFER)
            .max_concurrent_reset_streams(limits::LINK_RESET_STREAMS)
            .max_pending_accept_reset_streams(limits::LINK_RESET_STREAMS)
            .max_local_error_reset_streams(None)
            .data_frame_budget(limits::LINK_DATA_FRAME_BUDGET)
            .handshake(stream)
            .await
            .map_err(|error| error.to_string())?;
        let (kill, killed) = watch::channel(None);
        let Member { connector, name, group, hello, .. } = member;
        let link = Rc::new(Self {
            connector,
            name,
            group,
            hello,
            since: Instant::now(),
            send: RefCell::new(send),
            state: Cell::new(State::Up),
            streams: StreamGuard::default(),
            rtt: Cell::new(None),
            rtt_shown,
            acknowledged: Cell::new(0),
            kill,
        });
        let on_change: OnChange = Rc::new(on_change);
        tokio::task::spawn_local(drive(link.clone(), (connection, watch), killed, on_change.clone()));
        tokio::task::spawn_local(link.clone().probe(on_change.clone()));
        tokio::task::spawn_local(link.clone().control(pushes, office, on_change));
        Ok(link)
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Relay streams under way.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.count()
    }

    /// Round-trip time of the last probe.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.get()
    }

    /// The configuration generation the connector has confirmed on this link.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.get()
    }

    /// Ends the link at once; streams under way fail.
    pub fn kill(&self, reason: &'static str) {
        self.kill.send_replace(Some(reason));
    }

    /// Whether a request may be put on it now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state.get() == State::Up && !self.went_away()
    }

    /// The connection has ended or sent GOAWAY, seen without waiting.
    fn went_away(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(self.send.borrow_mut().poll_ready(&mut context), Poll::Ready(Err(_)))
    }

    /// Sends one request; the guard counts its stream until the response body is gone.
    ///
    /// # Errors
    /// [`Failure`], with what may be done about it.
    pub async fn send(
        &self,
        request: http::Request<()>,
        body: Body,
        waits: bool,
        interim: &Interim,
    ) -> Result<(Answer, StreamGuard), Box<Failure>> {
        let guard = self.streams.enter();
        let exchange = client::send(&mut self.send.borrow_mut(), request, body, waits, interim);
        Ok((exchange?.await?, guard))
    }

    fn change(self: &Rc<Self>, to: State, reason: &str, on_change: &OnChange) {
        let from = self.state.get();
        let allowed = from != State::Closed && from != to && !(from == State::Draining && to != State::Closed);
        if allowed {
            self.state.set(to);
            on_change(self, from, to, reason);
        }
    }

    /// A request of the link's own.
    fn service(kind: &'static str) -> http::Request<()> {
        let mut request = http::Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("http://lockgate/");
        request.headers_mut().insert(field::SERVICE, http::HeaderValue::from_static(kind));
        request
    }

    /// Proves the data path every [`PROBE_INTERVAL`] by a stream that the connector's worker answers.
    async fn probe(self: Rc<Self>, on_change: OnChange) {
        while self.state.get() != State::Closed {
            let sent = Instant::now();
            let probe = client::send(
                &mut self.send.borrow_mut(),
                Self::service("probe"),
                Body::Empty,
                false,
                &Interim::Nowhere,
            );
            let Ok(probe) = probe else { break };
            tokio::pin!(probe);
            let answered = match tokio::time::timeout(SUSPECT_AFTER, &mut probe).await {
                Ok(answered) => answered,
                Err(_) => {
                    self.change(State::Suspect, "a probe is overdue", &on_change);
                    match tokio::time::timeout(DEAD_AFTER - SUSPECT_AFTER, &mut probe).await {
                        Ok(answered) => answered,
                        Err(_) => return self.kill("silent"),
                    }
                }
            };
            if answered.is_err() {
                break;
            }
            self.rtt.set(Some(sent.elapsed()));
            self.rtt_shown.set(sent.elapsed().as_secs_f64());
            if self.state.get() == State::Suspect {
                self.change(State::Up, "a probe was answered", &on_change);
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
        // A link that takes no probe takes no request; its driver will say why.
        self.change(State::Draining, "it takes no more streams", &on_change);
    }

    /// Pushes configuration and hears what the connector has to say.
    async fn control(self: Rc<Self>, mut pushes: watch::Receiver<Pushes>, office: Office, on_change: OnChange) {
        let opened = self.send.borrow_mut().send_request(Self::service("control"), false);
        let Ok((response, stream)) = opened else { return };
        let (outbox, outgoing) = tokio::sync::mpsc::channel::<Bytes>(16);
        let sending = SendBody::new(stream, Body::Channel(outgoing), crate::error::Side::Link);
        tokio::task::spawn_local(async move { drop(sending.await) });
        let hears = self.clone();
        let answers = outbox.clone();
        let hearing = async move {
            let Ok(response) = response.await else { return };
            let mut stream = response.into_body();
            let mut decoder = Decoder::default();
            while let Some(Ok(bytes)) = stream.data().await {
                decoder.push(&bytes);
                let _ = stream.flow_control().release_capacity(bytes.len());
                loop {
                    match decoder.take::<ToEdge>() {
                        Ok(Some(message)) => hears.hear(message, &office, &answers, &on_change).await,
                        Ok(None) => break,
                        Err(reason) => {
                            tracing::warn!(connector = %hears.connector, reason, "a connector breaks the control protocol");
                            return hears.kill("protocol");
                        }
                    }
                }
            }
        };
        let pushing = async {
            let mut pushed = 0;
            loop {
                let push = pushes.borrow_and_update().of(&self.group).clone();
                if push.generation != pushed {
                    pushed = push.generation;
                    if outbox.send(push.message.clone()).await.is_err() {
                        return;
                    }
                }
                if pushes.changed().await.is_err() {
                    // The edge is ending; the link lives on until it is closed.
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = hearing => {}
            () = pushing => {}
        }
    }

    async fn hear(
        self: &Rc<Self>,
        message: ToEdge,
        office: &Office,
        answers: &tokio::sync::mpsc::Sender<Bytes>,
        on_change: &OnChange,
    ) {
        match message {
            ToEdge::Ack(generation) => self.acknowledged.set(generation),
            ToEdge::Draining => self.change(State::Draining, "the connector drains", on_change),
            ToEdge::Renew(csr) => {
                let (answer, answered) = tokio::sync::oneshot::channel();
                let renewal = Renewal { connector: self.connector.clone(), csr, answer };
                if office.renewals.send(renewal).await.is_err() {
                    return;
                }
                match answered.await {
                    Ok(Ok(certificate)) => {
                        let _ = answers.send(encode(&ToConnector::Certificate(certificate))).await;
                    }
                    Ok(Err(reason)) => {
                        tracing::warn!(connector = %self.connector, reason, "a certificate could not be renewed");
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

/// Runs the connection until it ends or is killed.
async fn drive(
    link: Rc<Link>,
    (connection, watch): (h2::client::Connection<Watched<Stream>, Bytes>, Watch),
    mut killed: watch::Receiver<Option<&'static str>>,
    on_change: OnChange,
) {
    let reason = tokio::select! {
        ended = watch.over(connection) => match ended {
            Ok(Ok(())) => "closed".to_owned(),
            Ok(Err(error)) if error.is_go_away() => "goaway".to_owned(),
            Ok(Err(error)) => {
                tracing::debug!(connector = %link.connector, %error, "a link broke");
                "broken".to_owned()
            }
            Err(reason) => {
                tracing::warn!(connector = %link.connector, %reason, "a connector's frames are refused");
                "protocol".to_owned()
            }
        },
        reason = killed.wait_for(Option::is_some) => reason.ok().and_then(|reason| *reason).unwrap_or("closed").to_owned(),
    };
    link.change(State::Closed, &reason, &on_change);
}
