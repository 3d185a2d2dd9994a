//! What was asked on the command line; refuses what it does not know instead of guessing.

use std::path::{Path, PathBuf};

/// What stands behind the contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// This binary, a blocking thread per connection.
    Own,
    /// nginx with `return 200`, one worker: one event loop, so that sending to it seldom has to wake it.
    Nginx,
}

impl Backend {
    fn parse(name: &str) -> Result<Self, String> {
        match name {
            "own" => Ok(Self::Own),
            "nginx" => Ok(Self::Nginx),
            other => Err(format!("--backend {other}: own or nginx")),
        }
    }
}

/// The asked-for run.
#[derive(Debug)]
pub struct Options {
    pub seconds: u64,
    pub pairs: usize,
    pub connections: usize,
    pub null: bool,
    pub backend: Backend,
    pub hold: bool,
    /// How often a filter is replaced.
    pub reloads: usize,
    /// Names of contenders; empty means all.
    pub only: Vec<String>,
    pub json: Option<PathBuf>,
    pub markdown: Option<PathBuf>,
    /// `None`: not found, so not run.
    pub lockgate: Option<PathBuf>,
    pub nginx: Option<PathBuf>,
    pub rathole: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments after the scenario's name and looks for the programs not named there.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            seconds: 5,
            pairs: 5,
            connections: 64,
            null: false,
            backend: Backend::Own,
            hold: false,
            reloads: 1000,
            only: Vec::new(),
            json: None,
            markdown: None,
            lockgate: beside_this_binary("lockgate").or_else(|| on_path("lockgate")),
            nginx: on_path("nginx"),
            rathole: on_path("rathole"),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().map(String::as_str).ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--seconds" => options.seconds = number(argument, value()?, 1..=3600)?,
                "--pairs" => options.pairs = number(argument, value()?, 1..=1000)?,
                "--connections" => options.connections = number(argument, value()?, 1..=10_000)?,
                "--null" => options.null = true,
                "--backend" => options.backend = Backend::parse(value()?)?,
                "--hold" => options.hold = true,
                "--reloads" => options.reloads = number(argument, value()?, 1..=1_000_000)?,
                "--quick" => (options.seconds, options.pairs, options.reloads) = (2, 1, 50),
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--json" => options.json = Some(value()?.into()),
                "--markdown" => options.markdown = Some(value()?.into()),
                "--lockgate" => options.lockgate = Some(program(value()?)?),
                "--nginx" => options.nginx = Some(program(value()?)?),
                "--rathole" => options.rathole = Some(program(value()?)?),
                unknown => return Err(format!("unknown option {unknown}; see perf --help")),
            }
        }
        Ok(options)
    }

    /// Whether the contender of this name is to run.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn number<N>(option: &str, text: &str, allowed: std::ops::RangeInclusive<N>) -> Result<N, String>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let parsed = text.parse().ok().filter(|number| allowed.contains(number));
    parsed.ok_or_else(|| format!("{option} {text}: a number from {} to {}", allowed.start(), allowed.end()))
}

fn program(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if !path.is_file() {
        return Err(format!("{}: no such file", path.display()));
    }
    path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
}

fn beside_this_binary(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.join(name);
    path.is_file().then_some(path)
}

/// The first file of this name in the directories of `PATH`, and in `/usr/sbin`, where Debian keeps
/// servers and users' paths often do not reach.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}
