//! What edge and connector say of themselves on the admin port.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::core::Core;
use crate::connector::{Credentials, Status};
use crate::control::admin::{Answer, Refusal, Replaced, Report};
use crate::drain::Watch;

pub(super) struct EdgeReport {
    pub(super) core: Arc<Core>,
    pub(super) drain: Watch,
}

impl Report for EdgeReport {
    fn ready(&self) -> Answer<'_, Result<(), String>> {
        // It exists only once it listens and has a configuration; a group without a connector is
        // shown in the status, not as the edge's own fault.
        Box::pin(async { if self.drain.is_draining() { Err("draining".to_owned()) } else { Ok(()) } })
    }

    fn status(&self) -> Answer<'_, Value> {
        Box::pin(async move {
            let links = self.core.links().await;
            let known = self.core.store.connectors().await.unwrap_or_default();
            let config = self.core.config.lock().map(|config| config.clone()).unwrap_or_default();
            let mut groups: BTreeMap<&str, (Vec<&str>, usize)> = BTreeMap::new();
            for app in config.apps.iter().filter(|app| !app.is_local()) {
                groups.entry(&app.group).or_default().0.push(&app.name);
            }
            for link in links.iter().filter(|link| link.state == "up") {
                groups.entry(&link.group).or_default().1 += 1;
            }
            let groups: Vec<Value> = groups
                .into_iter()
                .map(|(name, (apps, up))| json!({"group": name, "apps": apps, "links_up": up, "served": up > 0}))
                .collect();
            let connectors: Vec<Value> = known
                .iter()
                .map(|connector| {
                    let own: Vec<_> = links.iter().filter(|link| link.connector == connector.id).collect();
                    let state = match (connector.revoked_at, own.iter().any(|link| link.state == "up"), own.is_empty())
                    {
                        (Some(_), ..) => "revoked",
                        (None, true, _) => "active",
                        (None, false, true) => "inactive",
                        (None, false, false) => "draining",
                    };
                    json!({
                        "connector": connector.id, "name": connector.name, "group": connector.group,
                        "host": connector.host, "version": connector.version, "state": state,
                        "enrolled_at": connector.enrolled_at, "last_seen_at": connector.last_seen_at,
                        "certificate_ends_at": connector.not_after, "links": own,
                    })
                })
                .collect();
            let apps: Vec<Value> = config
                .apps
                .iter()
                .map(|app| {
                    json!({
                        "app": app.name, "external_url": app.external_url.to_string(),
                        "internal_url": app.internal_url.to_string(), "group": app.group,
                        "maintenance": app.maintenance,
                        "translate_also": app.translate_also.keys().collect::<Vec<_>>(),
                    })
                })
                .collect();
            json!({
                "role": "edge",
                "version": env!("CARGO_PKG_VERSION"),
                "generation": self.core.rooms.load().generation,
                "last_reload_error": self.core.last_reload_error.lock().ok().and_then(|error| error.clone()),
                "apps": apps,
                "groups": groups,
                "connectors": connectors,
                "filters": self.core.filter_reports(),
            })
        })
    }

    fn replace_filter(&self, name: String, wasm: Bytes) -> Answer<'_, Result<Replaced, Refusal>> {
        Box::pin(async move {
            let core = self.core.clone();
            // Compiling takes as long as it takes; the office's own threads are not for that.
            let replaced = tokio::task::spawn_blocking(move || core.replace_filter(&name, wasm)).await;
            replaced.unwrap_or_else(|error| Err(Refusal::Failed(error.to_string())))
        })
    }
}

pub(super) struct ConnectorReport {
    pub(super) status: Arc<Status>,
    pub(super) credentials: Credentials,
}

impl Report for ConnectorReport {
    fn ready(&self) -> Answer<'_, Result<(), String>> {
        Box::pin(async {
            if self.status.is_proven() {
                return Ok(());
            }
            let last = self.status.links().into_iter().find_map(|link| link.last_error);
            Err(last.unwrap_or_else(|| "no link is up yet".into()))
        })
    }

    fn status(&self) -> Answer<'_, Value> {
        Box::pin(async {
            json!({
                "role": "connector",
                "version": env!("CARGO_PKG_VERSION"),
                "connector": self.credentials.connector,
                "edge": self.credentials.edge,
                "proven": self.status.is_proven(),
                "links": self.status.links(),
            })
        })
    }
}
