//! A compiled module: its ABI version, what it imports and therefore needs.
//!
//! It refuses what the host does not offer, naming all of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use wasmtime::{ExternType, InstancePre};

use super::cache;
use super::engine::Engine;
use super::state::State;

/// A module larger than this is no filter: Go filters are 10 MB, ModSecurity with its rules 20.
pub const WASM_BYTES_MAX: usize = 64 << 20;

/// The version a module announces (ABI, 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Abi {
    /// 0.1.0.
    V0_1_0,
    /// 0.2.0.
    V0_2_0,
    /// 0.2.1.
    V0_2_1,
}

impl Abi {
    const MARKERS: [(&'static str, Self); 3] = [
        ("proxy_abi_version_0_2_1", Self::V0_2_1),
        ("proxy_abi_version_0_2_0", Self::V0_2_0),
        ("proxy_abi_version_0_1_0", Self::V0_1_0),
    ];

    /// `0.2.1` and the like.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
        }
    }
}

/// What a module needs, by its imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Calls out.
    HttpCall,
    /// Shared data.
    SharedData,
    /// Queues.
    Queues,
    /// Answering itself.
    LocalResponse,
    /// Writing bodies.
    BodyWrite,
    /// Metrics of its own.
    Metrics,
    /// Extensions of the host.
    ForeignFunctions,
}

impl Capability {
    const IMPORTS: [(&'static str, Self); 13] = [
        ("proxy_http_call", Self::HttpCall),
        ("proxy_grpc_call", Self::HttpCall),
        ("proxy_grpc_stream", Self::HttpCall),
        ("proxy_get_shared_data", Self::SharedData),
        ("proxy_set_shared_data", Self::SharedData),
        ("proxy_register_shared_queue", Self::Queues),
        ("proxy_resolve_shared_queue", Self::Queues),
        ("proxy_enqueue_shared_queue", Self::Queues),
        ("proxy_dequeue_shared_queue", Self::Queues),
        ("proxy_send_local_response", Self::LocalResponse),
        ("proxy_set_buffer_bytes", Self::BodyWrite),
        ("proxy_define_metric", Self::Metrics),
        ("proxy_call_foreign_function", Self::ForeignFunctions),
    ];

    /// The word in configuration and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HttpCall => "http_call",
            Self::SharedData => "shared_data",
            Self::Queues => "queues",
            Self::LocalResponse => "local_response",
            Self::BodyWrite => "body_write",
            Self::Metrics => "metrics",
            Self::ForeignFunctions => "foreign_functions",
        }
    }
}

/// A compiled module.
pub struct Module {
    /// SHA-256 of the bytes, in hexadecimal.
    pub hash: String,
    /// Its version.
    pub abi: Abi,
    /// `module.name` of each import.
    pub imports: BTreeSet<String>,
    /// The functions it exports.
    pub exports: BTreeSet<String>,
    /// What its imports say it needs.
    pub needs: BTreeSet<Capability>,
    /// Bytes of memory it begins with, and may grow to by its own word.
    pub memory: (u64, Option<u64>),
    /// Bytes of the file.
    pub size: usize,
    /// How long compiling, or reading the cache, took.
    pub compiled_in: Duration,
    wasmtime: wasmtime::Module,
}

impl Module {
    /// Compiles `wasm`, or finds it compiled in `cache`. Blocks: never on a worker.
    ///
    /// # Errors
    /// Everything that keeps it from being a filter of this host.
    pub fn load(engine: &Engine, wasm: &[u8], cache: Option<&Path>) -> Result<Self, String> {
        if wasm.len() > WASM_BYTES_MAX {
            return Err(format!("{} bytes are more than a module may have ({WASM_BYTES_MAX})", wasm.len()));
        }
        if !wasm.starts_with(b"\0asm") {
            return Err("not a WebAssembly module: it does not begin with \\0asm".into());
        }
        if wasm.get(4..8) != Some(&[1, 0, 0, 0]) {
            return Err("a WebAssembly component, or of another version; filters are core modules (version 1)".into());
        }
        let began = Instant::now();
        let hash = Self::hash_of(wasm);
        let cached = cache.map(|directory| cache::file_in(directory, engine, &hash));
        let compiled = match cached.as_deref().and_then(|file| cache::read(engine, file)) {
            Some(module) => module,
            None => {
                let module = engine.compile(wasm)?;
                if let Some(file) = &cached {
                    cache::write(&module, file);
                }
                module
            }
        };
        Self::describe(compiled, hash, wasm.len(), began.elapsed())
    }

