//! The load generator for what wrk and h2load cannot do: fixed rates, uploads, TLS handshakes,
//! WebSockets, a reader that stalls. One thread, in a process of its own.
//!
//! ```text
//!   perf generator key=value …
//!   connect all ─▶ warm-up ─▶ "begin" ─▶ measured ─▶ "found turns=… p99=…" ─▶ holds until its input ends
//! ```
//!
//! At a fixed rate a latency begins when its turn was meant to begin. It refuses to go on with a
//! connection that failed: the failure is counted, and the run is void.

mod client;
mod pace;
mod plan;
mod tally;
mod tls;

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::backend::websocket;
use crate::peers::TLS_HOST;
use client::{Client, Stream};
use pace::Queue;
pub use plan::{Kind, Plan};
use tally::Tally;

/// Connections being opened at a time; more would overrun listen queues.
const OPENING_MAX: usize = 128;

/// How long turns that were due may take behind the window.
const DRAIN: Duration = Duration::from_secs(10);

/// Buffers of all connections together: 64 MiB are 32 KiB for each of 2,048, and 256 KiB for up to 256.
const BUFFERS_BYTES: usize = 64 * 1024 * 1024;

/// What a stalled reader takes in before it stalls.
const STALLED_BUFFER_BYTES: u32 = 4096;

/// Everything a connection needs to know.
struct Job {
    plan: Plan,
    host: String,
    /// One for each host.
    heads: Vec<Vec<u8>>,
    turns: Cell<usize>,
    frame: Vec<u8>,
    buffer: usize,
    queue: Queue,
    tls: Option<tls::Trust>,
}

/// What a turn is done on.
enum Slot {
    Kept(Client<TcpStream>),
    KeptTls(Box<Client<tls::TlsStream>>),
    Handshakes(tls::Trust),
}

/// The process.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let plan = Plan::parse(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let (tally, open) = load(plan, || println!("begin")).await?;
        println!("{}", tally.line());
        // The input ends when the harness has looked at what it wanted to see with all connections open.
        let leave = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        leave.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        drop(open);
        Ok(())
    })
}

/// What stays open behind the window.
struct Open {
    _idle: Vec<Slot>,
    _busy: JoinSet<()>,
    _stalled: Option<Client<TcpStream>>,
}

/// One run; `begin` is called when the window opens.
async fn load(plan: Plan, begin: impl FnOnce()) -> Result<(Rc<Tally>, Open), String> {
    let job = Rc::new(Job::new(plan)?);
    let slots = Rc::clone(&job).open_all().await?;
    let stalled = job.stall().await?;
    let warm_up = Duration::from_millis(job.plan.warm_up_ms);
    let tally = Rc::new(Tally::new(warm_up, Duration::from_millis(job.plan.measured_ms))?);
    let (from, to) = tally.window();
    let (idle, turning) = if job.plan.kind == Kind::Idle { (slots, Vec::new()) } else { (Vec::new(), slots) };
    let mut busy = JoinSet::new();
    for slot in turning {
        busy.spawn_local(turn_on(Rc::clone(&job), slot, Rc::clone(&tally)));
    }
    let filling = Rc::clone(&job);
    let filler = (job.plan.rate > 0.0)
        .then(|| tokio::task::spawn_local(async move { filling.queue.fill(filling.plan.rate, to).await }));
    tokio::time::sleep_until(from.into()).await;
    begin();
    tokio::time::sleep_until(to.into()).await;
    if let Some(filler) = filler {
        filler.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let deadline = Instant::now() + DRAIN;
        while job.queue.left() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..job.queue.left() {
            tally.failed("not answered within 10 s");
        }
    }
    Ok((tally, Open { _idle: idle, _busy: busy, _stalled: stalled }))
}

/// Turns until the process ends or one fails.
async fn turn_on(job: Rc<Job>, mut slot: Slot, tally: Rc<Tally>) {
    let (_, to) = tally.window();
    let paced = job.plan.rate > 0.0;
    while paced || Instant::now() < to {
        let intended = if paced { job.queue.next().await } else { Instant::now() };
        let done = job.turn(&mut slot, &tally).await;
        if paced {
            job.queue.done();
        }
        match done {
            Ok(resumed) => tally.turn(intended, paced, resumed),
            Err(error) => return tally.failed(error.to_string()),
        }
    }
}

impl Job {
    fn new(plan: Plan) -> Result<Self, String> {
        let host = match plan.certificate {
            Some(_) => format!("{TLS_HOST}:{}", plan.address.port()),
            None => plan.address.to_string(),
        };
        let head = |host: &str| match plan.upload {
            0 => format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", plan.path),
            length => format!("POST {} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n", plan.path),
        };
        let heads = match plan.hosts {
            0 => vec![head(&host).into_bytes()],
            hosts => (1..=hosts).map(|number| head(&format!("app-{number:04}.test")).into_bytes()).collect(),
        };
        let mut frame = websocket::header(2, plan.message, true);
        frame.resize(frame.len() + plan.message, b'x');
        let trust = |path: &std::path::PathBuf| tls::Trust::new(path, plan.resumed);
        let tls = plan.certificate.as_ref().map(trust).transpose()?;
        // WebSocket messages are small where there are thousands of streams.
        let most = if plan.kind == Kind::Echo && plan.message < 1024 { 1024 } else { 256 * 1024 };
        let buffer = (BUFFERS_BYTES / plan.connections.max(1)).clamp(1024, most);
        Ok(Self { host, heads, turns: Cell::new(0), frame, buffer, queue: Queue::new(), tls, plan })
    }

