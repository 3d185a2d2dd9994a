//! One instance of a filter: started, called, ended (ABI, 2 and 8).
//!
//! ```text
//!   start: _initialize | _start ─▶ context_create(1,0) ─▶ vm_start ─▶ configure
//!   stream: context_create(n,1) ─▶ callbacks … ─▶ log ─▶ done ─▶ delete
//! ```
//!
//! A VM that trapped is never called again: its owner drops it. Nothing here waits, and nothing here
//! knows a worker.

mod start;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wasmtime::{Instance, Store, Trap, TypedFunc, WasmBacktrace, WasmParams, WasmResults};

use super::abi;
use super::deadline::Deadline;
use super::observe::Observer;
use super::plugin::Plugin;
use super::state::{CallResponse, Effect, Phase, ROOT, State, StreamContext};
use super::stream::Shared;
use crate::metrics::{FilterFailure, FilterPhase};
use start::{Exports, explain};

/// Why a VM is dead.
#[derive(Clone, Debug)]
pub struct Died {
    /// The kind, for metrics.
    pub reason: FilterFailure,
    /// What happened and where, for the log.
    pub detail: String,
}

/// A callback about a stream.
#[derive(Clone, Copy, Debug)]
pub enum Callback {
    /// `proxy_on_request_headers` or `proxy_on_response_headers`: number of pairs, end of stream.
    Headers(usize, u32, bool),
    /// `proxy_on_request_body` or `proxy_on_response_body`: bytes held, end of stream.
    Body(usize, u32, bool),
    /// `proxy_on_request_trailers` or `proxy_on_response_trailers`: number of pairs.
    Trailers(usize, u32),
}

/// An instance of a filter.
pub struct Vm {
    store: Store<State>,
    exports: Exports,
    notes: Option<mpsc::Receiver<u32>>,
    next_context: u32,
    /// Stream contexts it has had.
    pub served: u64,
}

impl Vm {
    /// Starts an instance of `plugin` and configures it.
    ///
    /// # Errors
    /// Why it cannot serve: a trap, a deadline, or its own word.
    pub fn start(plugin: &Arc<Plugin>, observer: Option<Arc<dyn Observer>>) -> Result<Self, String> {
        let (state, notes) = State::new(plugin.clone(), observer);
        let mut store = Store::new(plugin.instance.module().engine(), state);
        store.limiter(|state| &mut state.limiter);
        Deadline::watch(&mut store, |state| &mut state.deadline);
        Deadline::set(&mut store, plugin.settings.limits.start_deadline, |state| &mut state.deadline);
        plugin.metrics.starts.inc();
        Self::boot(plugin, store, notes)
    }

