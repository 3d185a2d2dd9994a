//! Reload: another configuration is in force at once, and nobody who did not ask for it notices.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockgate::app::reload::{follow, read};
use lockgate::config::{CertificateFiles, EdgeConfig};
use lockgate::sample::Sample;
use tokio::sync::mpsc;

use crate::backend::Backend;
use crate::client::{connect_tls, get, h1};
use crate::gate::{DOWNLOAD_BYTES, Gate};
use crate::load::Load;
use crate::socket::Socket;
use crate::world::{Plan, World, plan, until, within};

async fn fixed(text: &str) -> Backend {
    Backend::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())).await
}

/// The plan's configuration with its places in the world.
fn placed(world: &World, plan: Plan) -> EdgeConfig {
    EdgeConfig { data_dir: world.config.data_dir.clone(), ..plan.config }
}

async fn status(world: &World) -> serde_json::Value {
    serde_json::from_slice(&get(world.admin, "admin", "/status").await.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_are_swapped_and_requests_under_way_keep_the_old_ones() {
    let (gate, new) = (Gate::closed().await, fixed("new").await);
    let world = plan().app("shop", gate.url()).app("gone", gate.url()).start().await;
    let mut under_way = h1(world.http).await;
    under_way.send("GET /hold HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    let mut leaving = h1(world.http).await;
    leaving.send("GET /hold HTTP/1.1\r\nhost: gone.test\r\n\r\n").await;
    gate.has_seen(2).await;
    let config = placed(&world, plan().app("shop", new.url()).app("more", new.url()));
    assert_eq!(world.edge.reload(config), Ok(2));
    for (app, expected, text) in [("shop", 200, "new"), ("more", 200, "new"), ("gone", 404, "not-published")] {
        let answer = get(world.http, &format!("{app}.test"), "/").await;
        assert_eq!(answer.status, expected, "{app}: {}", answer.text());
        assert!(answer.text().contains(text), "{app}: {}", answer.text());
    }
    assert_eq!(gate.seen(), 2);
    gate.open();
    for client in [&mut under_way, &mut leaving] {
        assert_eq!(client.answer("GET").await.unwrap().text(), "ok\n");
    }
    under_way.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(under_way.answer("GET").await.unwrap().text(), "new", "the connection itself goes on");
    assert_eq!(
        (status(&world).await["generation"].clone(), world.metric("lockgate_config_generation").await),
        (2.into(), 2.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_moves_to_another_group_live() {
    let backend = fixed("ok").await;
    let mut world = plan().app("shop", backend.url()).start().await;
    let load = Load::start(world.http, 4, "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\nhi");
    let keep = plan().app_with("keep", backend.url(), |app| app.group = "other".into());
    let config = placed(&world, keep.app("shop", backend.url()));
    world.edge.reload(config).unwrap();
    world.join("other").await;
    let moved = plan().app_with("shop", backend.url(), |app| app.group = "other".into());
    let config = placed(&world, moved);
    world.edge.reload(config).unwrap();
    world.connectors[0].kill();
    load.goes_on(100).await;
    let tally = load.finish().await;
    // A POST on the killed link at the very moment of the kill is the only thing that may be lost.
    assert!(tally.answers.keys().all(|status| matches!(status, 200 | 502)), "{tally:?}");
    assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn o07_forty_reloads_do_not_touch_a_websocket_or_a_download() {
    let sample = Sample::start().unwrap();
    let (gate, other) = (Gate::closed().await, fixed("x").await);
    let world = plan().app("socket", sample.url()).app("shop", gate.url()).edge_workers(2).start().await;
    let mut socket = Socket::open(world.http, "socket.test").await;
    let mut download = h1(world.http).await;
    download.send("GET /download HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    gate.has_seen(1).await;
    for round in 0..40 {
        let config = placed(&world, plan().app("socket", sample.url()).app("shop", gate.url()));
        let extra = plan().app(&format!("extra-{round}"), other.url());
        let config = EdgeConfig { apps: [config.apps, extra.config.apps].concat(), ..config };
        world.edge.reload(config).unwrap();
        let text = format!("round {round}");
        assert_eq!(socket.echo(&text).await.as_deref(), Some(text.as_str()));
    }
    assert_eq!(get(world.http, "extra-39.test", "/").await.status, 200);
    assert_eq!(get(world.http, "extra-38.test", "/").await.status, 404);
    gate.open();
    let answer = download.answer("GET").await.expect("the download goes on");
    assert_eq!((answer.status, answer.body.len()), (200, DOWNLOAD_BYTES));
    assert_eq!(world.metric("lockgate_config_reloads_total{result=\"ok\"}").await, 40.0);
    assert!(!world.metrics.render().await.contains("lockgate_link_ends_total"), "links stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn o07_posts_on_kept_connections_lose_nothing_while_the_configuration_changes() {
    let (one, two) = (fixed("1").await, fixed("2").await);
    let world = plan().app("shop", one.url()).connectors(2).edge_workers(2).start().await;
    let load = Load::start(world.http, 40, "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\r\nhello");
    for round in 0..20 {
        let backend = if round % 2 == 0 { &two } else { &one };
        world.edge.reload(placed(&world, plan().app("shop", backend.url()))).unwrap();
        load.goes_on(40).await;
    }
    let tally = load.finish().await;
    assert!(tally.is_clean() && tally.closed == 0, "{tally:?}");
    assert!(one.connections() > 0 && two.connections() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn o08_a_configuration_that_cannot_be_had_is_refused_whole() {
    let backend = fixed("old").await;
    let world = plan().app("shop", backend.url()).start().await;
    let good = || plan().app("shop", backend.url()).app("more", backend.url());
    let missing = PathBuf::from("/nowhere/shop.crt");
    let no_certificate = good().set(|config| {
        config.certificates.push(CertificateFiles { cert: missing.clone(), key: missing.with_extension("key") });
    });
    let garbled = world.dir.path().join("garbled.pem");
    std::fs::write(&garbled, "no PEM at all").unwrap();
    let no_pem =
        good().set(|config| config.certificates.push(CertificateFiles { cert: garbled.clone(), key: garbled.clone() }));
    let no_authority = good().app_with("ca", backend.url(), |app| app.backend_ca = Some("/nowhere/ca.pem".into()));
    let table = [(no_certificate, "/nowhere/shop.crt"), (no_pem, "garbled.pem"), (no_authority, "/nowhere/ca.pem")];
    let count = table.len();
    for (plan, named) in table {
        let faults = world.edge.reload(placed(&world, plan)).expect_err(named);
        assert!(faults.join("\n").contains(named), "{faults:?} does not name {named}");
        let said = status(&world).await;
        assert!(said["last_reload_error"].as_str().is_some_and(|error| error.contains(named)), "{said}");
        assert_eq!(said["generation"], 1);
        assert_eq!(get(world.http, "more.test", "/").await.status, 404);
        assert_eq!(get(world.http, "shop.test", "/").await.text(), "old");
    }
    let refused = "lockgate_config_reloads_total{result=\"refused\"}";
    assert_eq!(world.metric(refused).await, count as f64);
    world.edge.reload(placed(&world, good())).unwrap();
    assert_eq!(status(&world).await["last_reload_error"], serde_json::Value::Null);
    assert_eq!(get(world.http, "more.test", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_is_switched_on_and_off() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).app("other", backend.url()).start().await;
    let with =
        |on: bool| plan().app_with("shop", backend.url(), |app| app.maintenance = on).app("other", backend.url());
    for on in [true, false, true, false] {
        world.edge.reload(placed(&world, with(on))).unwrap();
        let before = world.metric("lockgate_requests_total{app=\"shop-http\",class=\"2xx\",protocol=\"h1\"}").await;
        let answer = get(world.http, "shop.test", "/").await;
        assert_eq!(answer.status, if on { 503 } else { 200 }, "{}", answer.text());
        assert_eq!(answer.text().contains("maintenance"), on, "{}", answer.text());
        assert_eq!(answer.field("retry-after").is_some(), on);
        assert_eq!(get(world.http, "other.test", "/").await.status, 200);
        let after = world.metric("lockgate_requests_total{app=\"shop-http\",class=\"2xx\",protocol=\"h1\"}").await;
        assert_eq!(after - before, if on { 0.0 } else { 1.0 });
    }
}

/// A configuration file beside the world's own state, followed until the test ends.
struct Followed {
    file: PathBuf,
    hangup: mpsc::Sender<()>,
}

impl Followed {
    fn start(world: &World, text: &str) -> Self {
        let file = world.dir.path().join("lockgate.toml");
        std::fs::write(&file, text).unwrap();
        let (hangup, hangups) = mpsc::channel(1);
        tokio::spawn(follow(Arc::clone(&world.edge), file.clone(), hangups));
        Self { file, hangup }
    }

    /// Replaces the file by renaming, as editors do.
    fn write(&self, text: &str) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }
}

/// The text of a file that publishes `apps` (name, internal URL) with `certificates` (files' stem).
fn file_text(apps: &[(&str, String)], certificates: &[&str]) -> String {
    let mut text = String::from("data_dir = \"edge\"\n[listen]\nhttps = \"127.0.0.1:1\"\nadmin = \"off\"\n");
    for stem in certificates {
        text += &format!("[[certificate]]\ncert = \"{stem}.crt\"\nkey = \"{stem}.key\"\n");
    }
    for (name, internal) in apps {
        for scheme in ["https", "http"] {
            let name = format!("{name}-{scheme}");
            let external = format!("{scheme}://{}.test/", name.trim_end_matches("-http").trim_end_matches("-https"));
            text +=
                &format!("[[app]]\nname = \"{name}\"\nexternal_url = \"{external}\"\ninternal_url = \"{internal}\"\n");
        }
    }
    text
}

async fn generation(world: &World) -> f64 {
    world.metric("lockgate_config_generation").await
}

async fn serves(world: &World, app: &str, text: &str) {
    let host = format!("{app}.test");
    until(&format!("{app} answers {text}"), async || get(world.http, &host, "/").await.text() == text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_followed() {
    let (one, two) = (fixed("one").await, fixed("two").await);
    let world = plan().app("shop", one.url()).start().await;
    let first = file_text(&[("shop", one.url())], &[]);
    let followed = Followed::start(&world, &first);
    // The watch begins in the background: what is asked for by a hangup is certainly read.
    followed.hangup.send(()).await.unwrap();
    until("the hangup is heard", async || generation(&world).await == 2.0).await;

    for text in [&first, &first] {
        std::fs::write(&followed.file, text).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(800)).await; // sleep: that nothing happens takes time to see
    assert_eq!(generation(&world).await, 2.0, "a touch is no change");

    followed.write(&file_text(&[("shop", two.url())], &[]));
    serves(&world, "shop", "two").await;
    assert_eq!(generation(&world).await, 3.0);

    followed.write("[[app]]\nname = \"shop\"\nextenal_url = \"x\"\n");
    let refused = "lockgate_config_reloads_total{result=\"refused\"}";
    until("the bad file is refused", async || world.metric(refused).await == 1.0).await;
    let said = status(&world).await["last_reload_error"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("lockgate.toml:3:1: app[0].extenal_url"), "{said}");
    assert_eq!(get(world.http, "shop.test", "/").await.text(), "two");

    followed.write(&first);
    serves(&world, "shop", "one").await;
    let faults = read(Path::new("/nowhere/lockgate.toml")).unwrap_err();
    assert!(faults[0].contains("/nowhere/lockgate.toml"), "{faults:?}");
}

/// Writes a self-signed certificate for `name`; gives its DER.
fn certificate(dir: &Path, stem: &str, name: &str) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(dir.join(format!("{stem}.key")), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join(format!("{stem}.crt")), made.cert.pem()).unwrap();
    made.cert.der().to_vec()
}

/// The certificate the edge shows for `name`.
async fn shown(world: &World, name: &str) -> Vec<u8> {
    let stream = within("a handshake", connect_tls(world.https, name, &["http/1.1"])).await.unwrap();
    stream.tls().and_then(|tls| tls.peer_certificates()).unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn o09_certificates_are_chosen_by_name_and_rotated_when_their_files_change() {
    let backend = fixed("ok").await;
    let world = plan().app("shop", backend.url()).app("wiki", backend.url()).start().await;
    let dir = world.dir.path();
    let (shop, wiki) = (certificate(dir, "shop", "shop.test"), certificate(dir, "wiki", "*.test"));
    let apps = [("shop", backend.url()), ("wiki", backend.url())];
    let followed = Followed::start(&world, &file_text(&apps, &["shop", "wiki"]));
    followed.hangup.send(()).await.unwrap();
    until("the file is read", async || generation(&world).await == 2.0).await;
    for (name, expected) in
        [("shop.test", &shop), ("wiki.test", &wiki), ("SHOP.test", &shop), ("nobody.example", &shop)]
    {
        assert_eq!(&shown(&world, name).await, expected, "{name}");
    }
    let mut open = crate::client::h1_tls(world.https, "shop.test").await;
    let rotated = certificate(dir, "shop", "shop.test");
    until("the new certificate is shown", async || shown(&world, "shop.test").await == rotated).await;
    assert_eq!(shown(&world, "wiki.test").await, wiki);
    open.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(open.answer("GET").await.unwrap().text(), "ok", "an open connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_hears_that_its_last_app_is_gone() {
    let backend = fixed("ok").await;
    let world = plan().app("shop", backend.url()).start().await;
    let elsewhere = plan().app_with("shop", backend.url(), |app| app.group = "other".into());
    assert_eq!(world.edge.reload(placed(&world, elsewhere)), Ok(2));
    until("the push is confirmed", async || world.edge.links().await[0].generation == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_of_a_group_without_apps_is_up_all_the_same() {
    let world = plan().start().await;
    assert_eq!(world.edge.links().await[0].generation, 1);
}
