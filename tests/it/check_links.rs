//! `lockgate check links` against a real edge with link translation: a planted leak is found with its place, a
//! clean app passes, and nothing outside of the app is asked for.

use lockgate::config::AppSettings;
use serde_json::Value;
use tokio::process::Command;

use crate::backend::Backend;
use crate::world::{World, plan, within};

/// Pages that name their own internal address in places that are translated, that are shown, and in a script.
async fn site() -> Backend {
    Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let own = format!("http://{}", request.field("host").concat());
            let target = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (kind, body) = match target.as_str() {
                "/" => (
                    "text/html",
                    format!(
                        "<link rel=stylesheet href={own}/s.css><a href='{own}/next'>go</a>\n\
                         <p title='{own}'>we live at {own}/</p><a href='http://other.test/x'>out</a>"
                    ),
                ),
                "/next" => ("text/html", format!("<a href=\"{}/deep\">", own.replace("//", "&#47;&#x2F;"))),
                "/deep" => ("text/html", format!("<p>\n<script>let api = '{own}/api';</script>")),
                "/s.css" => ("text/css", format!("a{{background:url({own}/a.png)}}")),
                "/a.png" => ("image/png", "no text".to_owned()),
                _ => ("text/plain", format!("{target} was never linked")),
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
            conn.send(&[head.as_bytes(), body.as_bytes()].concat()).await;
        }
    })
    .await
}

async fn world(backend: &Backend, set: impl Fn(&mut AppSettings)) -> World {
    let translated = |app: &mut AppSettings| {
        app.translate_urls_in_body = true;
        set(app);
    };
    plan().app_with("wiki", backend.url(), translated).start().await
}

/// Runs the command against the world's edge; gives its exit code and what it printed.
async fn check(world: &World, backend: &Backend, more: &[&str]) -> (Option<i32>, Value) {
    let output = run(world, backend, more).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code(), json)
}

async fn run(world: &World, backend: &Backend, more: &[&str]) -> std::process::Output {
    let file = world.dir.path().join("lockgate.toml");
    let config = format!(
        "data_dir = {:?}\n[[app]]\nname = \"wiki\"\nexternal_url = \"https://wiki.test/\"\ninternal_url = {:?}\n",
        world.config.data_dir,
        backend.url()
    );
    std::fs::write(&file, config).unwrap();
    let connect = world.https.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["check", "links", "--json", "--app", "wiki", "--config"])
        .arg(&file)
        .args(if more.contains(&"--connect") { vec![] } else { vec!["--connect", &connect] })
        .args(more)
        .output();
    within("the walk", output).await.unwrap()
}

#[tokio::test]
async fn a_planted_leak_is_found_with_its_place() {
    let backend = site().await;
    let world = world(&backend, |_| {}).await;
    let (code, seen) = check(&world, &backend, &[]).await;
    assert_eq!(code, Some(1), "{seen}");
    let left = seen["left"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{seen}");
    assert_eq!(left[0]["url"], "https://wiki.test/deep");
    assert_eq!(left[0]["place"], "script string");
    assert_eq!(left[0]["address"], format!("{}api", backend.url()));
    assert_eq!((&left[0]["line"], &left[0]["column"], &left[0]["byte"]), (&2.into(), &20.into(), &23.into()));
    // The edge's own certificate was accepted; all five URLs of the app were read, the text in one of them is harmless.
    assert_eq!((&seen["pages"], &seen["unread"]), (&5.into(), &Value::Array(Vec::new())));
    let shown: Vec<&str> = seen["harmless"].as_array().unwrap().iter().flat_map(|one| one["place"].as_str()).collect();
    assert_eq!(shown, ["attribute p@title", "text of p"]);
}

#[tokio::test]
async fn a_clean_app_passes() {
    let backend = site().await;
    let world = world(&backend, |app| app.translate_urls_in_scripts = true).await;
    let (code, seen) = check(&world, &backend, &[]).await;
    assert_eq!((code, &seen["left"], &seen["pages"]), (Some(0), &Value::Array(Vec::new()), &5.into()), "{seen}");
}

#[tokio::test]
async fn without_translation_everything_shows() {
    let backend = site().await;
    let world = world(&backend, |app| app.translate_urls_in_body = false).await;
    let (code, seen) = check(&world, &backend, &[]).await;
    let places: Vec<&str> = seen["left"].as_array().unwrap().iter().flat_map(|one| one["place"].as_str()).collect();
    assert_eq!((code, places), (Some(1), vec!["attribute link@href", "attribute a@href"]), "{seen}");
}

#[tokio::test]
async fn depth_and_pages_are_bounded_and_told() {
    let backend = site().await;
    let world = world(&backend, |_| {}).await;
    let (code, seen) = check(&world, &backend, &["--depth", "1"]).await;
    assert_eq!((code, &seen["pages"], &seen["too_deep"]), (Some(0), &3.into(), &2.into()), "{seen}");
    let (_, seen) = check(&world, &backend, &["--max-pages", "2"]).await;
    assert_eq!((&seen["pages"], &seen["not_asked_for"]), (&2.into(), &2.into()), "{seen}");
    let (_, seen) = check(&world, &backend, &["--skip", "/next", "--from", "https://wiki.test/s.css"]).await;
    assert_eq!(seen["pages"], 2, "{seen}");
}

#[tokio::test]
async fn a_walk_that_cannot_begin_says_why() {
    let backend = site().await;
    let world = world(&backend, |_| {}).await;
    // The http port answers no TLS.
    let http = world.http.to_string();
    for (more, said) in [
        (&["--connect", http.as_str()][..], "TLS with"),
        (&["--from", "https://other.test/"], "is not inside https://wiki.test/"),
        (&["--header", "nonsense"], "write NAME: VALUE"),
    ] {
        let output = run(&world, &backend, more).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(said), "{more:?}: {error}");
        assert!(output.stdout.is_empty(), "{more:?}");
    }
}
