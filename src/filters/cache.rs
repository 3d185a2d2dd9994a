//! Compiled code, kept from one start to the next.
//!
//! ```text
//!   sha256 of the module ─▶ <data dir>/filters/<hash>-<engine>.cwasm ─▶ whole, and ours alone? ─▶ Module
//! ```
//!
//! Compiled code is native code: it refuses whatever somebody else could have put there, and never
//! takes any from outside.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::engine::Engine;
use crate::tunnel::durable;

/// The length of the SHA-256 that stands before the code.
const HASH_BYTES: usize = 32;

/// Where the code of the module with this hash is kept.
pub(super) fn file_in(directory: &Path, engine: &Engine, hash: &str) -> PathBuf {
    // Another version of wasmtime, another processor or another setting: another name.
    let mut hasher = std::hash::DefaultHasher::new();
    engine.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
    directory.join(format!("{hash}-{:016x}.cwasm", hasher.finish()))
}

/// The compiled code, if it is there and can be believed.
pub(super) fn read(engine: &Engine, file: &Path) -> Option<wasmtime::Module> {
    // Whoever may write the code may run it: only our own directory and file are believed.
    if durable::open_to_others(file.parent()?).ok()? || durable::open_to_others(file).ok()? {
        return None;
    }
    let bytes = std::fs::read(file).ok()?;
    let (hash, code) = bytes.split_at_checked(HASH_BYTES)?;
    if digest(&SHA256, code).as_ref() != hash {
        tracing::warn!(file = %file.display(), "compiled code is damaged; compiling again");
        return None;
    }
    #[expect(unsafe_code, reason = "wasmtime cannot check compiled code; see the SAFETY note")]
    // SAFETY: the bytes are what `write` wrote: the file and its directory are open to nobody but
    // this user, the hash shows that they are whole, and the name is that of this very engine.
    let module = unsafe { wasmtime::Module::deserialize(engine.wasmtime(), code) };
    module.inspect_err(|error| tracing::warn!(%error, "compiled code of another build; compiling again")).ok()
}

/// Keeps compiled code. A cache that cannot be written costs time at the next start, nothing else.
pub(super) fn write(module: &wasmtime::Module, file: &Path) {
    let written = || -> std::io::Result<()> {
        let code = module.serialize().map_err(std::io::Error::other)?;
        if let Some(directory) = file.parent() {
            durable::private_directory(directory)?;
        }
        let bytes = [digest(&SHA256, &code).as_ref(), &code].concat();
        durable::replace(file, &bytes, durable::Access::Private)
    };
    if let Err(error) = written() {
        tracing::warn!(%error, file = %file.display(), "compiled code could not be kept");
    }
}
