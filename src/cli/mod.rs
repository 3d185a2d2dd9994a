//! The commands: what a person types, and what they read back.
//!
//! Exit codes: 0 ended as asked · 1 could not start, failed, or a check found something · 2 wrong arguments · 3 a
//! configuration was refused · 4 the edge refused the connector for good. Results go to standard
//! output, everything else to standard error.

/// Prints a line; a reader that has gone away (`| head`) is no reason to panic, nor to stop a role.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::print(format!($($text)*) + "\n") };
}

/// The same without the end of the line.
macro_rules! say_bare {
    ($($text:tt)*) => { $crate::cli::print(format!($($text)*)) };
}

mod check;
mod config;
mod connector;
mod connectors;
mod edge;
mod filter;
mod role;
mod status;
mod token;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How a command failed.
enum Failure {
    /// It could not start, or failed later.
    Failed(String),
    /// A configuration was refused: every fault, a line each.
    Refused(Vec<String>),
    /// The edge refused the connector for good.
    Unwelcome(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Publishes private web applications through outbound-only connectors.
///
/// A connector runs beside the applications and only dials out; a public edge serves them to the
/// outside. Begin with `lockgate up http://localhost:3000`.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  ended as asked
  1  could not start, failed, or a check found something
  2  wrong arguments
  3  a configuration was refused
  4  the edge refused the connector for good (join again)";

#[derive(Subcommand)]
enum Command {
    /// Publish one application at once: edge and connector in one process.
    Up(up::Arguments),
    /// Run the public edge.
    Edge(edge::Arguments),
    /// Run a connector beside the applications; with --join, enrol it first.
    Connector(connector::Arguments),
    /// Make, list and delete the join tokens that connectors enrol with (on the edge's machine).
    #[command(subcommand)]
    Token(token::Command),
    /// List and revoke enrolled connectors (on the edge's machine).
    #[command(subcommand)]
    Connectors(connectors::Command),
    /// Begin a filter, look at it, run it, test it, measure it.
    #[command(subcommand)]
    Filter(filter::Command),
    /// Look at a published application from outside: which internal addresses still show?
    #[command(subcommand)]
    Check(check::Command),
    /// Check a configuration file, or print an example.
    #[command(subcommand)]
    Config(config::Command),
    /// Ask a running edge or connector how it stands.
    Status(status::Arguments),
}

/// Writes to standard output.
fn print(text: String) {
    use std::io::Write;
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// Runs the command named by the process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Up(arguments) => up::run(arguments),
        Command::Edge(arguments) => edge::run(arguments),
        Command::Connector(arguments) => connector::run(arguments),
        Command::Token(command) => token::run(command),
        Command::Connectors(command) => connectors::run(command),
        Command::Filter(command) => filter::run(command),
        Command::Check(command) => check::run(command),
        Command::Config(command) => config::run(command),
        Command::Status(arguments) => status::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(reason)) => {
            eprintln!("lockgate: {reason}");
            ExitCode::from(1)
        }
        Err(Failure::Refused(faults)) => {
            for fault in &faults {
                eprintln!("{fault}");
            }
            let count = faults.len();
            eprintln!("lockgate: configuration refused ({count} {})", if count == 1 { "fault" } else { "faults" });
            ExitCode::from(3)
        }
        Err(Failure::Unwelcome(reason)) => {
            eprintln!("lockgate: the edge refused this connector: {reason}");
            ExitCode::from(4)
        }
    }
}
