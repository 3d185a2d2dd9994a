//! How an instance is started and configured (ABI, 2.1 and 8), and what is said when it dies.

use super::*;

pub(super) type Unit<P> = Option<TypedFunc<P, ()>>;

pub(super) type Answer<P> = Option<TypedFunc<P, u32>>;

/// The callbacks a module exports; a missing one is a skipped phase.
pub(super) struct Exports {
    pub(super) context_create: Unit<(u32, u32)>,
    pub(super) vm_start: Answer<(u32, u32)>,
    pub(super) configure: Answer<(u32, u32)>,
    pub(super) headers: [Answer<(u32, u32, u32)>; 2],
    /// 0.1.0: without the end of the stream.
    pub(super) old_headers: [Answer<(u32, u32)>; 2],
    pub(super) body: [Answer<(u32, u32, u32)>; 2],
    pub(super) trailers: [Answer<(u32, u32)>; 2],
    pub(super) tick: Unit<u32>,
    pub(super) done: Answer<u32>,
    pub(super) log: Unit<u32>,
    pub(super) delete: Unit<u32>,
    pub(super) http_call_response: Unit<(u32, u32, u32, u32, u32)>,
    pub(super) queue_ready: Unit<(u32, u32)>,
}

impl Exports {
    pub(super) fn of(instance: &Instance, store: &mut Store<State>) -> Result<Self, String> {
        let headers = |store: &mut Store<State>, name: &str| {
            // The third parameter came with 0.2.0; a module may have either form.
            match optional(instance, store, name) {
                Ok(new) => Ok((new, None)),
                Err(wrong) => optional(instance, store, name).map(|old| (None, old)).map_err(|_: String| wrong),
            }
        };
        let (request, old_request) = headers(store, "proxy_on_request_headers")?;
        let (response, old_response) = headers(store, "proxy_on_response_headers")?;
        Ok(Self {
            context_create: optional(instance, store, "proxy_on_context_create")?,
            vm_start: optional(instance, store, "proxy_on_vm_start")?,
            configure: optional(instance, store, "proxy_on_configure")?,
            headers: [request, response],
            old_headers: [old_request, old_response],
            body: [
                optional(instance, store, "proxy_on_request_body")?,
                optional(instance, store, "proxy_on_response_body")?,
            ],
            trailers: [
                optional(instance, store, "proxy_on_request_trailers")?,
                optional(instance, store, "proxy_on_response_trailers")?,
            ],
            tick: optional(instance, store, "proxy_on_tick")?,
            done: optional(instance, store, "proxy_on_done")?,
            log: optional(instance, store, "proxy_on_log")?,
            delete: optional(instance, store, "proxy_on_delete")?,
            http_call_response: optional(instance, store, "proxy_on_http_call_response")?,
            queue_ready: optional(instance, store, "proxy_on_queue_ready")?,
        })
    }
}

pub(super) fn optional<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<State>,
    name: &str,
) -> Result<Option<TypedFunc<P, R>>, String> {
    let Some(function) = instance.get_func(&mut *store, name) else { return Ok(None) };
    function.typed(&*store).map(Some).map_err(|error| format!("{name}: {error}"))
}

