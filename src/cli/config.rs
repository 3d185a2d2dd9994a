//! `lockgate config`: check a file, print an example, print the reference.

use std::path::PathBuf;

use super::Failure;
use crate::config::{example_connector, example_edge, parse_connector, parse_edge, reference_markdown};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Check a configuration file; says everything that is wrong with it, with line and column.
    Check(Check),
    /// Print a commented configuration file with every setting and its default.
    Example(Which),
    /// Print the configuration reference as Markdown.
    Reference,
}

#[derive(clap::Args)]
pub(super) struct Check {
    /// The file.
    file: PathBuf,
    /// It is a connector's file.
    #[arg(long)]
    connector: bool,
}

#[derive(clap::Args)]
pub(super) struct Which {
    /// Whose file.
    #[arg(default_value = "edge", value_parser = ["edge", "connector"])]
    role: String,
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Check(Check { file, connector }) => {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| Failure::Refused(vec![format!("{}: {error}", file.display())]))?;
            let checked = if connector {
                parse_connector(&file, &text).map(|_| "a connector".to_owned())
            } else {
                parse_edge(&file, &text).map(|config| {
                    format!(
                        "an edge with {} {}",
                        config.apps.len(),
                        if config.apps.len() == 1 { "app" } else { "apps" }
                    )
                })
            };
            let what = checked.map_err(|faults| Failure::Refused(faults.iter().map(ToString::to_string).collect()))?;
            say!("{}: good, {what}", file.display());
        }
        Command::Example(Which { role }) if role == "connector" => say_bare!("{}", example_connector()),
        Command::Example(_) => say_bare!("{}", example_edge()),
        Command::Reference => say_bare!("{}", reference_markdown()),
    }
    Ok(())
}
