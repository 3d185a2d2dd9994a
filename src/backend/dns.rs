//! Names to addresses, with their time to live, off the worker threads.
//!
//! ```text
//!   worker: own small table ──miss or old──▶ office runtime: resolver (hosts file, DNS, its cache)
//! ```
//!
//! Refuses to keep an answer longer than its TTL; an answer with TTL 0 lives for one request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Names waiting for the resolver: each backs a request of a worker, which has its own limits.
const QUESTIONS: usize = 1024;
/// Names a worker remembers; more apps than that pay one channel hop per request.
const NAMES: usize = 1024;
/// No answer is kept longer, whatever its TTL says: a moved server is found again.
const TTL_MAX: Duration = Duration::from_secs(300);

/// Addresses, and until when they may be used.
type Known = (Vec<IpAddr>, Instant);
type Answer = Result<Known, String>;

struct Question {
    name: String,
    answer: oneshot::Sender<Answer>,
}

/// The office's half: answers questions of all workers.
#[derive(Clone)]
pub struct Office {
    questions: mpsc::Sender<Question>,
}

/// A worker's half, with a table of its own.
#[derive(Clone)]
pub struct Resolver {
    office: Office,
    known: Rc<RefCell<HashMap<String, Known>>>,
}

impl Office {
    /// Starts the resolver on the office's runtime, configured by the system.
    #[must_use]
    pub fn start(runtime: &Handle) -> Self {
        let (questions, mut asked) = mpsc::channel::<Question>(QUESTIONS);
        runtime.spawn(async move {
            let resolver = TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
            let resolver = match resolver {
                Ok(resolver) => Some(std::sync::Arc::new(resolver)),
                Err(error) => {
                    tracing::warn!(%error, "no DNS resolver is configured here; only addresses and localhost can be dialled");
                    None
                }
            };
            while let Some(Question { name, answer }) = asked.recv().await {
                let resolver = resolver.clone();
                tokio::spawn(async move {
                    let _ = answer.send(match resolver {
                        Some(resolver) => look_up(&resolver, &name).await,
                        None => Err("no resolver is configured on this machine".into()),
                    });
                });
            }
        });
        Self { questions }
    }

    /// A resolver that knows what `answer` says, with how long it is true, and asks nobody.
    #[must_use]
    pub fn answering(
        runtime: &Handle,
        answer: impl Fn(&str) -> Result<(Vec<IpAddr>, Duration), String> + Send + 'static,
    ) -> Self {
        let (questions, mut asked) = mpsc::channel::<Question>(QUESTIONS);
        runtime.spawn(async move {
            while let Some(question) = asked.recv().await {
                let known = answer(&question.name).map(|(addresses, ttl)| (addresses, Instant::now() + ttl));
                let _ = question.answer.send(known);
            }
        });
        Self { questions }
    }

    async fn ask(&self, name: &str) -> Answer {
        let (answer, answered) = oneshot::channel();
        let question = Question { name: name.to_owned(), answer };
        self.questions.try_send(question).map_err(|_| "the resolver has too many names waiting".to_owned())?;
        answered.await.unwrap_or_else(|_| Err("the resolver has stopped".into()))
    }
}

async fn look_up(resolver: &TokioResolver, name: &str) -> Answer {
    let found = resolver.lookup_ip(name).await.map_err(|error| error.to_string())?;
    let until = found.valid_until().min(Instant::now() + TTL_MAX);
    let addresses: Vec<IpAddr> = found.iter().collect();
    if addresses.is_empty() { Err("the name has no address".into()) } else { Ok((addresses, until)) }
}

impl Resolver {
    /// A worker's half.
    #[must_use]
    pub fn new(office: Office) -> Self {
        Self { office, known: Rc::default() }
    }

    /// The addresses of `host` with `port`, at least one.
    ///
    /// # Errors
    /// Why the name could not be resolved, in words.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        // RFC 6761, 6.3: localhost is loopback and is not asked for.
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![
                SocketAddr::from(([127, 0, 0, 1], port)),
                SocketAddr::from(([0u16, 0, 0, 0, 0, 0, 0, 1], port)),
            ]);
        }
        let with_port =
            |addresses: &[IpAddr]| addresses.iter().map(|&address| SocketAddr::new(address, port)).collect();
        if let Some((addresses, until)) = self.known.borrow().get(host)
            && *until > Instant::now()
        {
            return Ok(with_port(addresses));
        }
        let (addresses, until) = self.office.ask(host).await?;
        let sockets = with_port(&addresses);
        let mut known = self.known.borrow_mut();
        if known.len() >= NAMES {
            known.clear();
        }
        known.insert(host.to_owned(), (addresses, until));
        Ok(sockets)
    }
}
