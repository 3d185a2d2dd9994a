//! Room 6: HTTP to the private server.
//!
//! ```text
//!   send ─▶ place ─▶ idle connection | resolve, check, dial, TLS ─▶ HTTP/1.1 | HTTP/2 ─▶ response
//! ```
//!
//! Used by the connector, and by the edge for apps of the group `local`. All of it lives on one
//! worker. It dials only what a [`TargetSpec`] names and its [`Policy`] permits, and follows no redirects; it refuses to guess:
//! every failure to reach a server is told apart (name, refusal, network, TLS, certificate).

mod dial;
pub mod dns;
mod h1;
mod h2;
pub mod policy;
mod pool;
mod silence;
mod target;
mod tls;

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

pub use dns::Resolver;
pub use policy::Policy;
pub use target::{Place, Protocol, Target, TargetSpec, Verify};

use crate::error::{Error, Kind, Result};
use crate::http::{Outgoing, Response};
use crate::io::clock::Watchdogs;
use crate::limits::Limits;
use crate::metrics::Shard;
use pool::Pool;

/// The backends of one worker.
pub struct Backends {
    limits: Rc<Limits>,
    resolver: Resolver,
    policy: Rc<Policy>,
    shard: Rc<Shard>,
    /// One pool for each place that was dialled, shared by all apps whose spec is the same.
    pools: RefCell<HashMap<Place, Rc<Pool>>>,
    /// The pools of targets without a wildcard, by their serial: what most requests need.
    by_target: RefCell<HashMap<u64, Weak<Pool>>>,
    /// TLS configurations are costly to build (roots are read); one for each way to verify.
    tls: RefCell<tls::Configs>,
    watchdogs: Watchdogs,
}

impl Backends {
    /// An empty set of pools; idle connections are closed by a task of this worker.
    #[must_use]
    pub fn new(limits: Rc<Limits>, resolver: Resolver, policy: Policy, shard: Rc<Shard>) -> Rc<Self> {
        let backends = Rc::new(Self {
            limits,
            resolver,
            policy: Rc::new(policy),
            shard,
            pools: RefCell::default(),
            by_target: RefCell::default(),
            tls: RefCell::default(),
            watchdogs: Watchdogs::default(),
        });
        tokio::task::spawn_local(close_idle(Rc::downgrade(&backends)));
        backends
    }

    /// Sends a request to `target` and returns its final response.
    ///
    /// `label` is the first label of the host, for a wildcard target.
    ///
    /// # Errors
    /// `backend-unreachable` with its cause, `backend-forbidden`, `backend-timeout`, `backend-closed`,
    /// `backend-invalid`, or `overloaded` when the pool is full.
    pub async fn send(&self, target: &Target, label: Option<&str>, request: Box<Outgoing>) -> Result<Response> {
        let pool = self.pool(target, label)?;
        let patience = target.spec.response_timeout();
        // The timeout covers dialling too: the person waiting cannot tell them apart.
        match self.watchdogs.limit(patience, pin!(pool.send(request, patience))).await {
            Some(result) => result,
            None => {
                let detail = format!("no response head from {} in {patience:?}", target.spec.origin());
                Err(Error::new(Kind::BackendTimeout, detail))
            }
        }
    }

    fn pool(&self, target: &Target, label: Option<&str>) -> Result<Rc<Pool>> {
        if !target.spec.wildcard
            && let Some(pool) = self.by_target.borrow().get(&target.serial()).and_then(Weak::upgrade)
        {
            return Ok(pool);
        }
        let place = target.spec.place(label).ok_or_else(|| {
            Error::bad_request("the host's first label is not one label of letters, digits and hyphens")
        })?;
        let known = self.pools.borrow().get(&place).cloned();
        let pool = match known {
            Some(pool) => pool,
            None => {
                let tls = self.tls.borrow_mut().config_for(&place, &target.spec)?;
                let (limits, resolver, policy) = (self.limits.clone(), self.resolver.clone(), self.policy.clone());
                let pool = Pool::new(place.clone(), tls, limits, resolver, policy, self.shard.clone());
                self.pools.borrow_mut().insert(place, pool.clone());
                pool
            }
        };
        if !target.spec.wildcard {
            self.by_target.borrow_mut().insert(target.serial(), Rc::downgrade(&pool));
        }
        Ok(pool)
    }
}

/// Closes idle connections and forgets pools that have none, once a second.
async fn close_idle(backends: std::rc::Weak<Backends>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(backends) = backends.upgrade() else { return };
        backends.pools.borrow_mut().retain(|_, pool| {
            pool.close_idle();
            Rc::strong_count(pool) > 1 || !pool.is_empty()
        });
        backends.by_target.borrow_mut().retain(|_, pool| pool.strong_count() > 0);
    }
}
