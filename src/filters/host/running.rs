//! A VM at work on this worker: called, timed, counted, and what it asked for between requests carried out.

use super::*;

/// A VM at work on this worker.
pub struct Running {
    /// The filter.
    pub plugin: Arc<Plugin>,
    /// Its counters.
    pub shard: Rc<FilterShard>,
    pub(super) vm: RefCell<Option<Vm>>,
    pub(super) host: Weak<Host>,
    pub(super) ticking: RefCell<Option<AbortHandle>>,
    pub(super) memory: Cell<usize>,
    pub(super) done: Cell<bool>,
}

/// The VM is dead; its report has been written.
#[derive(Debug)]
pub struct Lost;

impl Running {
    /// Whether it can be called.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.vm.borrow().is_some()
    }

    /// Whether it looks at an exchange once more when that has ended.
    #[must_use]
    pub fn logs(&self) -> bool {
        self.vm.borrow().as_ref().is_some_and(Vm::logs)
    }

    /// Begins a stream context and makes its first callback.
    ///
    /// # Errors
    /// The VM is dead.
    pub fn begin(self: &Rc<Self>, shared: &Shared, index: usize, callback: Callback) -> Result<u32, Lost> {
        self.with(phase_of(callback), |vm| vm.begin(shared, index, callback))
    }

    /// Makes a callback about a stream.
    ///
    /// # Errors
    /// The VM is dead, now or since before.
    pub fn call(self: &Rc<Self>, context: u32, callback: Callback) -> Result<u32, Lost> {
        let phase = phase_of(callback);
        // A dead VM harms only those who would have called it.
        if !self.is_alive() && !self.plugin.module.exports.contains(&format!("proxy_on_{}", phase.word())) {
            return Ok(0);
        }
        self.with(phase, |vm| vm.call(context, callback))
    }

    /// Ends a stream context.
    pub fn end(self: &Rc<Self>, context: u32) {
        let _ = self.with(FilterPhase::Log, |vm| vm.end(context));
        if self.plugin.settings.isolation == Isolation::Stream {
            let _ = self.with(FilterPhase::Other, Vm::end_root);
            self.stop();
        }
    }

    /// Calls the VM, counts it, and carries out what it asked for.
    pub(super) fn with<R>(
        self: &Rc<Self>,
        phase: FilterPhase,
        call: impl FnOnce(&mut Vm) -> Result<R, Died>,
    ) -> Result<R, Lost> {
        let began = Instant::now();
        let (called, effects) = match self.vm.borrow_mut().as_mut() {
            Some(vm) => (call(vm), self.take_effects(vm)),
            None => return Err(Lost),
        };
        self.shard.call(phase, began.elapsed());
        match called {
            Ok(result) => {
                self.carry_out(effects);
                Ok(result)
            }
            Err(died) => {
                self.die(&died);
                Err(Lost)
            }
        }
    }

    /// What the guest asked for, and what it takes since.
    pub(super) fn take_effects(&self, vm: &mut Vm) -> Vec<Effect> {
        let memory = vm.state().limiter.memory;
        let before = self.memory.replace(memory);
        if memory != before {
            let grown = i64::try_from(memory).unwrap_or(0) - i64::try_from(before).unwrap_or(0);
            self.plugin.metrics.memory.add(grown);
        }
        vm.take_effects()
    }

    pub(super) fn carry_out(self: &Rc<Self>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Wake(context) => self.wake(context),
                Effect::Tick(period) => self.set_timer(period),
                Effect::Call(call) => self.call_out(*call),
                Effect::Done => self.done.set(true),
                Effect::Registered(name) => self.consume(&name),
            }
        }
    }

    pub(super) fn wake(&self, context: u32) {
        if let Some(vm) = self.vm.borrow_mut().as_mut()
            && let Some(context) = vm.state().contexts.get(&context)
        {
            context.shared.with(crate::filters::stream::Data::wake);
        }
    }

    pub(super) fn consume(&self, queue: &[u8]) {
        if let Some(vm) = self.vm.borrow_mut().as_mut() {
            let consumer = vm.state().mailbox.downgrade();
            // It was registered a moment ago, so it exists.
            let _ = self.plugin.commons.register(queue, Some(consumer));
        }
    }

    pub(super) fn set_timer(self: &Rc<Self>, period: Option<Duration>) {
        let task = period.map(|period| {
            let weak = Rc::downgrade(self);
            let task = tokio::task::spawn_local(async move {
                loop {
                    tokio::time::sleep(period).await;
                    let Some(running) = weak.upgrade() else { return };
                    if running.with(FilterPhase::Tick, Vm::tick).is_err() {
                        return;
                    }
                }
            });
            task.abort_handle()
        });
        if let Some(before) = self.ticking.replace(task) {
            before.abort();
        }
    }

    pub(super) fn call_out(self: &Rc<Self>, call: CallOut) {
        let (Some(host), Some(target)) = (self.host.upgrade(), self.plugin.upstreams.get(&call.upstream)) else {
            return;
        };
        let CallOut { id, context, upstream, method, path, authority, headers, body, timeout } = call;
        let body = if body.is_empty() { Body::Empty } else { Body::Full(body) };
        let request = Outgoing {
            method,
            target: path,
            host: authority,
            headers,
            vouched: None,
            websocket: false,
            expects_continue: false,
            body,
            interim: Interim::Nowhere,
        };
        let sending = host.outbound.send(&upstream, target.clone(), request);
        let (weak, limit) = (Rc::downgrade(self), self.plugin.settings.limits.http_call_response);
        tokio::task::spawn_local(async move {
            let (response, result) = match tokio::time::timeout(timeout, answer(sending, limit)).await {
                Ok(Ok(response)) => (response, HttpCallResult::Ok),
                Ok(Err(error)) => {
                    tracing::debug!(upstream, %error, "a filter's call failed");
                    (CallResponse::default(), HttpCallResult::Failed)
                }
                Err(_) => (CallResponse::default(), HttpCallResult::Timeout),
            };
            let Some(running) = weak.upgrade() else { return };
            running.plugin.metrics.http_call(&upstream, result);
            let phase = FilterPhase::HttpCallResponse;
            let _ = running.with(phase, |vm| vm.http_call_response(id, context, response));
        });
    }

    /// The VM is thrown away; its streams are told, and the next request gets another.
    pub(super) fn die(&self, died: &Died) {
        self.shard.failure(died.reason);
        self.plugin.health.failed(&format!("{}: {}", died.reason.word(), died.detail));
        if let Some(observer) = &self.plugin.observer {
            observer.died(died.reason.word(), &died.detail);
        }
        if let Some(host) = self.host.upgrade() {
            let filter = &*self.plugin.settings.name;
            if host.may_report() {
                tracing::error!(
                    filter,
                    generation = self.plugin.generation,
                    reason = died.reason.word(),
                    "{}",
                    died.detail
                );
            }
            if let Some(slot) = host.slots.borrow().get(&Arc::as_ptr(&self.plugin)) {
                host.restock(slot);
            }
        }
        self.stop();
    }

    /// Drops the VM. Requests that were in it are told when they look next.
    pub(super) fn stop(&self) {
        if let Some(timer) = self.ticking.take() {
            timer.abort();
        }
        let Some(mut vm) = self.vm.borrow_mut().take() else { return };
        self.plugin.metrics.memory.sub(i64::try_from(self.memory.replace(0)).unwrap_or(0));
        for context in vm.state().contexts.values() {
            context.shared.with(|data| {
                if let Some(slot) = data.slots.get_mut(context.index) {
                    slot.lost = true;
                }
                data.wake();
            });
        }
    }

    pub(super) fn has_streams(&self) -> bool {
        self.vm.borrow_mut().as_mut().is_some_and(|vm| !vm.state().contexts.is_empty())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) fn phase_of(callback: Callback) -> FilterPhase {
    match callback {
        Callback::Headers(0, ..) => FilterPhase::RequestHeaders,
        Callback::Headers(..) => FilterPhase::ResponseHeaders,
        Callback::Body(0, ..) => FilterPhase::RequestBody,
        Callback::Body(..) => FilterPhase::ResponseBody,
        Callback::Trailers(0, _) => FilterPhase::RequestTrailers,
        Callback::Trailers(..) => FilterPhase::ResponseTrailers,
    }
}

/// The response of a call, with its body read up to `limit`.
pub(super) async fn answer(sending: Sending, limit: usize) -> Result<CallResponse> {
    let Response { status, headers, mut body, .. } = sending.await?;
    let (mut collected, mut trailers) = (BytesMut::new(), HeaderMap::new());
    while let Some(frame) = std::future::poll_fn(|cx| body.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(bytes) if collected.len() + bytes.len() > limit => {
                return Err(Error::new(Kind::Overloaded, "the response exceeds limits.http_call_response"));
            }
            Ok(bytes) => collected.extend_from_slice(&bytes),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok(CallResponse { status: Some(status), headers, body: collected.freeze(), trailers })
}
