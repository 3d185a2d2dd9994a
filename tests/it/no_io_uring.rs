//! A kernel or a container that forbids io_uring: noticed at start, told by a metric, served by epoll.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Output};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule};

use crate::cli::{Process, free_address};
use crate::client::get;
use crate::world::Scratch;

/// The numbers of io_uring_setup, io_uring_enter and io_uring_register, the same on every architecture.
const IO_URING: [i64; 3] = [425, 426, 427];
const EPERM: u32 = 1;

/// Runs `work` under the filter container runtimes have: io_uring fails with EPERM, all else passes.
/// A filter is for a thread and what it starts.
fn forbidden<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let rules: BTreeMap<i64, Vec<SeccompRule>> = IO_URING.map(|number| (number, Vec::new())).into();
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EPERM), architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    std::thread::scope(|scope| {
        let confined = scope.spawn(move || {
            seccompiler::apply_filter(&program).unwrap();
            work()
        });
        confined.join().unwrap()
    })
}

/// A run of the sample application, and where its metrics are.
fn up(io: &str, dir: &Scratch) -> (Vec<String>, [SocketAddr; 2]) {
    let [https, http, admin] = std::array::from_fn(|_| free_address());
    let data = dir.path().join("data").display().to_string();
    let mut arguments: Vec<String> =
        ["up", "--workers", "2", "--io", io, "--data-dir", &data].map(str::to_owned).into();
    for (flag, address) in [("--https", https), ("--http", http), ("--admin", admin)] {
        arguments.extend([flag.to_owned(), address.to_string()]);
    }
    (arguments, [http, admin])
}

fn workers(page: &str) -> Vec<&str> {
    page.lines().filter(|line| line.starts_with("lockgate_workers")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_without_io_uring_is_served_by_epoll() {
    let dir = Scratch::new();
    let (arguments, [http, admin]) = up("auto", &dir);
    let process = forbidden(|| Process::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    process.line("ready");
    assert_eq!(get(http, "app.localhost", "/").await.status, 200);
    let page = get(admin, "localhost", "/metrics").await.text();
    assert_eq!(workers(&page), ["lockgate_workers{io=\"epoll\"} 2", "lockgate_workers{io=\"uring\"} 0"]);
}

#[test]
fn who_asks_for_io_uring_and_cannot_have_it_is_told() {
    let dir = Scratch::new();
    let (arguments, _) = up("uring", &dir);
    let output: Output = forbidden(|| Command::new(env!("CARGO_BIN_EXE_lockgate")).args(arguments).output().unwrap());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("io_uring cannot be used here") && said.contains("auto"), "{said}");
}
