//! The world of a filter's test: a backend behind two apps, one through the link and one dialled by the
//! edge, both with the same chain of filters.

use std::time::Duration;

use lockgate::config::{EdgeConfig, FilterSettings, ModuleSource, Upstream};

use super::guest::Guest;
use crate::backend::Backend;
use crate::client::{Answer, H1, h1, h2};
use crate::world::{Plan, Scratch, World, plan};

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// HTTP/1.1, through the link.
    Link,
    /// HTTP/1.1, group "local".
    Near,
    /// HTTP/2, through the link.
    Link2,
}

pub const ALL: [How; 3] = [How::Link, How::Near, How::Link2];

impl How {
    pub fn host(self) -> &'static str {
        if self == Self::Near { "near.test" } else { "shop.test" }
    }
}

/// A request.
#[derive(Clone, Default)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub fields: Vec<(&'static str, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// A GET of `path`.
pub fn get(path: &str) -> Ask {
    Ask { method: "GET", path: path.to_owned(), ..Ask::default() }
}

/// A POST of `body` to `/`.
pub fn post(body: impl Into<Vec<u8>>) -> Ask {
    Ask { method: "POST", path: "/".to_owned(), body: body.into(), ..Ask::default() }
}

impl Ask {
    pub fn field(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// Filters in the making.
pub struct Chain {
    dir: Scratch,
    filters: Vec<(String, FilterSettings)>,
    workers: usize,
    connectors: usize,
    plan: Plan,
}

/// A world with filters.
pub struct Lab {
    pub world: World,
    dir: Scratch,
    next: std::sync::atomic::AtomicUsize,
}

/// The defaults with longer deadlines: guests here are built for tests, not for speed.
fn settings_of(module: std::path::PathBuf) -> FilterSettings {
    let mut settings = FilterSettings::new(ModuleSource::File(module));
    settings.limits.header_deadline = Duration::from_millis(250);
    settings.limits.body_deadline = Duration::from_millis(250);
    settings
}

/// No filters yet.
pub fn chain() -> Chain {
    Chain { dir: Scratch::new(), filters: Vec::new(), workers: 1, connectors: 1, plan: plan() }
}

/// One filter called `one`.
pub fn one(guest: &Guest) -> Chain {
    chain().filter("one", guest, |_| {})
}

/// One filter called `one` with settings.
pub fn one_with(guest: &Guest, set: impl FnOnce(&mut FilterSettings)) -> Chain {
    chain().filter("one", guest, set)
}

impl Chain {
    /// Adds a filter behind those that are there.
    pub fn filter(self, name: &str, guest: &Guest, set: impl FnOnce(&mut FilterSettings)) -> Self {
        self.module(name, &guest.wasm(), set)
    }

    /// The same, of any bytes.
    pub fn module(mut self, name: &str, wasm: &[u8], set: impl FnOnce(&mut FilterSettings)) -> Self {
        let path = self.dir.path().join(format!("{name}/module.wasm"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wasm).unwrap();
        let mut settings = settings_of(path);
        set(&mut settings);
        self.filters.push((name.to_owned(), settings));
        self
    }

    /// What else the edge is told.
    pub fn edge(mut self, set: impl FnOnce(&mut EdgeConfig)) -> Self {
        self.plan = self.plan.set(set);
        self
    }

    /// How many workers the edge has.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Only the app that the edge dials: quicker to start.
    pub fn near(mut self) -> Self {
        self.connectors = 0;
        self
    }

    /// Starts everything in front of `backend`.
    pub async fn start(self, backend: &Backend) -> Lab {
        let names: Vec<String> = self.filters.iter().map(|(name, _)| name.clone()).collect();
        let filters = self.filters;
        let world = self
            .plan
            .app_with("shop", backend.url(), |app| {
                app.filters.clone_from(&names);
                app.translate_urls_in_headers = false;
            })
            .app_with("near", backend.url(), |app| {
                app.filters.clone_from(&names);
                app.translate_urls_in_headers = false;
                app.group = "local".to_owned();
            })
            .set(|config| config.filters.extend(filters))
            .connectors(self.connectors)
            .edge_workers(self.workers)
            .start()
            .await;
        Lab { world, dir: self.dir, next: std::sync::atomic::AtomicUsize::new(0) }
    }
}

impl Lab {
    /// Makes a request of its own connection; `None` when the answer is cut.
    pub async fn try_ask(&self, how: How, ask: &Ask) -> Option<Answer> {
        if how == How::Link2 {
            let mut client = h2(self.world.https, how.host()).await;
            let mut request =
                http::Request::builder().method(ask.method).uri(format!("https://{}{}", how.host(), ask.path));
            for (name, value) in &ask.fields {
                request = request.header(*name, &value[..]);
            }
            return client.request(request.body(()).unwrap(), &ask.body).await.ok();
        }
        let mut client = h1(self.world.http).await;
        send(&mut client, how, ask).await;
        client.answer(ask.method).await
    }

    /// Makes a request that is answered.
    pub async fn ask(&self, how: How, ask: &Ask) -> Answer {
        self.try_ask(how, ask).await.unwrap_or_else(|| panic!("{how:?} {} {}: no answer", ask.method, ask.path))
    }

    /// `GET /` over HTTP/1.1, group "local".
    pub async fn near(&self, path: &str) -> Answer {
        self.ask(How::Near, &get(path)).await
    }

    /// Puts one filter `one` into the place of all others, by a reload.
    pub fn reload(&self, wasm: &[u8], set: impl FnOnce(&mut FilterSettings)) -> Result<u64, Vec<String>> {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.dir.path().join(format!("reload-{number}/module.wasm"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wasm).unwrap();
        let mut settings = settings_of(path);
        set(&mut settings);
        self.reload_settings(settings)
    }

    /// The same, of settings.
    pub fn reload_settings(&self, settings: FilterSettings) -> Result<u64, Vec<String>> {
        let mut config = self.world.config.clone();
        config.filters = [("one".to_owned(), settings)].into();
        for app in &mut config.apps {
            app.filters = vec!["one".to_owned()];
        }
        self.world.edge.reload(config)
    }

    /// A directory of the lab.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// A metric of the filter `one`.
    pub async fn gauge(&self, name: &str) -> f64 {
        self.world.metric(&format!("lockgate_filter_{name}{{filter=\"one\"}}")).await
    }

    /// A metric of the filter `one` with one more label.
    pub async fn count(&self, name: &str, label: &str) -> f64 {
        let (one, more) = ("filter=\"one\"", label);
        // Labels stand in the order of their names.
        let labels = if more < one { format!("{more},{one}") } else { format!("{one},{more}") };
        self.world.metric(&format!("lockgate_filter_{name}{{{labels}}}")).await
    }

    /// Waits until nothing of any request is left in the filter.
    pub async fn is_quiet(&self, instances: f64) {
        let wanted = [0.0, 0.0, instances];
        let mut found = wanted;
        for _ in 0..500 {
            for (place, name) in found.iter_mut().zip(["paused_streams", "buffered_bytes", "instances"]) {
                *place = self.gauge(name).await;
            }
            if found == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polls a condition, 500 times at most
        }
        panic!("paused streams, buffered bytes and instances are {found:?}, not {wanted:?}");
    }
}

/// Sends a request on HTTP/1.1.
pub async fn send<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(client: &mut H1<S>, how: How, ask: &Ask) {
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", ask.method, ask.path, how.host()).into_bytes();
    for (name, value) in &ask.fields {
        head.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    if !ask.body.is_empty() {
        head.extend_from_slice(format!("content-length: {}\r\n", ask.body.len()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&ask.body);
    client.send_bytes(&head).await;
}

/// The values of a field of the request that a mirroring backend got.
pub fn seen(answer: &Answer, name: &str) -> Vec<String> {
    let text = answer.text();
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

/// A backend as an upstream of a filter.
pub fn upstream(backend: &Backend) -> Upstream {
    Upstream { https: false, host: "127.0.0.1".to_owned(), port: backend.addr.port() }
}