impl Vm {
    pub(super) fn boot(
        plugin: &Arc<Plugin>,
        mut store: Store<State>,
        notes: mpsc::Receiver<u32>,
    ) -> Result<Self, String> {
        let instance =
            plugin.instance.instantiate(&mut store).map_err(|error| explain(&store, &error, "instantiation"))?;
        let memory = instance.get_memory(&mut store, "memory").ok_or("it exports no memory")?;
        let allocator = match optional(&instance, &mut store, "proxy_on_memory_allocate")? {
            Some(allocator) => Some(allocator),
            None => optional(&instance, &mut store, "malloc")?,
        };
        let exports = Exports::of(&instance, &mut store)?;
        store.data_mut().memory = Some(memory);
        store.data_mut().allocator = allocator;
        initialize(&instance, &mut store)?;
        let settings = &plugin.settings;
        plugin.metrics.instances.inc();
        let mut vm = Self { store, exports, notes: Some(notes), next_context: ROOT + 1, served: 0 };
        let deadline = settings.limits.start_deadline;
        if let Some(create) = vm.exports.context_create.clone() {
            vm.run(&create, (ROOT, 0), (Phase::ContextCreate, "proxy_on_context_create"), ROOT, deadline)
                .map_err(told)?;
        }
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if let Some(start) = vm.exports.vm_start.clone() {
            let arguments = (ROOT, size(&settings.vm_configuration));
            let answer = vm.run(&start, arguments, (Phase::VmStart, "proxy_on_vm_start"), ROOT, deadline);
            if answer.map_err(told)? == 0 {
                return Err("proxy_on_vm_start answered false: the filter refuses to start".into());
            }
        }
        if let Some(configure) = vm.exports.configure.clone() {
            let arguments = (ROOT, size(&settings.configuration));
            let answer = vm.run(&configure, arguments, (Phase::Configure, "proxy_on_configure"), ROOT, deadline);
            if answer.map_err(told)? == 0 {
                return Err("proxy_on_configure answered false: the filter refuses its configuration".into());
            }
        }
        if !settings.root_id.is_empty() && vm.store.data().host_calls <= 2 && plugin.warn_of_root_once() {
            // ABI, 18: a C++ filter with an unknown root id starts and then does nothing at all.
            let root_id = &settings.root_id;
            let warning =
                format!("it called the host not once while it was configured: is root_id = {root_id:?} right?");
            vm.store.data_mut().complain(&warning);
            tracing::warn!(filter = settings.name, root_id, "started without a single host call: is root_id right?");
        }
        Ok(vm)
    }
}

pub(super) fn told(died: Died) -> String {
    died.detail
}

/// What happened, where in the guest, and what it asked of the host before.
pub(super) fn explain(store: &Store<State>, error: &wasmtime::Error, callback: &str) -> String {
    let state = store.data();
    let limits = &state.plugin.settings.limits;
    let mut text = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => format!("{callback} exceeded its deadline"),
        _ => format!("{callback}: {}", error.root_cause()),
    };
    if state.limiter.refused {
        text.push_str(&format!("; it wanted more than limits.memory ({} MiB)", limits.memory >> 20));
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let frames = backtrace.frames().iter().take(8).map(|frame| match frame.func_name() {
            Some(name) => name.to_owned(),
            None => format!("function {}", frame.func_index()),
        });
        text.push_str(&format!("; in {}", frames.collect::<Vec<_>>().join(" < ")));
    }
    let recent = state.recent();
    if !recent.is_empty() {
        text.push_str(&format!("; last host calls: {recent}"));
    }
    text
}

/// The module's own start (ABI, 2.1): a reactor's `_initialize` and `main`, or a command's `_start`.
pub(super) fn initialize(instance: &Instance, store: &mut Store<State>) -> Result<(), String> {
    let failed = |store: &Store<State>, error: wasmtime::Error, name: &str| {
        if error.downcast_ref::<abi::Exited>().is_some() { Ok(()) } else { Err(explain(store, &error, name)) }
    };
    if let Some(begin) = optional::<(), ()>(instance, store, "_initialize")? {
        begin.call(&mut *store, ()).or_else(|error| failed(store, error, "_initialize"))?;
        if let Ok(Some(main)) = optional::<(u32, u32), u32>(instance, store, "main") {
            main.call(&mut *store, (0, 0)).map(drop).or_else(|error| failed(store, error, "main"))?;
        } else if let Ok(Some(main)) = optional::<(), u32>(instance, store, "__main_void") {
            main.call(&mut *store, ()).map(drop).or_else(|error| failed(store, error, "__main_void"))?;
        }
    } else if let Some(begin) = optional::<(), ()>(instance, store, "_start")? {
        begin.call(&mut *store, ()).or_else(|error| failed(store, error, "_start"))?;
    }
    Ok(())
}