    /// SHA-256 of `wasm`, in hexadecimal.
    #[must_use]
    pub fn hash_of(wasm: &[u8]) -> String {
        digest(&SHA256, wasm).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn describe(wasmtime: wasmtime::Module, hash: String, size: usize, took: Duration) -> Result<Self, String> {
        let exports: BTreeSet<String> = wasmtime
            .exports()
            .filter(|export| matches!(export.ty(), ExternType::Func(_)))
            .map(|export| export.name().to_owned())
            .collect();
        let marker = Abi::MARKERS.iter().find(|(marker, _)| exports.contains(*marker));
        let Some(&(_, abi)) = marker else {
            let other = exports.iter().find(|name| name.starts_with("proxy_abi_version_"));
            return Err(match other {
                Some(other) => format!("it announces {other}; this host speaks 0.1.0, 0.2.0 and 0.2.1"),
                None => "it is no Proxy-Wasm filter: it exports no proxy_abi_version_0_2_1, _0_2_0 or _0_1_0".into(),
            });
        };
        let memory = wasmtime.exports().find_map(|export| match (export.name(), export.ty()) {
            ("memory", ExternType::Memory(memory)) => Some(memory),
            _ => None,
        });
        let memory = memory.ok_or("it exports no memory")?;
        if !exports.contains("proxy_on_memory_allocate") && !exports.contains("malloc") {
            return Err("it exports neither proxy_on_memory_allocate nor malloc, so it cannot be given bytes".into());
        }
        let pages = |pages: u64| pages.saturating_mul(memory.page_size());
        let memory = (pages(memory.minimum()), memory.maximum().map(pages));
        let imports: BTreeSet<String> =
            wasmtime.imports().map(|import| format!("{}.{}", import.module(), import.name())).collect();
        let needs = Capability::IMPORTS
            .iter()
            .filter(|(name, _)| imports.contains(&format!("env.{name}")))
            .map(|&(_, capability)| capability)
            .collect();
        Ok(Self { hash, abi, imports, exports, needs, memory, size, compiled_in: took, wasmtime })
    }

    /// Resolves its imports.
    ///
    /// # Errors
    /// Every import that this host does not offer, by name; or one whose type is another.
    pub fn link(&self, engine: &Engine) -> Result<InstancePre<State>, String> {
        let mut unknown = Vec::new();
        let mut linker = engine.linker().clone();
        for import in self.wasmtime.imports() {
            let name = format!("{}.{}", import.module(), import.name());
            let ExternType::Func(kind) = import.ty() else {
                unknown.push(format!("{name} (not a function)"));
                continue;
            };
            // Whatever is not there is put there, so that all of them are told at once.
            let missing = linker.func_new(import.module(), import.name(), kind, |_, _, _| {
                Err(wasmtime::Error::msg("an unknown import"))
            });
            if missing.is_ok() {
                unknown.push(name);
            }
        }
        if !unknown.is_empty() {
            return Err(format!("it imports what this host does not offer: {}", unknown.join(", ")));
        }
        engine.linker().instantiate_pre(&self.wasmtime).map_err(|error| format!("{error:#}"))
    }

    /// Whether its imports are all that its SDK has, called or not, and so say nothing of what it needs: the
    /// official SDK's contexts link every host call through their default methods.
    #[must_use]
    pub fn imports_everything(&self) -> bool {
        let imported = |name: &str| self.imports.contains(&format!("env.{name}"));
        ["proxy_grpc_stream", "proxy_dequeue_shared_queue", "proxy_set_shared_data", "proxy_send_local_response"]
            .into_iter()
            .all(imported)
    }
}
