//! `lockgate token`: join tokens, in the store beside a running edge or before it first starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Failure;
use crate::app::{edge, reload};
use crate::config::EdgeConfig;
use crate::control::ca::Authority;
use crate::control::store::Store;
use crate::tunnel::token::{hex, id_from_hex};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a token that lets one connector join a group, once.
    Create(Create),
    /// List tokens: which are open, used or over.
    List(Of),
    /// Delete a token that was not used.
    Delete(Delete),
}

/// Which edge.
#[derive(clap::Args)]
pub(super) struct Of {
    /// The edge's configuration file.
    #[arg(long, value_name = "FILE", default_value = "lockgate.toml")]
    pub(super) config: PathBuf,
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// The group the connector will serve.
    #[arg(long, value_name = "GROUP", default_value = "default")]
    group: String,
    /// What the connector is called, unless it says otherwise.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How long the token may be used, in hours.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=8760))]
    hours: u16,
    #[command(flatten)]
    of: Of,
}

#[derive(clap::Args)]
pub(super) struct Delete {
    /// The token's id, as `list` shows it.
    id: String,
    #[command(flatten)]
    of: Of,
}

/// Opens an edge's store.
pub(super) async fn open(of: &Of) -> Result<(EdgeConfig, Store), Failure> {
    let config = reload::read(&of.config).map_err(Failure::Refused)?;
    crate::tunnel::durable::private_directory(&config.data_dir)?;
    let store = Store::open(&config.data_dir).await?;
    Ok((config, store))
}

/// Runs a command that only needs the store.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    block_on(async {
        match command {
            Command::Create(create) => create.run().await,
            Command::List(of) => list(&of).await,
            Command::Delete(Delete { id, of }) => {
                let (_, store) = open(&of).await?;
                let Some(parsed) = id_from_hex(&id) else {
                    return Err(Failure::Failed(format!("{id} is no token id; `lockgate token list` shows them")));
                };
                store.delete_token(&parsed).await?;
                eprintln!("deleted {id}");
                Ok(())
            }
        }
    })
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let (config, store) = open(&self.of).await?;
        let authority = Authority::open_or_create(Path::new(&config.data_dir))?;
        let validity = Duration::from_secs(u64::from(self.hours) * 3600);
        let token = edge::token(&store, &authority, &config, &self.group, self.name.as_deref(), validity).await?;
        say!("{}", token.encode());
        eprintln!(
            "id {}, good once within {} h for the group {}; on the connector's machine:\n  lockgate connector --join TOKEN --data-dir DIR",
            hex(&token.id),
            self.hours,
            self.group
        );
        if config.public_address.is_none() {
            eprintln!("it names {}; set public_address if connectors dial another address", token.edge);
        }
        Ok(())
    }
}

async fn list(of: &Of) -> Result<(), Failure> {
    let (_, store) = open(of).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    say!("{:<18} {:<20} {:<20} STATE", "ID", "GROUP", "NAME");
    for token in store.list_tokens().await? {
        let state = match (&token.used_at, &token.used_by) {
            (Some(_), Some(by)) => format!("used by {by}"),
            (Some(_), None) => "used by a connector that was removed".into(),
            (None, _) if u64::try_from(token.expires_at).unwrap_or_default() <= now => "over".into(),
            (None, _) => {
                let left = u64::try_from(token.expires_at).unwrap_or_default().saturating_sub(now);
                format!("open for {} h {} min", left / 3600, left % 3600 / 60)
            }
        };
        say!("{:<18} {:<20} {:<20} {state}", hex(&token.id), token.group, token.name.as_deref().unwrap_or("-"));
    }
    Ok(())
}