    /// Whether it took up a TLS session.
    async fn turn(&self, slot: &mut Slot, tally: &Tally) -> std::io::Result<bool> {
        match slot {
            Slot::Kept(client) => self.exchange(client, tally).await.map(|()| false),
            Slot::KeptTls(client) => self.exchange(client, tally).await.map(|()| false),
            Slot::Handshakes(trust) => {
                let stream = trust.connect(self.connect().await?).await?;
                let mut client = Client::new(stream, 4096);
                client.ask(self.head(), self.plan.upload, tally).await?;
                Ok(tls::was_resumed(client.stream()))
            }
        }
    }

    /// The next request's.
    fn head(&self) -> &[u8] {
        let turn = self.turns.replace(self.turns.get() + 1);
        &self.heads[turn % self.heads.len()]
    }

    async fn exchange<S: Stream>(&self, client: &mut Client<S>, tally: &Tally) -> std::io::Result<()> {
        match self.plan.kind {
            Kind::Echo | Kind::Idle => client.echo(&self.frame, self.plan.message, tally).await,
            Kind::Http | Kind::Handshake => client.ask(self.head(), self.plan.upload, tally).await,
        }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(self.plan.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn open(&self, unheard: &Tally) -> std::io::Result<Slot> {
        if let (Kind::Handshake, Some(trust)) = (self.plan.kind, &self.tls) {
            let mut slot = Slot::Handshakes(trust.apart());
            // The session that the first turn takes up again.
            if self.plan.resumed {
                self.turn(&mut slot, unheard).await?;
            }
            return Ok(slot);
        }
        let stream = self.connect().await?;
        let websocket = matches!(self.plan.kind, Kind::Echo | Kind::Idle);
        if let Some(trust) = &self.tls {
            let stream = trust.connect(stream).await?;
            return Ok(Slot::KeptTls(Box::new(self.ready(stream, websocket).await?)));
        }
        Ok(Slot::Kept(self.ready(stream, websocket).await?))
    }

    async fn ready<S: Stream>(&self, stream: S, websocket: bool) -> std::io::Result<Client<S>> {
        let mut client = Client::new(stream, self.buffer);
        if websocket {
            client.upgrade(&self.host, &self.plan.path).await?;
        }
        Ok(client)
    }

    async fn open_all(self: Rc<Self>) -> Result<Vec<Slot>, String> {
        let opening = Rc::new(Semaphore::new(OPENING_MAX));
        // Nothing that is done to open connections counts.
        let unheard = Rc::new(Tally::new(Duration::ZERO, Duration::ZERO)?);
        let mut all = JoinSet::new();
        for number in 1..=self.plan.connections {
            let (job, opening, unheard) = (Rc::clone(&self), Rc::clone(&opening), Rc::clone(&unheard));
            all.spawn_local(async move {
                let _turn = opening.acquire().await.map_err(|error| error.to_string())?;
                job.open(&unheard).await.map_err(|error| format!("connection {number}: {error}"))
            });
        }
        let mut slots = Vec::with_capacity(self.plan.connections);
        while let Some(slot) = all.join_next().await {
            slots.push(slot.map_err(|error| error.to_string())??);
        }
        Ok(slots)
    }

    /// The reader that stalls, if there is to be one.
    async fn stall(&self) -> Result<Option<Client<TcpStream>>, String> {
        let Some(path) = &self.plan.stalled else { return Ok(None) };
        let begin = async {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(STALLED_BUFFER_BYTES)?;
            socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
            let mut client = Client::new(socket.connect(self.plan.address).await?, 4096);
            client.begin(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host).as_bytes()).await?;
            Ok(client)
        };
        begin.await.map(Some).map_err(|error: std::io::Error| format!("the stalled reader: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::free_port;

    /// Runs a plan against the backend of this binary; what the tally says.
    fn run_against_the_backend(change: impl FnOnce(&mut Plan)) -> String {
        let address = free_port().expect("a port");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let backend = tokio::task::spawn_local(crate::backend::accept(address));
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
            let mut plan = Plan { warm_up_ms: 20, measured_ms: 150, connections: 4, ..Plan::new(Kind::Http, address) };
            change(&mut plan);
            let (tally, _open) = load(plan, || ()).await.expect("it runs");
            backend.abort();
            tally.line()
        })
    }

    fn number(line: &str, key: &str) -> u64 {
        let value = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{key} in {line}"))
    }

    #[test]
    fn bodies_are_counted_down_and_up() {
        for upload in [0, 200_000] {
            let line = run_against_the_backend(|plan| {
                plan.path = if upload == 0 { "/bytes/200000".into() } else { "/sink".into() };
                plan.upload = upload;
            });
            let (turns, bytes) = (number(&line, "turns"), number(&line, "bytes"));
            assert!(number(&line, "errors") == 0 && turns > 4, "{line}");
            assert!(bytes.abs_diff(turns * 200_000) <= 8 * 200_000, "{line}");
        }
    }

    #[test]
    fn messages_come_back() {
        for message in [20, 70_000] {
            let line = run_against_the_backend(|plan| {
                (plan.kind, plan.path, plan.message) = (Kind::Echo, "/echo".into(), message);
            });
            assert!(number(&line, "errors") == 0 && number(&line, "turns") > 4, "{line}");
        }
    }

    #[test]
    fn a_rate_is_kept_beside_a_stalled_reader() {
        let line = run_against_the_backend(|plan| {
            (plan.rate, plan.stalled) = (200.0, Some("/bytes/1073741824".into()));
        });
        assert!(number(&line, "errors") == 0 && number(&line, "turns").abs_diff(30) <= 1, "{line}");
    }

    #[test]
    fn a_wrong_answer_is_a_failure() {
        let line = run_against_the_backend(|plan| plan.path = "/echo".into());
        assert!(number(&line, "errors") == 4 && line.contains("answered HTTP/1.1 101"), "{line}");
    }
}
