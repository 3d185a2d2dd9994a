//! What a link's connector may dial: the apps the edge pushed over that link.
//!
//! A stream names its app and the revision it means; one that arrives before the push of that
//! revision waits for it a moment, so that an app is served the instant the edge publishes it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::backend::Target;
use crate::tunnel::control::Config;
use crate::tunnel::envelope::Envelope;

/// A push follows its announcement within milliseconds; a stream that waits longer than this
/// means an app this connector will never hear of.
const PATIENCE: Duration = Duration::from_secs(2);

/// Envelopes remembered, opened; more are forgotten all at once and opened again.
const OPENED: usize = 4096;

/// The apps of one link.
#[derive(Default)]
pub(super) struct Table {
    apps: RefCell<HashMap<String, Entry>>,
    /// What envelopes that were seen before mean, until the next push.
    opened: RefCell<HashMap<Box<[u8]>, Rc<Opened>>>,
    changed: Notify,
}

struct Entry {
    revision: String,
    target: Rc<Target>,
}

/// An envelope and the target it leads to.
pub(super) struct Opened {
    pub(super) envelope: Envelope,
    pub(super) target: Rc<Target>,
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
        self.opened.borrow_mut().clear();
        self.changed.notify_waiters();
    }

    /// Opens an envelope. A revision that does not come is answered by the one in force: the edge
    /// that named it has moved on since.
    ///
    /// # Errors
    /// The name of an app that was not pushed.
    pub(super) async fn open(&self, envelope: &[u8]) -> Result<Rc<Opened>, String> {
        if let Some(opened) = self.opened.borrow().get(envelope) {
            return Ok(opened.clone());
        }
        Box::pin(self.open_anew(envelope)).await
    }

    async fn open_anew(&self, bytes: &[u8]) -> Result<Rc<Opened>, String> {
        let envelope = Envelope::read(bytes);
        let (app, revision) = (&*envelope.app, &*envelope.revision);
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if let Some(target) = self.current(app, Some(revision)) {
                    return target;
                }
                changed.await;
            }
        };
        let Ok(target) = tokio::time::timeout(PATIENCE, waiting).await else {
            // Not remembered: the revision that was meant may still come.
            let target = self.current(app, None).ok_or_else(|| app.to_owned())?;
            return Ok(Rc::new(Opened { envelope, target }));
        };
        let opened = Rc::new(Opened { envelope, target });
        let mut known = self.opened.borrow_mut();
        if known.len() >= OPENED {
            known.clear();
        }
        known.insert(bytes.into(), opened.clone());
        Ok(opened)
    }

    fn current(&self, app: &str, revision: Option<&str>) -> Option<Rc<Target>> {
        let apps = self.apps.borrow();
        let entry = apps.get(app)?;
        revision.is_none_or(|revision| entry.revision == revision).then(|| entry.target.clone())
    }
}
