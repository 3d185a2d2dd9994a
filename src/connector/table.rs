//! What a link's connector may dial: the apps the edge pushed over that link.
//!
//! A stream names its app and the revision it means; one that arrives before the push of that
//! revision waits for it a moment, so that an app is served the instant the edge publishes it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::backend::Target;
use crate::tunnel::control::Config;

/// A push follows its announcement within milliseconds; a stream that waits longer than this
/// means an app this connector will never hear of.
const PATIENCE: Duration = Duration::from_secs(2);

/// The apps of one link.
#[derive(Default)]
pub(super) struct Table {
    apps: RefCell<HashMap<String, Entry>>,
    generation: Cell<u64>,
    changed: Notify,
}

struct Entry {
    revision: String,
    target: Rc<Target>,
}

impl Table {
    /// Exchanges all apps for the pushed ones; requests under way keep theirs.
    pub(super) fn replace(&self, config: Config) {
        let apps = config.apps.into_iter().filter_map(|app| match serde_json::from_str(app.target.get()) {
            Ok(target) => Some((app.name, Entry { revision: app.revision, target: Rc::new(Target::new(target)) })),
            Err(error) => {
                tracing::error!(app = app.name, %error, "a pushed app is not understood; upgrade this connector");
                None
            }
        });
        *self.apps.borrow_mut() = apps.collect();
        self.generation.set(config.generation);
        self.changed.notify_waiters();
    }

    /// The target of `app` at `revision`. A revision that does not come is answered by the one in
    /// force: the edge that named it has moved on since.
    pub(super) async fn find(&self, app: &str, revision: &str) -> Option<Rc<Target>> {
        if let Some(target) = self.current(app, Some(revision)) {
            return Some(target);
        }
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if let Some(target) = self.current(app, Some(revision)) {
                    return target;
                }
                changed.await;
            }
        };
        match Box::pin(tokio::time::timeout(PATIENCE, waiting)).await {
            Ok(target) => Some(target),
            Err(_) => self.current(app, None),
        }
    }

    fn current(&self, app: &str, revision: Option<&str>) -> Option<Rc<Target>> {
        let apps = self.apps.borrow();
        let entry = apps.get(app)?;
        revision.is_none_or(|revision| entry.revision == revision).then(|| entry.target.clone())
    }
}
