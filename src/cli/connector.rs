//! `lockgate connector`: enrols with a join token if asked to, then serves.

use std::path::PathBuf;
use std::sync::Arc;

use super::Failure;
use super::role::{self, Asked, Signals, say_ready};
use crate::app::connector::Connector;
use crate::config::{ConnectorConfig, Destination, IoDriver, parse_connector};
use crate::connector::Credentials;
use crate::connector::join::{self, JoinError};
use crate::metrics::Metrics;
use crate::tunnel::dial::DialError;
use crate::tunnel::token::{JoinToken, hex};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Enrol with this token first; `lockgate token create` on the edge makes one. Needed once.
    #[arg(long, value_name = "TOKEN", env = "LOCKGATE_JOIN", hide_env_values = true)]
    join: Option<String>,
    /// The name this connector is shown by; default: the token's name, else this machine's.
    #[arg(long, value_name = "NAME", requires = "join")]
    name: Option<String>,
    /// The configuration file, if any; `lockgate config example connector` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What it may dial, for example 127.0.0.1:3000, 10.0.0.0/8 or *.corp; again for more. Added to the file's allow. Without
    /// any, every address but loopback, link-local and the like.
    #[arg(long, value_name = "PLACE")]
    allow: Vec<Destination>,
    /// Where metrics, health and status are; overrides the file's admin, which is off by default.
    #[arg(long, value_name = "ADDR")]
    admin: Option<std::net::SocketAddr>,
    /// Where the credentials are kept; overrides the file's data_dir.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How the kernel is asked to read and write: auto, epoll or uring; overrides the file's io.
    #[arg(long, value_name = "DRIVER", env = "LOCKGATE_IO", value_parser = IoDriver::named)]
    io: Option<IoDriver>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = read_config(&arguments)?;
    let office = role::begin(&config.log)?;
    let token = arguments.join.as_deref().map(JoinToken::decode).transpose()?;
    let credentials = office.block_on(credentials(&config, token, arguments.name))?;
    let (workers, joiner) = role::workers(config.workers, arguments.io.unwrap_or(config.io))?;
    let metrics = Arc::new(Metrics::new()?);
    let grace = config.grace_period;
    let outcome = office.block_on(async {
        let mut signals = Signals::listen()?;
        let edge = credentials.edge.clone();
        let mut connector = Connector::start(office.handle(), &workers, &config, credentials, metrics).await?;
        let status = connector.status().clone();
        tokio::spawn(async move {
            while !status.is_proven() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            say_ready(&format!("connector serving through {edge}"));
        });
        loop {
            tokio::select! {
                reason = connector.refused() => return Err(Failure::Unwelcome(reason)),
                asked = signals.next() => if asked == Asked::Stop { break },
            }
        }
        signals.drain("connector", grace, connector.stop(grace)).await;
        Ok(())
    });
    drop(workers);
    joiner.join();
    outcome
}

fn read_config(arguments: &Arguments) -> Result<ConnectorConfig, Failure> {
    let mut config = match &arguments.config {
        None => ConnectorConfig::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::Refused(vec![format!("{}: {error}", file.display())]))?;
            parse_connector(file, &text)
                .map_err(|faults| Failure::Refused(faults.iter().map(ToString::to_string).collect()))?
        }
    };
    config.dial.allow.extend(arguments.allow.iter().cloned());
    config.admin = arguments.admin.or(config.admin);
    if let Some(dir) = &arguments.data_dir {
        config.data_dir.clone_from(dir);
    }
    Ok(config)
}

fn unwelcome(error: JoinError) -> Failure {
    match error {
        JoinError::Edge(DialError::Refused(refusal)) if !refusal.temporary => {
            Failure::Unwelcome(format!("{} [{}]", refusal.reason, refusal.code))
        }
        error => Failure::Failed(error.to_string()),
    }
}

/// The credentials on disk. A token is used only when there are none, so that a service may be
/// restarted with the same arguments.
async fn credentials(
    config: &ConnectorConfig,
    token: Option<JoinToken>,
    name: Option<String>,
) -> Result<Credentials, Failure> {
    let dir = config.data_dir.display();
    match (Credentials::load(&config.data_dir)?, token) {
        (Some(credentials), None) => Ok(credentials),
        (Some(credentials), Some(token)) if credentials.token == hex(&token.id) => {
            tracing::info!(connector = credentials.connector, "enrolled already; the join token is not used");
            Ok(credentials)
        }
        (Some(credentials), Some(token)) if credentials.edge != token.edge => Err(Failure::Failed(format!(
            "{dir} holds the credentials of another edge ({}); to join {} choose another --data-dir or remove that one",
            credentials.edge, token.edge
        ))),
        // A new token for the same edge: the old credentials were revoked or lost their welcome.
        (_, Some(token)) => {
            let credentials = join::join(&token, name, &config.data_dir).await.map_err(unwelcome)?;
            tracing::info!(connector = credentials.connector, edge = credentials.edge, "enrolled");
            Ok(credentials)
        }
        (None, None) => Err(Failure::Failed(format!(
            "no credentials in {dir}; create a token on the edge (lockgate token create --group default) and start with --join TOKEN"
        ))),
    }
}
