//! `lockgate connectors`: who has enrolled, and ending a connector's welcome.

use super::Failure;
use super::token::{Of, block_on, open};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List enrolled connectors. `lockgate status` shows their links.
    List(Of),
    /// Revoke a connector: its links are cut within seconds, and it is never admitted again.
    Revoke(Revoke),
}

#[derive(clap::Args)]
pub(super) struct Revoke {
    /// The connector's id, as `list` shows it.
    connector: String,
    #[command(flatten)]
    of: Of,
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    block_on(async {
        match command {
            Command::List(of) => {
                let (_, store) = open(&of).await?;
                say!("{:<20} {:<20} {:<16} {:<20} STATE", "CONNECTOR", "NAME", "GROUP", "HOST");
                for known in store.connectors().await? {
                    let state = if known.revoked_at.is_some() { "revoked" } else { "welcome" };
                    say!("{:<20} {:<20} {:<16} {:<20} {state}", known.id, known.name, known.group, known.host);
                }
                Ok(())
            }
            Command::Revoke(Revoke { connector, of }) => {
                let (_, store) = open(&of).await?;
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                store.revoke(&connector, i64::try_from(now.as_secs()).unwrap_or(i64::MAX)).await?;
                eprintln!("revoked {connector}; a running edge cuts its links within seconds");
                Ok(())
            }
        }
    })
}
