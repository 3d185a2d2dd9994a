//! Tests only: a directory of its own for each test, removed with the value. Refuses to be shared between tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("lockgate-control-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        // invariant: tests only, where a directory that cannot be made is a failed test
        std::fs::create_dir_all(&dir).expect("a scratch directory can be made");
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
