//! The harness's side of our own generator: starts it, looks at the clock when its window opens and
//! closes, reads what it found. Refuses a line it does not know.

use std::process::Stdio;
use std::time::Duration;

use super::{Found, real};
use crate::children::{LOAD_CORE, Nursery, Running};
use crate::generator::{Kind, Plan};

/// Opening 15,000 WebSockets through a slow contender takes seconds.
const OPENING_PATIENCE: Duration = Duration::from_secs(90);

/// Runs a plan; `begin` is called when the window opens, `end` when it has closed and everything is still open.
pub fn run(
    nursery: &Nursery,
    space: Option<&str>,
    plan: &Plan,
    begin: impl FnOnce(),
    end: impl FnOnce(),
) -> Result<Found, String> {
    let this = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let mut running = nursery.start_in(space, "generator", LOAD_CORE, &this, |command| {
        command.arg("generator").args(plan.arguments()).stdin(Stdio::piped());
    })?;
    let say = |error: String| format!("generator: {error}");
    running.line("begin", OPENING_PATIENCE).map_err(say)?;
    begin();
    let patience = Duration::from_millis(plan.measured_ms) + Duration::from_secs(30);
    let line = running.line("found ", patience).map_err(say)?;
    end();
    finish(running)?;
    found(&line, plan)
}

/// Lets go of everything that is open.
fn finish(mut running: Running) -> Result<(), String> {
    running.end_input();
    running.output().map(drop).map_err(|error| format!("generator: {error}"))
}

fn found(line: &str, plan: &Plan) -> Result<Found, String> {
    let number = |key: &str| -> Result<f64, String> {
        let value = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let value = value.and_then(|value| value.parse::<u64>().ok());
        value.map(real).ok_or_else(|| format!("the generator does not say {key}: {line}"))
    };
    let (errors, turns, resumed, bytes) = (number("errors")?, number("turns")?, number("resumed")?, number("bytes")?);
    let first = line.split_once(" error=").map_or("", |(_, error)| error);
    let void = if errors > 0.0 {
        Some(format!("{errors} failed, the first: {first}"))
    } else if turns + bytes < 1.0 && plan.kind != Kind::Idle {
        Some("nothing went by while it was measured".into())
    } else if plan.resumed && resumed < 0.99 * turns {
        Some(format!("{resumed} of {turns} sessions were taken up again"))
    } else {
        None
    };
    Ok(Found {
        turns,
        seconds: Duration::from_millis(plan.measured_ms).as_secs_f64(),
        body_bytes: bytes,
        p50: number("p50")?,
        p99: number("p99")?,
        p999: number("p999")?,
        void,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_new_sessions_make_a_run_void() {
        let plan = Plan::new(Kind::Http, std::net::SocketAddr::from(([127, 0, 0, 1], 80)));
        let line = "found turns=100 bytes=1000 errors=0 resumed=0 p50=8 p99=9 p999=10 max=11 error=";
        let good = found(line, &plan).expect("a line");
        assert_eq!((good.turns as u64, good.void), (100, None));
        let resuming = Plan { resumed: true, ..plan.clone() };
        assert!(found(line, &resuming).expect("a line").void.is_some());
        let void = found(&line.replace("errors=0", "errors=2").replace("error=", "error=reset by peer"), &plan);
        assert!(void.expect("a line").void.is_some_and(|reason| reason.contains("reset by peer")));
        assert!(found("found nothing", &plan).is_err());
    }
}
