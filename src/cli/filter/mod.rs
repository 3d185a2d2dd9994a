//! `lockgate filter`: begin a filter, look at it, run it, test it, measure it, in the host the proxy uses.
//!
//! ```text
//!   module, configuration ─▶ Subject ─▶ Trial (Library, Host, Chain) ─▶ Outcome, Events ─▶ shown
//! ```
//!
//! No network is used: the backend's response is a file, and so is that of every upstream.

mod bench;
mod chunks;
mod cost;
pub mod dev;
mod envoy;
mod inspect;
mod message;
pub mod new;
mod run;
mod scripted;
mod sections;
mod show;
mod subject;
mod test;
mod trial;
mod watch;
mod wire;

use super::Failure;

const BEGIN: &str = "\
Begin:
  lockgate filter new my-filter --lang rust --kind headers
  lockgate filter inspect my_filter.wasm
  lockgate filter run my_filter.wasm --request request.http --trace
  lockgate filter test .

request.http is a message as HTTP/1.1 writes it:
  GET /path HTTP/1.1
  Host: app.example
  X-User: alice

filter.toml beside the module (or beside the `target` directory it was
built into) says which bodies the filter sees and what it asks for;
--settings says what the operator grants. In place of a file,
builtin:NAME is a filter that comes with Lockgate.";

#[derive(clap::Subcommand)]
#[command(after_help = BEGIN)]
pub(super) enum Command {
    /// Begin a filter: a project that builds with one command.
    New(new::Arguments),
    /// Build a filter whenever its source changes, and put it into a running `up`.
    Dev(dev::Arguments),
    /// Say what a module is, what it needs, and whether it starts.
    Inspect(inspect::Arguments),
    /// Pass one request and one response through a filter; print what it changes.
    Run(run::Arguments),
    /// Run the cases of YAML files, each under every chunking, and the checks that every filter must stand.
    Test(test::Arguments),
    /// Measure what a filter costs.
    Bench(bench::Arguments),
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::New(arguments) => new::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}
