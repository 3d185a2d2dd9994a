//! `lockgate status`: asks the admin port and prints what it says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::Failure;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The admin port of the edge or connector.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// Print the JSON as it is.
    #[arg(long)]
    json: bool,
}

/// The admin port answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let addr = arguments.admin;
    let text = ask(addr)?;
    if arguments.json {
        say_bare!("{text}");
        return Ok(());
    }
    let status: Value = serde_json::from_str(&text)?;
    if status["role"] == "connector" {
        print_connector(&status);
    } else {
        print_edge(&status);
    }
    Ok(())
}

/// What the admin port says of its process, as JSON.
pub(super) fn ask(addr: SocketAddr) -> Result<String, Failure> {
    request(addr).map_err(|error| {
        Failure::Failed(format!(
            "the admin port {addr} does not answer ({error}); is it running, and is --admin right?"
        ))
    })
}

/// One request to our own admin port, which answers HTTP/1.0 with a plain body and closes.
fn request(addr: SocketAddr) -> std::io::Result<String> {
    let mut tcp = TcpStream::connect_timeout(&addr, PATIENCE)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    write!(tcp, "GET /status HTTP/1.0\r\nhost: {addr}\r\n\r\n")?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200") => {
            Ok(body.to_owned())
        }
        _ => Err(std::io::Error::other("it answers something else")),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn print_edge(status: &Value) {
    say!("edge {}, configuration generation {}", text(&status["version"]), status["generation"]);
    if let Some(error) = status["last_reload_error"].as_str() {
        say!("last reload refused: {error}");
    }
    say!("\n{:<20} {:<40} {:<36} GROUP", "APP", "EXTERNAL", "INTERNAL");
    for app in list(&status["apps"]) {
        let [name, external, internal, group] =
            ["app", "external_url", "internal_url", "group"].map(|key| text(&app[key]));
        let note = if app["maintenance"] == true { " (maintenance)" } else { "" };
        say!("{name:<20} {external:<40} {internal:<36} {group}{note}");
    }
    say!("\n{:<20} {:<16} {:<16} {:<10} LINKS", "CONNECTOR", "NAME", "GROUP", "STATE");
    for connector in list(&status["connectors"]) {
        let [id, name, group, state] = ["connector", "name", "group", "state"].map(|key| text(&connector[key]));
        let links: Vec<String> = list(&connector["links"])
            .iter()
            .map(|link| {
                let rtt = link["rtt_ms"].as_f64().map(|rtt| format!(" {rtt:.1} ms")).unwrap_or_default();
                format!("{}:{}{rtt}, {} streams", link["slot"], text(&link["state"]), link["streams"])
            })
            .collect();
        say!("{id:<20} {name:<16} {group:<16} {state:<10} {}", links.join(" · "));
    }
    print_filters(list(&status["filters"]));
    for group in list(&status["groups"]) {
        if group["served"] == false {
            say!("\ngroup {} has no connector: its apps answer connector-unavailable", text(&group["group"]));
        }
    }
}

fn print_filters(filters: &[Value]) {
    if filters.is_empty() {
        return;
    }
    say!(
        "\n{:<20} {:<4} {:<13} {:<6} {:<12} {:<5} {:<9} {:<18} APPS",
        "FILTER",
        "GEN",
        "MODULE",
        "ABI",
        "STATE",
        "VMS",
        "MEMORY",
        "BODIES"
    );
    for filter in filters {
        let [name, hash, abi, state] = ["filter", "hash", "abi", "state"].map(|key| text(&filter[key]));
        let module =
            format!("{}{}", hash.get(..12).unwrap_or(&hash), if filter["uploaded"] == true { "*" } else { "" });
        let memory = format!("{} KiB", filter["memory_bytes"].as_i64().unwrap_or_default() >> 10);
        let bodies = format!("{}/{}", text(&filter["request_body"]), text(&filter["response_body"]));
        let apps: Vec<String> = list(&filter["apps"]).iter().map(text).collect();
        let (generation, instances) = (text(&filter["generation"]), text(&filter["instances"]));
        let open = if filter["fail_open"] == true { " (fails open)" } else { "" };
        let apps = apps.join(", ");
        say!(
            "{name:<20} {generation:<4} {module:<13} {abi:<6} {state:<12} {instances:<5} {memory:<9} {bodies:<18} {apps}{open}"
        );
        if let Some(error) = filter["last_error"].as_str() {
            say!("  last error: {}", error.lines().next().unwrap_or_default());
        }
    }
    if filters.iter().any(|filter| filter["uploaded"] == true) {
        say!("* uploaded: until the next restart or reload");
    }
}

fn print_connector(status: &Value) {
    let proven = if status["proven"] == true { "serving" } else { "not serving" };
    say!("connector {} of {}: {proven}", text(&status["connector"]), text(&status["edge"]));
    for link in list(&status["links"]) {
        let error = link["last_error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
        say!("  link {}: {}{error}", link["slot"], text(&link["state"]));
    }
}
