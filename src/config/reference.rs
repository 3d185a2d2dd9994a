//! `docs/configuration.md`, written from the table of settings.
//!
//! Refuses to be edited by hand: what is wrong there is wrong in the table.

use super::connector::ConnectorConfig;
use super::edge::EdgeConfig;
use super::manifest::Manifest;
use super::schema::{Section, Setting, Shape, header};

const INTRO: &str = "\
# Configuration

<!-- Generated from the table of settings in src/config; change it there. -->

Edge and connector each read one [TOML](https://toml.io) file. Every setting has a default, except the few
marked *required*. A file with any fault is refused as a whole, and every fault is told with its line and column;
what runs keeps running.

Durations are written `\"250ms\"`, `\"30s\"`, `\"5m\"`, `\"1h30m\"`; sizes as bytes, or `\"64KiB\"`, `\"1MiB\"`, `\"1GiB\"`.
Relative paths start at the directory of the file.
";

/// The configuration reference in Markdown: Setting, Default, Meaning, a table per section.
#[must_use]
pub fn reference_markdown() -> String {
    let mut out = String::from(INTRO);
    for (title, shape) in [
        ("Edge", EdgeConfig::template().shape()),
        ("Connector", ConnectorConfig::template().shape()),
        ("Manifest of a filter", Manifest::template().shape()),
    ] {
        out.push_str(&format!("\n## {title}\n\n{}\n\n### Top of the file\n\n", escaped(&shape.about)));
        section(&shape, "", &mut out);
    }
    out
}

fn section(shape: &Shape, path: &str, out: &mut String) {
    out.push_str("| Setting | Default | Meaning |\n|---|---|---|\n");
    for setting in &shape.settings {
        out.push_str(&row(setting));
    }
    for table in &shape.tables {
        let path = table.path_below(path);
        let header = header(&path, table.form);
        out.push_str(&format!("\n### `{header}`\n\n{}\n\n", escaped(&table.meaning)));
        section(&table.shape, &path, out);
    }
}

fn row(setting: &Setting) -> String {
    let Setting { key, literal, .. } = setting;
    let default = if setting.is_required { format!("*required*, e.g. `{literal}`") } else { format!("`{literal}`") };
    let (meaning, allowed) = (escaped(&setting.meaning), escaped(&setting.allowed));
    format!("| `{key}` | {default} | {meaning} Allowed: {allowed}. |\n")
}

/// Characters that Markdown would take for its own.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '|' | '*' | '_' | '[' | ']' | '<' | '`' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_and_setting_has_a_row() {
        let text = reference_markdown();
        for expected in [
            "### `[listen]`\n",
            "### `[[app]]`\n",
            "### `[app.cookies]`\n",
            "### `[filter.NAME]`\n",
            "### `[filter.NAME.limits]`\n",
            "| `connections` | `10000` | Open client connections, all workers together. Allowed: a whole number from 1 to 1000000. |\n",
            "| `head_bytes_max` | `\"64KiB\"` |",
            "| `name` | *required*, e.g. `\"shop\"` |",
            "\"\\*.example.com\"",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("| `")).count(), 58 + 37 + 14 + 21);
    }
}
