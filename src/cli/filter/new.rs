//! `lockgate filter new`: a filter's project from the templates beside this file.
//!
//! Refuses to write into a directory that has anything in it.

use std::path::{Path, PathBuf};

use crate::cli::Failure;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Name of the filter: 1 to 63 of a-z, 0-9 and -, beginning with a letter.
    name: String,
    /// The language it is written in.
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// What it begins as.
    #[arg(long, value_enum, default_value_t = Kind::Headers)]
    kind: Kind,
    /// Where to put it; the name itself otherwise.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Lang {
    Rust,
    Assemblyscript,
    C,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Sets and removes headers.
    Headers,
    /// Replaces a text in bodies.
    Body,
    /// Asks for an API key.
    Auth,
    /// Puts a banner into pages.
    Html,
}

/// A file of a project: where it goes, and its template.
type Template = (&'static str, &'static str);

/// Names which template becomes which file; `KIND` stands for the directory of the kind.
macro_rules! templates {
    ($kind:literal, $($from:literal $(/ $file:literal)? => $to:literal),* $(,)?) => {
        vec![
            ("filter.toml", include_str!(concat!("templates/common/", $kind, "/filter.toml"))),
            ("README.md", include_str!(concat!("templates/common/", $kind, "/README.md"))),
            ("tests/cases.yaml", include_str!(concat!("templates/common/", $kind, "/cases.yaml"))),
            $(($to, include_str!(concat!("templates/", $from, $("/", $kind, "/", $file)?))),)*
        ]
    };
}

macro_rules! by_lang {
    ($lang:expr, $kind:literal) => {
        match $lang {
            Lang::Rust => templates!($kind,
                "rust/Cargo.toml.in" => "Cargo.toml", "rust/gitignore" => ".gitignore", "rust/ci.yml" => "ci.yml",
                "rust" / "lib.rs.in" => "src/lib.rs", "rust" / "rules.rs.in" => "src/rules.rs",
                "rust" / "adapter.rs.in" => "src/adapter.rs"),
            Lang::C => templates!($kind,
                "c/Makefile" => "Makefile", "c/gitignore" => ".gitignore", "c/ci.yml" => "ci.yml",
                "c/proxy_wasm.h" => "proxy_wasm.h", "c" / "filter.c" => "filter.c"),
            Lang::Assemblyscript => templates!($kind,
                "assemblyscript/package.json" => "package.json", "assemblyscript/gitignore" => ".gitignore",
                "assemblyscript/ci.yml" => "ci.yml", "assemblyscript/bytes.ts" => "assembly/bytes.ts",
                "assemblyscript" / "index.ts" => "assembly/index.ts"),
        }
    };
}

fn templates(lang: Lang, kind: Kind) -> Vec<Template> {
    match kind {
        Kind::Headers => by_lang!(lang, "headers"),
        Kind::Body => by_lang!(lang, "body"),
        Kind::Auth => by_lang!(lang, "auth"),
        Kind::Html => by_lang!(lang, "html"),
    }
}

impl Lang {
    const fn build(self) -> &'static str {
        match self {
            Self::Rust => "cargo build --release --target wasm32-wasip1",
            Self::Assemblyscript => "npm install --silent --no-audit --no-fund && npm run --silent build",
            Self::C => "make",
        }
    }

    fn module(self, name: &str) -> String {
        match self {
            Self::Rust => format!("target/wasm32-wasip1/release/{}.wasm", name.replace('-', "_")),
            Self::Assemblyscript | Self::C => format!("build/{name}.wasm"),
        }
    }

    const fn needs(self) -> &'static str {
        match self {
            Self::Rust => "Needs Rust with `rustup target add wasm32-wasip1`.",
            Self::Assemblyscript => "Needs Node.js with npm.",
            Self::C => "Needs make, clang and lld.",
        }
    }
}

/// The files of a project, with everything filled in.
fn project(name: &str, lang: Lang, kind: Kind) -> Vec<(&'static str, String)> {
    let module = lang.module(name);
    let values =
        [("{{name}}", name), ("{{build}}", lang.build()), ("{{module}}", &module), ("{{needs}}", lang.needs())];
    let fill = |text: &str| values.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value));
    templates(lang, kind).into_iter().map(|(path, text)| (path, fill(text))).collect()
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { name, lang, kind, dir } = arguments;
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 63 || !name.bytes().all(legal) {
        let rule = "a name is 1 to 63 of a-z, 0-9 and -, beginning with a letter";
        return Err(Failure::Failed(format!("{name:?} cannot be the name of a filter: {rule}")));
    }
    let directory = dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let wrong = |path: &Path, error: std::io::Error| Failure::Failed(format!("{}: {error}", path.display()));
    match std::fs::read_dir(&directory).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => {
            let reason = format!("{} is not empty; nothing was written", directory.display());
            return Err(Failure::Failed(reason));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(wrong(&directory, error)),
    }
    for (path, text) in project(name, *lang, *kind) {
        let file = directory.join(path);
        let parent = file.parent().unwrap_or(&directory);
        std::fs::create_dir_all(parent).map_err(|error| wrong(parent, error))?;
        std::fs::write(&file, text).map_err(|error| wrong(&file, error))?;
    }
    say!("{} is there: a filter in {lang:?} ({kind:?}). {}\n", directory.display(), lang.needs());
    say!("  cd {}", directory.display());
    say!("  {}", lang.build());
    say!("  lockgate filter test .");
    say!("  lockgate up --filter {}", lang.module(name));
    say!("\nand then, beside the running `up`, `lockgate filter dev .` builds and reloads on every save.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::config::parse_manifest;

    #[test]
    fn every_template_is_filled_in_and_every_manifest_is_valid() {
        for (lang, kind) in
            Lang::value_variants().iter().flat_map(|lang| Kind::value_variants().iter().map(move |kind| (*lang, *kind)))
        {
            let files = project("my-filter", lang, kind);
            for (path, text) in &files {
                // GitHub's own marks are ${{ }}, and there is none in these files.
                assert!(
                    !text.contains("{{n") && !text.contains("{{b") && !text.contains("{{m"),
                    "{lang:?} {kind:?} {path}"
                );
                assert!(text.ends_with('\n') && !text.starts_with('\n'), "{lang:?} {kind:?} {path}");
            }
            let manifest = &files.iter().find(|(path, _)| *path == "filter.toml").unwrap().1;
            let manifest = parse_manifest(Path::new("p/filter.toml"), manifest).unwrap();
            assert_eq!(manifest.name, "my-filter");
            assert_eq!(manifest.dev.build, lang.build());
            assert_eq!(manifest.dev.module, Some(Path::new("p").join(lang.module("my-filter"))));
            assert_eq!(manifest.body.rewrite, matches!(kind, Kind::Body | Kind::Html));
        }
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let directory = std::env::temp_dir().join(format!("lockgate-new-{}", std::process::id()));
        let arguments = |name: &str| Arguments {
            name: name.to_owned(),
            lang: Lang::C,
            kind: Kind::Auth,
            dir: Some(directory.clone()),
        };
        assert!(run(&arguments("gate")).is_ok());
        std::fs::write(directory.join("filter.c"), "mine").unwrap();
        assert!(matches!(run(&arguments("gate")), Err(Failure::Failed(reason)) if reason.contains("not empty")));
        assert_eq!(std::fs::read_to_string(directory.join("filter.c")).unwrap(), "mine");
        for name in ["", "1a", "Gate", "a b", "../x"] {
            assert!(matches!(run(&arguments(name)), Err(Failure::Failed(_))), "{name}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
