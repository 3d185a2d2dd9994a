//! Watches the configuration file and the files it names, and reloads when they change.
//!
//! ```text
//!   SIGHUP ─────────────────┐
//!   file event ─▶ settle ───┴▶ read ─▶ parse ─▶ build ─▶ swap | refuse, old one stays
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::edge::Edge;
use super::filter_settings::manifest_file;
use crate::config::{EdgeConfig, ModuleSource, parse_edge};

/// Editors write in several steps; a change is acted on when nothing has happened for this long.
const SETTLE: Duration = Duration::from_millis(200);

/// Reads and checks a configuration file.
///
/// # Errors
/// Every fault, a line each, with file, line and column.
pub fn read(file: &Path) -> Result<EdgeConfig, Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let mend = match error.kind() {
            std::io::ErrorKind::NotFound => "; `lockgate config example > lockgate.toml` makes one to begin with",
            _ => "",
        };
        vec![format!("{}: {error}{mend}", file.display())]
    })?;
    parse_edge(file, &text).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

/// Where configurations come from.
pub struct Origin {
    /// Files of its own, besides those that the configuration names.
    pub files: Vec<PathBuf>,
    /// Reads and checks the configuration, or tells every fault.
    pub read: Box<Read>,
    /// Is told what became of each reload.
    pub told: Box<Tell>,
}

/// Hears of a reload: the generation in force, or every fault.
pub type Tell = dyn Fn(&Edge, &Result<u64, Vec<String>>) + Send + Sync;

/// Reads a configuration.
pub type Read = dyn Fn() -> Result<EdgeConfig, Vec<String>> + Send + Sync;

/// Reloads `edge` from `file` whenever it, or a file it names, changes, or `hangups` says so. Runs
/// until the sender of `hangups` is gone.
pub async fn follow(edge: Arc<Edge>, file: PathBuf, hangups: mpsc::Receiver<()>) {
    let (files, told) = (vec![file.clone()], Box::new(|_: &Edge, _: &Result<u64, Vec<String>>| ()));
    follow_origin(edge, Origin { files, read: Box::new(move || read(&file)), told }, hangups).await;
}

/// The same for a configuration that comes from elsewhere.
pub async fn follow_origin(edge: Arc<Edge>, origin: Origin, mut hangups: mpsc::Receiver<()>) {
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let mut watching = watch(&origin, changed.clone());
    let mut seen = fingerprint(&origin);
    loop {
        let forced = tokio::select! {
            hangup = hangups.recv() => match hangup {
                Some(()) => true,
                None => return,
            },
            Some(()) = changes.recv() => {
                while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok_and(|change| change.is_some()) {}
                false
            }
        };
        let now = fingerprint(&origin);
        if !forced && now == seen {
            continue;
        }
        seen = now;
        let reloaded = match (origin.read)() {
            Ok(config) => {
                let reloading = edge.clone();
                let reloaded = tokio::task::spawn_blocking(move || reloading.reload(config)).await;
                reloaded.unwrap_or_else(|error| Err(vec![error.to_string()]))
            }
            Err(faults) => {
                edge.refuse_reload(&faults);
                Err(faults)
            }
        };
        if reloaded.is_ok() {
            watching = watch(&origin, changed.clone());
        }
        (origin.told)(&edge, &reloaded);
        let _ = &watching;
    }
}

/// Directories are watched, not files: editors and secret mounts replace files by renaming.
fn watch(origin: &Origin, changed: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = changed.try_send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(handler) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "files cannot be watched here; send SIGHUP to reload");
            return None;
        }
    };
    let mut directories: Vec<PathBuf> =
        files(origin).iter().filter_map(|file| Some(file.parent()?.to_path_buf())).collect();
    directories.sort();
    directories.dedup();
    for directory in directories {
        let directory = if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
        if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, directory = %directory.display(), "cannot watch; send SIGHUP to reload");
        }
    }
    Some(watcher)
}

/// The files of the configuration and the files it names.
fn files(origin: &Origin) -> Vec<PathBuf> {
    let mut files = origin.files.clone();
    if let Ok(config) = (origin.read)() {
        files.extend(config.certificates.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
        files.extend(
            config
                .filters
                .values()
                .filter_map(|filter| match &filter.module {
                    ModuleSource::File(path) => Some([path.clone(), manifest_file(path)]),
                    ModuleSource::Builtin(_) => None,
                })
                .flatten(),
        );
        files.extend(config.apps.iter().filter_map(|app| app.backend_ca.clone()));
    }
    files
}

/// The contents of all files: a touch without a change is no reload.
fn fingerprint(origin: &Origin) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    files(origin).into_iter().map(|file| (file.clone(), std::fs::read(file).ok())).collect()
}
