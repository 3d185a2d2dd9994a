//! The example files: every setting, commented out, with its default and its meaning.
//!
//! `# ` begins a comment and `#` alone a setting at its default, so that removing the `#` before a
//! key or a header changes nothing but what is required. Refuses to say what the table does not.

use super::connector::ConnectorConfig;
use super::edge::EdgeConfig;
use super::schema::{Form, Section, Shape, header};

/// Characters of a comment line.
const WIDTH: usize = 100;

/// An edge's configuration file, complete and commented; as it stands it means the defaults.
#[must_use]
pub fn example_edge() -> String {
    render(&EdgeConfig::template().shape())
}

/// A connector's configuration file, complete and commented; as it stands it means the defaults.
#[must_use]
pub fn example_connector() -> String {
    render(&ConnectorConfig::template().shape())
}

fn render(shape: &Shape) -> String {
    let mut out = String::new();
    comment(&shape.about, &mut out);
    comment("Every setting is here with its default; remove the # before one to change it.", &mut out);
    section(shape, "", false, &mut out);
    out
}

/// `in_list`: inside a `[[list]]` or a `[named.NAME]`, whose headers are commented out as well,
/// because one entry of it is already more than the default.
fn section(shape: &Shape, path: &str, in_list: bool, out: &mut String) {
    for setting in &shape.settings {
        let presence = if setting.is_required { "Required" } else { "Allowed" };
        out.push('\n');
        comment(&format!("{} {presence}: {}.", setting.meaning, setting.allowed), out);
        out.push_str(&format!("#{} = {}\n", setting.key, setting.literal));
    }
    for table in &shape.tables {
        let path = table.path_below(path);
        let in_list = in_list || table.form != Form::Single;
        out.push('\n');
        comment(&table.meaning, out);
        let mark = if in_list { "#" } else { "" };
        out.push_str(&format!("{mark}{}\n", header(&path, table.form)));
        section(&table.shape, &path, in_list, out);
    }
}

/// `text` as comment lines of at most [`WIDTH`] characters.
fn comment(text: &str, out: &mut String) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() > 1 && line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

/// `text` with the `#` removed before every key and header, and a name where one is due.
#[cfg(test)]
pub(super) fn uncommented(text: &str) -> String {
    use super::schema::NAME;
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(header) if header.starts_with('[') => format!("{}\n", header.replace(NAME, "name")),
        Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(uncomment).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::super::app::AppSettings;
    use super::super::edge::CertificateFiles;
    use super::super::filter::FilterSettings;
    use super::super::parse::{parse_connector, parse_edge};
    use super::*;

    #[test]
    fn the_examples_mean_the_defaults() {
        let file = Path::new("lockgate.toml");
        assert_eq!(parse_edge(file, &example_edge()), Ok(EdgeConfig::default()));
        assert_eq!(parse_connector(file, &example_connector()), Ok(ConnectorConfig::default()));
        assert_eq!(parse_connector(file, &uncommented(&example_connector())), Ok(ConnectorConfig::default()));
        let all = EdgeConfig {
            certificates: vec![CertificateFiles::template()],
            apps: vec![AppSettings::template()],
            filters: BTreeMap::from([("name".to_owned(), FilterSettings::template())]),
            ..EdgeConfig::default()
        };
        assert_eq!(parse_edge(file, &uncommented(&example_edge())), Ok(all));
    }

    #[test]
    fn the_examples_are_narrow_and_name_every_setting() {
        for (text, settings) in [(example_edge(), 58 + 37), (example_connector(), 14)] {
            assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
            let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ");
            assert_eq!(text.lines().filter(is_setting).count(), settings, "{text}");
        }
    }
}