    /// The state, for whoever owns the VM.
    pub fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    /// What it asked for since the last time.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.store.data_mut().effects)
    }

    /// Where its queues tell it something; only once.
    pub fn take_notes(&mut self) -> Option<mpsc::Receiver<u32>> {
        self.notes.take()
    }

    /// Whether it is told of the end of a stream by `proxy_on_log`.
    #[must_use]
    pub fn logs(&self) -> bool {
        self.exports.log.is_some()
    }

    /// Begins a stream context and makes its first callback; the action, 0 to go on.
    ///
    /// # Errors
    /// The VM died of it.
    pub fn begin(&mut self, shared: &Shared, index: usize, callback: Callback) -> Result<u32, Died> {
        let context = self.enter(shared, index);
        let begun = self.create(context).and_then(|()| self.make(context, callback));
        self.store.data_mut().return_loan();
        begun
    }

    /// A new stream context, known to the guest by `create`; its request knows it.
    fn enter(&mut self, shared: &Shared, index: usize) -> u32 {
        let id = self.next_context;
        // Four thousand million streams later the ids begin again, past those that still live.
        self.next_context = self.next_context.wrapping_add(1).max(ROOT + 1);
        while self.store.data().contexts.contains_key(&self.next_context) {
            self.next_context = self.next_context.wrapping_add(1).max(ROOT + 1);
        }
        self.served += 1;
        let state = self.store.data_mut();
        state.contexts.insert(id, StreamContext { shared: shared.clone(), index });
        state.act_on(id);
        if let Some((data, index)) = state.stream_mut()
            && let Some(slot) = data.slots.get_mut(index)
        {
            slot.context = id;
        }
        id
    }

    fn create(&mut self, context: u32) -> Result<(), Died> {
        let Some(create) = self.exports.context_create.clone() else { return Ok(()) };
        let deadline = self.store.data().plugin.settings.limits.header_deadline;
        self.run(&create, (context, ROOT), (Phase::ContextCreate, "proxy_on_context_create"), context, deadline)
    }

    /// Makes a callback about a stream; the action, 0 to go on.
    ///
    /// # Errors
    /// The VM died of it.
    pub fn call(&mut self, context: u32, callback: Callback) -> Result<u32, Died> {
        let called = self.make(context, callback);
        self.store.data_mut().return_loan();
        called
    }

    fn make(&mut self, context: u32, callback: Callback) -> Result<u32, Died> {
        let limits = &self.store.data().plugin.settings.limits;
        let (header, body) = (limits.header_deadline, limits.body_deadline);
        match callback {
            Callback::Headers(way, count, end) => {
                let phase = [FilterPhase::RequestHeaders, FilterPhase::ResponseHeaders][way];
                let name = ["proxy_on_request_headers", "proxy_on_response_headers"][way];
                let kind = (Phase::Running(phase), name);
                match (self.exports.headers[way].clone(), self.exports.old_headers[way].clone()) {
                    (Some(new), _) => self.run(&new, (context, count, u32::from(end)), kind, context, header),
                    (None, Some(old)) => self.run(&old, (context, count), kind, context, header),
                    (None, None) => Ok(0),
                }
            }
            Callback::Body(way, size, end) => {
                let Some(function) = self.exports.body[way].clone() else { return Ok(0) };
                let phase = [FilterPhase::RequestBody, FilterPhase::ResponseBody][way];
                let name = ["proxy_on_request_body", "proxy_on_response_body"][way];
                self.run(&function, (context, size, u32::from(end)), (Phase::Running(phase), name), context, body)
            }
            Callback::Trailers(way, count) => {
                let Some(function) = self.exports.trailers[way].clone() else { return Ok(0) };
                let phase = [FilterPhase::RequestTrailers, FilterPhase::ResponseTrailers][way];
                let name = ["proxy_on_request_trailers", "proxy_on_response_trailers"][way];
                self.run(&function, (context, count), (Phase::Running(phase), name), context, header)
            }
        }
    }

    /// Ends a stream context: log, done, delete (Envoy's order; ABI, 8).
    ///
    /// # Errors
    /// The VM died of it.
    pub fn end(&mut self, context: u32) -> Result<(), Died> {
        if !self.store.data().contexts.contains_key(&context) {
            return Ok(());
        }
        let ended = self.end_calls(context);
        let state = self.store.data_mut();
        state.return_loan();
        state.contexts.remove(&context);
        ended
    }

    fn end_calls(&mut self, context: u32) -> Result<(), Died> {
        let deadline = self.store.data().plugin.settings.limits.header_deadline;
        let phase = Phase::Running(FilterPhase::Log);
        if let Some(log) = self.exports.log.clone() {
            self.run(&log, context, (phase, "proxy_on_log"), context, deadline)?;
        }
        self.done_and_delete(context, deadline).map(drop)
    }

    fn done_and_delete(&mut self, context: u32, deadline: Duration) -> Result<bool, Died> {
        let phase = Phase::Running(FilterPhase::Log);
        if let Some(done) = self.exports.done.clone() {
            let answer = self.run(&done, context, (phase, "proxy_on_done"), context, deadline)?;
            if context == ROOT && answer == 0 {
                return Ok(false);
            }
        }
        if let Some(delete) = self.exports.delete.clone() {
            self.run(&delete, context, (phase, "proxy_on_delete"), context, deadline)?;
        }
        Ok(true)
    }

    /// Ends the root context; `false`: the filter will say when it is done.
    ///
    /// # Errors
    /// The VM died of it.
    pub fn end_root(&mut self) -> Result<bool, Died> {
        self.store.data_mut().ending = true;
        let deadline = self.store.data().plugin.settings.limits.header_deadline;
        self.done_and_delete(ROOT, deadline)
    }

    /// The timer has elapsed.
    ///
    /// # Errors
    /// The VM died of it.
    pub fn tick(&mut self) -> Result<(), Died> {
        let Some(tick) = self.exports.tick.clone() else { return Ok(()) };
        let deadline = self.store.data().plugin.settings.limits.header_deadline;
        self.run(&tick, ROOT, (Phase::Running(FilterPhase::Tick), "proxy_on_tick"), ROOT, deadline)
    }

    /// One of its queues has something.
    ///
    /// # Errors
    /// The VM died of it.
    pub fn queue_ready(&mut self, queue: u32) -> Result<(), Died> {
        let Some(ready) = self.exports.queue_ready.clone() else { return Ok(()) };
        let deadline = self.store.data().plugin.settings.limits.header_deadline;
        let kind = (Phase::Running(FilterPhase::QueueReady), "proxy_on_queue_ready");
        self.run(&ready, (ROOT, queue), kind, ROOT, deadline)
    }

    /// A call out has ended; a failed one has no status and no fields.
    ///
    /// # Errors
    /// The VM died of it.
    pub fn http_call_response(&mut self, id: u32, context: u32, response: CallResponse) -> Result<(), Died> {
        let state = self.store.data_mut();
        state.calls = state.calls.saturating_sub(1);
        if let Some(found) = state.contexts.get(&context) {
            let index = found.index;
            found.shared.with(|data| {
                if let Some(slot) = data.slots.get_mut(index) {
                    slot.calls = slot.calls.saturating_sub(1);
                }
            });
        }
        let Some(function) = self.exports.http_call_response.clone() else { return Ok(()) };
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let fields = response.status.map_or(0, |_| 1 + response.headers.len());
        let arguments = (ROOT, id, count(fields), count(response.body.len()), count(response.trailers.len()));
        let deadline = self.store.data().plugin.settings.limits.header_deadline;
        self.store.data_mut().call = Some(Box::new(response));
        let kind = (Phase::Running(FilterPhase::HttpCallResponse), "proxy_on_http_call_response");
        let answered = self.run(&function, arguments, kind, ROOT, deadline);
        self.store.data_mut().call = None;
        answered
    }

    /// Calls the guest: lends it the context's request and sets its deadline. Whoever makes the last call
    /// about a request takes the loan back.
    fn run<P: WasmParams + std::fmt::Debug, R: WasmResults + std::fmt::Debug>(
        &mut self,
        function: &TypedFunc<P, R>,
        arguments: P,
        (phase, name): (Phase, &'static str),
        context: u32,
        deadline: Duration,
    ) -> Result<R, Died> {
        let state = self.store.data_mut();
        state.phase = phase;
        state.act_on(context);
        let observer = state.observer.clone().filter(|observer| observer.times());
        let began = observer.map(|observer| {
            observer.begin(name, &format!("{arguments:?}"));
            (observer, Instant::now())
        });
        Deadline::set(&mut self.store, deadline, |state| &mut state.deadline);
        let called = function.call(&mut self.store, arguments);
        if context == ROOT {
            // It may have acted on a stream; no other callback follows.
            self.store.data_mut().return_loan();
        }
        if let Some((observer, began)) = began {
            let took = began.elapsed();
            let result = match &called {
                Ok(result) => format!("{result:?}"),
                Err(error) => format!("trap: {:#}", error.root_cause()),
            };
            observer.end(name, &result, took);
        }
        called.map_err(|error| self.died(&error, name))
    }

    fn died(&self, error: &wasmtime::Error, callback: &str) -> Died {
        let timed_out = error.downcast_ref::<Trap>() == Some(&Trap::Interrupt);
        let reason = if timed_out {
            FilterFailure::Timeout
        } else if self.store.data().limiter.refused {
            FilterFailure::Memory
        } else {
            FilterFailure::Trap
        };
        Died { reason, detail: explain(&self.store, error, callback) }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let metrics = &self.store.data().plugin.metrics;
        metrics.instances.dec();
    }
}
