//! The one wasmtime engine of a process: what guests may use, how they are stopped, where memory comes from.
//!
//! ```text
//!   wasm ─▶ compile (office only) ─▶ Module ─▶ linked ─▶ InstancePre ─▶ 3 µs per instance, pages copied on write
//!   ticker thread ── every 2 ms ──▶ epoch; a guest past its deadline traps
//! ```
//!
//! Every proposal a filter does not need is off: less surface to be wrong in. It refuses to compile
//! on a worker; the callers are the office and the command line.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use wasmtime::{Config, InstanceAllocationStrategy, Linker, Module, OptLevel, PoolingAllocationConfig};

use super::abi;
use super::state::State;

/// How often the epoch moves: each half of a deadline is late by at most this. 500 wake-ups a second of one idle
/// thread are under 0.1 % of a core; deadlines begin at 1 ms but the common ones are 20 ms and up.
const TICK: Duration = Duration::from_millis(2);

/// Instances alive at once, all filters and workers together: two for each filter and worker
/// (serving and spare), plus those of `isolation = "stream"`. A slot reserves address space only.
const INSTANCES: u32 = 1000;

/// The largest memory a filter may be granted, of which each slot reserves the addresses.
pub const MEMORY_MAX: usize = 1 << 30;

/// Table entries of an instance: the functions a module calls indirectly. Go modules have 10,000.
const TABLE_ELEMENTS: usize = 100_000;

/// Stack of a guest; the worker's own stack is 4 MiB.
const GUEST_STACK: usize = 512 * 1024;

/// The engine and everything that is resolved once per process.
pub struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Linker<State>,
}

impl Engine {
    /// The engine of this process, made at the first call.
    ///
    /// # Errors
    /// What wasmtime says when this machine cannot run it (a container that limits address space).
    pub fn shared() -> Result<Arc<Self>, String> {
        static SHARED: OnceLock<Result<Arc<Engine>, String>> = OnceLock::new();
        SHARED.get_or_init(|| Self::new().map(Arc::new).map_err(|error| format!("{error:#}"))).clone()
    }

    fn new() -> wasmtime::Result<Self> {
        let wasmtime = wasmtime::Engine::new(&config(true)).or_else(|error| {
            // Without the address space for a pool (ulimit -v, small containers) instances cost
            // microseconds more each, and nothing else changes.
            tracing::warn!(%error, "no pool of filter instances; they are mapped one by one");
            wasmtime::Engine::new(&config(false))
        })?;
        let mut linker = Linker::new(&wasmtime);
        abi::link(&mut linker)?;
        let weak = wasmtime.weak();
        std::thread::Builder::new().name("filter-clock".into()).spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })?;
        Ok(Self { wasmtime, linker })
    }

    /// wasmtime's engine.
    #[must_use]
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// Every function of the host.
    #[must_use]
    pub fn linker(&self) -> &Linker<State> {
        &self.linker
    }

    /// Compiles a module. Takes milliseconds to seconds: never on a worker.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn compile(&self, wasm: &[u8]) -> Result<Module, String> {
        Module::new(&self.wasmtime, wasm).map_err(|error| format!("{error:#}"))
    }
}

/// A deadline in ticks; one more than the division gives, since the current tick has partly passed.
#[must_use]
pub fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_micros().div_ceil(TICK.as_micros())).unwrap_or(u64::MAX / 2) + 1
}

fn config(pooled: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        .concurrency_support(false)
        // Off: what no toolchain of filters emits.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .shared_memory(false)
        // On: what Rust, TinyGo, Go, C++ and AssemblyScript emit by default.
        .wasm_bulk_memory(true)
        .wasm_multi_value(true)
        .wasm_simd(true)
        .wasm_extended_const(true);
    if pooled {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(INSTANCES)
            .total_memories(INSTANCES)
            .total_tables(INSTANCES)
            .max_memories_per_module(1)
            .max_tables_per_module(1)
            .max_memory_size(MEMORY_MAX)
            .table_elements(TABLE_ELEMENTS)
            .max_unused_warm_slots(64);
        // All that an address of 32 bits reaches, so that no access needs a check of its own: a quarter of
        // the time of link translation. 1,000 slots and their guards are 4.1 TiB of the 128 there are.
        config.memory_reservation(1 << 32);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

/// Keeps the type honest: engines are shared between the office and all workers.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Engine>();
    shared::<Weak<Engine>>();
};
