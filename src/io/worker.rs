//! Worker threads: one pinned thread per core, each with its own single-threaded runtime.
//!
//! ```text
//!   Workers ── job ──▶ mailbox of worker i ──▶ runs on its runtime; what it spawns stays there
//! ```
//!
//! Everything a request touches is `!Send` and lives on one worker. The only way in is a job in
//! the mailbox, and jobs belong to the control path: a request never crosses workers. The room
//! refuses to block: a full mailbox is an error to the sender, not a wait.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, oneshot};

#[cfg(target_os = "linux")]
use super::uring as ring;
#[cfg(not(target_os = "linux"))]
use no_ring as ring;

/// Jobs waiting for one worker. They are control messages (adopt a link, flush metrics, report),
/// a few a second; 4096 is a worker that has not turned its loop for minutes.
const MAILBOX_JOBS: usize = 4096;

/// Tasks a worker polls before it looks at its sockets again, if it does not run dry first. A turn
/// that serves more connections than this in two goes pays a second `epoll_wait`, and a link's
/// frames leave in two writes instead of one. At some 5 µs a poll this is about a millisecond.
const POLLS_PER_TURN: u32 = 256;

/// What drives the sockets of clients and backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// io_uring where the kernel permits it, else the reactor.
    #[default]
    Auto,
    /// The runtime's reactor: epoll, kqueue, IOCP.
    Reactor,
    /// io_uring, or no worker.
    Uring,
}

type Job = Box<dyn FnOnce() + Send>;

/// A handle to all workers of a process; cheap to clone.
#[derive(Clone)]
pub struct Workers {
    mailboxes: Arc<[mpsc::Sender<Job>]>,
    rings: usize,
}

/// Joins the worker threads; returned by [`Workers::start`] to the one that ends the process.
pub struct Joiner {
    threads: Vec<JoinHandle<()>>,
}

/// The mailbox of a worker is full or the worker has ended.
#[derive(Debug)]
pub struct Busy;

impl Workers {
    /// Starts `count` workers (at least one), pinned to cores in turn.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be created, or [`Driver::Uring`] is asked for and refused.
    pub fn start(name: &str, count: usize, driver: Driver) -> io::Result<(Self, Joiner)> {
        let mut mailboxes = Vec::new();
        let mut threads = Vec::new();
        let mut rings = 0;
        for index in 0..count.max(1) {
            let (sender, receiver) = mpsc::channel::<Job>(MAILBOX_JOBS);
            let (built, outcome) = std::sync::mpsc::channel();
            let thread = std::thread::Builder::new()
                .name(format!("{name}-{index}"))
                .stack_size(4 * 1024 * 1024) // 2 MiB of it for guest code of filters
                .spawn(move || {
                    pin_to_core(index);
                    let (runtime, ring) = match local_runtime(driver) {
                        Ok(started) => started,
                        Err(error) => return drop(built.send(Err(error))),
                    };
                    // Tasks end before the ring whose sockets they hold, however the worker ends.
                    let (_stop, runtime) = (StopRing, runtime);
                    let _ = built.send(Ok(ring));
                    runtime.block_on(turn(receiver));
                })?;
            let ring = outcome.recv().unwrap_or_else(|_| Err(io::Error::other("a worker ended before it began")))?;
            match ring {
                Ok(()) => rings += 1,
                Err(why) if index == 0 && driver == Driver::Auto => {
                    tracing::info!(%why, "io_uring cannot be used here; epoll serves");
                }
                Err(_) => {}
            }
            mailboxes.push(sender);
            threads.push(thread);
        }
        Ok((Self { mailboxes: mailboxes.into(), rings }, Joiner { threads }))
    }

    /// How many workers there are, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.mailboxes.len()
    }

    /// How many of them have an io_uring of their own.
    #[must_use]
    pub fn rings(&self) -> usize {
        self.rings
    }

    /// Runs `job` on worker `index` (modulo the count); it may `spawn_local`.
    ///
    /// # Errors
    /// [`Busy`] when the mailbox is full or the worker has ended.
    pub fn run(&self, index: usize, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        self.mailboxes[index % self.mailboxes.len()].try_send(Box::new(job)).map_err(|_| Busy)
    }

    /// Runs `ask` on every worker and collects the answers that come within `patience`.
    ///
    /// A worker that does not answer is left out, so that a stuck data path can still be asked
    /// about; the index of each answer's worker comes with it.
    pub async fn ask<R: Send + 'static>(
        &self,
        patience: std::time::Duration,
        ask: impl Fn(usize) -> R + Clone + Send + 'static,
    ) -> Vec<(usize, R)> {
        let mut waiting = Vec::new();
        for index in 0..self.count() {
            let (sender, receiver) = oneshot::channel();
            let ask = ask.clone();
            if self.run(index, move || drop(sender.send(ask(index)))).is_ok() {
                waiting.push((index, receiver));
            }
        }
        let deadline = tokio::time::Instant::now() + patience;
        let mut answers = Vec::new();
        for (index, receiver) in waiting {
            if let Ok(Ok(answer)) = tokio::time::timeout_at(deadline, receiver).await {
                answers.push((index, answer));
            }
        }
        answers
    }
}

impl Joiner {
    /// Waits for every worker to end; they end when the last [`Workers`] handle is gone.
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// A runtime bound to this thread, and its ring or why it has none. Tasks need no `Send`, and waking
/// one is a push on a queue without a lock, which through a `LocalSet` it is not.
fn local_runtime(driver: Driver) -> io::Result<(LocalRuntime, io::Result<()>)> {
    let ring = match driver {
        Driver::Reactor => Err(io::Error::other("not asked for")),
        Driver::Auto | Driver::Uring => ring::start(),
    };
    if driver == Driver::Uring
        && let Err(why) = ring
    {
        let what = format!("io_uring cannot be used here: {why}; io = \"auto\" would serve by epoll");
        return Err(io::Error::new(why.kind(), what));
    }
    let mut builder = Builder::new_current_thread();
    builder.enable_all().event_interval(POLLS_PER_TURN);
    if ring.is_ok() {
        builder.on_thread_unpark(ring::turn);
    }
    Ok((builder.build_local(LocalOptions::default())?, ring))
}

/// Ends this thread's ring when dropped.
struct StopRing;

impl Drop for StopRing {
    fn drop(&mut self) {
        ring::stop();
    }
}

async fn turn(mut mailbox: mpsc::Receiver<Job>) {
    tokio::task::spawn_local(async {
        if let Err(error) = ring::attend().await {
            tracing::error!(%error, "the ring of a worker cannot be watched");
        }
    });
    while let Some(job) = mailbox.recv().await {
        job();
    }
}

fn pin_to_core(index: usize) {
    #[cfg(target_os = "linux")]
    {
        // Only cores this process may use: a container's set need not begin at 0.
        let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return };
        let cores: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
        let Some(&core) = cores.get(index % cores.len().max(1)) else { return };
        let mut only = rustix::thread::CpuSet::new();
        only.set(core);
        let _ = rustix::thread::sched_setaffinity(None, &only);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = index;
}

/// The ring of systems without one.
#[cfg(not(target_os = "linux"))]
mod no_ring {
    pub(super) fn start() -> std::io::Result<()> {
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "it is a part of Linux"))
    }

    pub(super) async fn attend() -> std::io::Result<()> {
        Ok(())
    }

    pub(super) fn turn() {}

    pub(super) fn stop() {}
}
