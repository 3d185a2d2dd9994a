//! Compiled code, kept from one start to the next.
//!
//! ```text
//!   sha256 of the module ─▶ <data dir>/filters/<hash>-<engine>.cwasm ─▶ whole, and ours alone? ─▶ Module
//! ```
//!
//! Compiled code is native code: it refuses whatever somebody else could have put there, and never
//! takes any from outside. What has not been used for longest goes when there is too much.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};

use super::engine::Engine;
use crate::tunnel::durable;

/// The length of the SHA-256 that stands before the code.
const HASH_BYTES: usize = 32;

/// 512 MiB: ten filters in Go or thousands in Rust. An author who saves a thousand times a day makes a
/// thousand modules, and nobody else would ever take them away.
const KEPT_BYTES: u64 = 512 << 20;

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
    used(file);
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
    match written() {
        Ok(()) => prune(file, KEPT_BYTES),
        Err(error) => tracing::warn!(%error, file = %file.display(), "compiled code could not be kept"),
    }
}

/// The file is the one used last. Without a file system that keeps times, the order is that of writing.
fn used(file: &Path) {
    let _ = std::fs::File::options().append(true).open(file).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes the code that was not used for longest until at most `bytes` are kept; `fresh` stays whatever
/// it has. What cannot be looked at or removed stays, too: it only takes space.
fn prune(fresh: &Path, bytes: u64) {
    let entries = fresh.parent().and_then(|directory| std::fs::read_dir(directory).ok()).into_iter().flatten();
    let mut kept = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_code = path.extension().is_some_and(|extension| extension == "cwasm");
        if let Ok(metadata) = std::fs::metadata(&path)
            && is_code
            && path != fresh
        {
            kept.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), path));
        }
    }
    kept.sort_by(|one, other| other.cmp(one));
    let mut total = std::fs::metadata(fresh).map_or(0, |metadata| metadata.len());
    for (_, length, path) in kept {
        total += length;
        if total > bytes {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_and_nothing_else_does() {
        let directory = std::env::temp_dir().join(format!("lockgate-cache-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = |name: &str| directory.join(name);
        for (age, name) in [(4, "a.cwasm"), (3, "b.cwasm"), (2, "c.cwasm"), (1, "new.cwasm"), (9, "notes.txt")] {
            std::fs::write(file(name), [0; 100]).expect("written");
            let then = SystemTime::now() - Duration::from_secs(1000 * age);
            std::fs::File::options().append(true).open(file(name)).expect("it").set_modified(then).expect("a time");
        }
        let left = || {
            let names = std::fs::read_dir(&directory).expect("there").map(|entry| entry.expect("one").file_name());
            let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        prune(&file("new.cwasm"), 400);
        assert_eq!(left().len(), 5, "400 bytes may be kept");
        used(&file("a.cwasm"));
        prune(&file("new.cwasm"), 399);
        assert_eq!(left(), ["a.cwasm", "c.cwasm", "new.cwasm", "notes.txt"]);
        prune(&file("new.cwasm"), 1);
        assert_eq!(left(), ["new.cwasm", "notes.txt"], "the one just written stays");
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
