//! The WASI functions SDKs and language runtimes call, with good and bad arguments; they answer alike in every
//! phase, so they are called once, at start.

use crate::host::{FAR, Out, wasi, wasi_old};
use crate::line;

/// Calls them and logs the errno.
pub fn all(phase: &str) {
    let log = |call: &str, errno: u32| line::write(&format!("{phase} wasi {call} -> errno {errno}"));
    let numbers = |call: &str, errno: u32, out: &Out| {
        line::write(&format!("{phase} wasi {call} -> errno {errno} {} {}", out.number(), out.second()));
    };
    let text = b"PROBE line on standard output\n";
    for fd in [1, 3] {
        let (vector, written) = ([text.as_ptr() as usize, text.len()], Out::new());
        let errno = wasi::fd_write(fd, vector.as_ptr() as usize, 1, written.at());
        line::write(&format!("{phase} wasi fd_write({fd}) -> errno {errno} {}", written.number()));
    }
    log("fd_write(1,far)", wasi::fd_write(1, FAR, 1, FAR));
    log("fd_close(1)", wasi::fd_close(1));
    log("fd_close(9)", wasi::fd_close(9));
    let stat = [0x55u8; 24];
    log("fd_fdstat_get(1)", wasi::fd_fdstat_get(1, stat.as_ptr() as usize));
    line::write(&format!("{phase} wasi fdstat {}", line::quoted(std::hint::black_box(&stat))));
    log("fd_fdstat_get(9)", wasi::fd_fdstat_get(9, stat.as_ptr() as usize));
    log("fd_prestat_get(3)", wasi::fd_prestat_get(3, stat.as_ptr() as usize));
    let (path, opened) = (b"etc/passwd", Out::new());
    log("path_open()", wasi::path_open(3, 0, path.as_ptr() as usize, path.len(), 0, 0, 0, 0, opened.at()));
    let out = Out::new();
    let errno = wasi::environ_sizes_get(out.at(), out.at_second());
    numbers("environ_sizes_get()", errno, &out);
    let out = Out::new();
    let errno = wasi::args_sizes_get(out.at(), out.at_second());
    numbers("args_sizes_get()", errno, &out);
    for clock in 0..=3 {
        let out = Out::new();
        log(&format!("clock_time_get({clock})"), wasi::clock_time_get(clock, 0, out.at()));
        line::write(&format!("{phase} wasi clock {clock} written: {}", out.number() != crate::host::UNWRITTEN));
    }
    log("clock_time_get(0,far)", wasi::clock_time_get(0, 0, FAR));
    log("old clock_time_get(0)", wasi_old::clock_time_get(0, 0, Out::new().at()));
    let mut bytes = vec![0u8; 70_000];
    log("random_get(16)", wasi::random_get(bytes.as_mut_ptr() as usize, 16));
    line::write(&format!("{phase} wasi random bytes written: {}", bytes.iter().take(16).any(|byte| *byte != 0)));
    log("random_get(65536)", wasi::random_get(bytes.as_mut_ptr() as usize, 65536));
    log("random_get(65537)", wasi::random_get(bytes.as_mut_ptr() as usize, 65537));
    log("random_get(0)", wasi::random_get(bytes.as_mut_ptr() as usize, 0));
    log("random_get(far)", wasi::random_get(FAR, 16));
    log("sched_yield()", wasi::sched_yield());
    let out = Out::new();
    let subscriptions = [0u64; 6];
    let errno = wasi::poll_oneoff(subscriptions.as_ptr() as usize, subscriptions.as_ptr() as usize, 1, out.at());
    line::write(&format!("{phase} wasi poll_oneoff() -> errno {errno} {}", out.number()));
}
