//! `lockgate check`: looks at what is published from where its users are.
//!
//! ```text
//!   configuration ─▶ Known addresses ────────────────┐
//!   start URL ─▶ Crawl ─▶ Client ─▶ page ─▶ Layout ──┴▶ scan ─▶ Finding ─▶ shown
//!                  ▲                          └ links ┐
//!                  └──────────────────────────────────┘
//! ```
//!
//! It shares no parser with link translation: what that one does not see, this one has to find. It
//! refuses to leave the app, to send anything but GET, and to run scripts.

mod client;
mod crawl;
mod follow;
mod known;
mod layout;
mod links;
mod place;
mod scan;
mod show;
mod written;

use super::Failure;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Walk a published app from outside and list every internal address that still shows.
    Links(links::Arguments),
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Links(arguments) => links::run(&arguments),
    }
}
