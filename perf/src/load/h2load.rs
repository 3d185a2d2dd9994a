//! One run of h2load: HTTP/2 over TLS, many streams on one connection. Latencies come from its log, a
//! line for each request; it refuses to answer for a fixed rate, which h2load counts from the sending.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Found, real};
use crate::children::{LOAD_CORE, Nursery, Running};
use crate::peers::TLS_HOST;

/// Starts it: one connection, so many streams, so many seconds.
pub fn start(
    nursery: &Nursery,
    program: &std::path::Path,
    address: SocketAddr,
    streams: usize,
    seconds: u64,
) -> Result<Running, String> {
    let log = log(nursery);
    let _ = std::fs::remove_file(&log);
    nursery.start("h2load", LOAD_CORE, program, |command| {
        command.args(["-t1", "-c1", "-m", &streams.to_string(), "-D", &seconds.to_string()]);
        command.arg("--log-file").arg(log).arg(format!("--connect-to={address}"));
        command.arg(format!("https://{TLS_HOST}:{}/", address.port()));
    })
}

fn log(nursery: &Nursery) -> PathBuf {
    nursery.path("h2load-requests.tsv")
}

/// Waits for its end.
pub fn finish(nursery: &Nursery, running: Running, seconds: u64) -> Result<Found, String> {
    let output = running.output().map_err(|error| format!("h2load: {error}"))?;
    let lines = std::fs::read_to_string(log(nursery)).map_err(|error| format!("h2load's log: {error}"))?;
    found(&output, &lines, seconds)
}

fn found(output: &str, log: &str, seconds: u64) -> Result<Found, String> {
    let line = output.lines().find(|line| line.starts_with("requests: "));
    let line = line.ok_or_else(|| format!("h2load said nothing that can be read: {output}"))?;
    // requests: 10 total, 12 started, 10 done, 10 succeeded, 0 failed, 0 errored, 0 timeout
    let count = |what: &str| -> Result<u64, String> {
        let part = line.trim_start_matches("requests: ").split(", ").find_map(|part| part.strip_suffix(what));
        part.and_then(|part| part.trim().parse().ok()).ok_or_else(|| format!("h2load did not say{what}: {line}"))
    };
    let (done, failed) = (count(" succeeded")?, count(" failed")? + count(" errored")? + count(" timeout")?);
    // When it began, the status, how long it took: microseconds, separated by tabs.
    let rows = log.lines().filter_map(|line| line.split('\t').nth(2)?.parse::<u64>().ok());
    let mut latencies: Vec<u64> = rows.collect();
    latencies.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is a length")]
    let at = |share: f64| latencies.get((share * real(latencies.len() as u64)) as usize).copied().map_or(0.0, real);
    let void = match (done, failed) {
        (_, 1..) => Some(format!("{failed} requests failed")),
        (0, _) => Some("no request finished".into()),
        _ => None,
    };
    let seconds = real(seconds);
    Ok(Found { turns: real(done), seconds, p50: at(0.5), p99: at(0.99), p999: at(0.999), void, ..Found::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_output_and_log_are_read() {
        let output = "requests: 10 total, 12 started, 10 done, 9 succeeded, 0 failed, 0 errored, 0 timeout\n";
        let log = "1\t200\t30\n2\t200\t10\n3\t200\t20\n";
        let good = found(output, log, 2).expect("it can be read");
        assert_eq!((good.turns as u64, good.p50 as u64, good.p99 as u64, good.void), (9, 20, 30, None));
        assert!(found(&output.replace("0 errored", "1 errored"), log, 2).expect("it can be read").void.is_some());
        assert!(found("connect failed", log, 2).is_err());
    }
}
