//! From the text of a file to a configuration, or to everything that is wrong with it.
//!
//! ```text
//!   text ─▶ TOML ─▶ each setting by its kind ─▶ rules between settings ─▶ paths resolved
//!             └ broken: told alone  └──────── all faults told together ────────┘
//! ```
//!
//! Refuses to read broken TOML any further: what follows a syntax fault is guesswork.

use std::path::Path;

use toml::de::DeTable;

use super::connector::ConnectorConfig;
use super::edge::EdgeConfig;
use super::error::{ConfigError, Findings, Wrong};
use super::manifest::Manifest;
use super::reader::read_document;
use super::rules::check_edge;
use super::schema::Section;

/// Reads the configuration of an edge. `file` is not opened: it is named in the errors, and
/// relative paths start at its directory.
///
/// # Errors
/// Every fault found, in the order of the file.
pub fn parse_edge(file: &Path, text: &str) -> Result<EdgeConfig, Vec<ConfigError>> {
    let mut config: EdgeConfig = parse(file, text, check_edge)?;
    config.resolve(directory(file));
    Ok(config)
}

/// Reads the configuration of a connector, as [`parse_edge`] does that of an edge.
///
/// # Errors
/// Every fault found, in the order of the file.
pub fn parse_connector(file: &Path, text: &str) -> Result<ConnectorConfig, Vec<ConfigError>> {
    let mut config: ConnectorConfig = parse(file, text, |_, _, _| ())?;
    config.resolve(directory(file));
    Ok(config)
}

/// Reads the manifest of a filter, as [`parse_edge`] reads the configuration of an edge.
///
/// # Errors
/// Every fault found, in the order of the file.
pub fn parse_manifest(file: &Path, text: &str) -> Result<Manifest, Vec<ConfigError>> {
    let mut manifest: Manifest = parse(file, text, |_, _, _| ())?;
    manifest.config_schema = manifest.config_schema.map(|schema| directory(file).join(schema));
    manifest.dev.module = manifest.dev.module.map(|module| directory(file).join(module));
    Ok(manifest)
}

fn directory(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn parse<S: Section>(file: &Path, text: &str, check: fn(&S, &str, &mut Findings)) -> Result<S, Vec<ConfigError>> {
    let mut findings = Findings::default();
    let (document, faults) = DeTable::parse_recoverable(text);
    if !faults.is_empty() {
        for fault in faults {
            let offset = fault.span().map_or(0, |span| span.start);
            findings.fault(offset, "", Wrong::new(format!("not valid TOML: {}", fault.message().trim())));
        }
        return Err(findings.into_errors(file, text));
    }
    let config = read_document(&document, &mut findings);
    check(&config, text, &mut findings);
    let errors = findings.into_errors(file, text);
    if errors.is_empty() { Ok(config) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::super::example::{example_connector, example_edge, uncommented};
    use super::*;

    const APP: &str = "[[app]]\nname = \"a\"\nexternal_url = \"https://a.test/\"\ninternal_url = \"http://a.corp/\"\n";

    const MANIFEST: &str = "name = \"a\"\nabi = \"0.2.1\"\nbody = { request = \"buffer\", rewrite = true }\n\
        capabilities = { http_call = [\"auth\"], protected_headers = [\":path\"] }\n[limits]\nmemory = \"32MiB\"\n";

    fn faults(text: &str) -> Vec<String> {
        let errors = parse_edge(Path::new("f"), text).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = format!(
            "data_dir = \"/var/lib/lockgate\"\ngrace_period = \"5s\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n\
             [listen]\nhttp = \"0.0.0.0:80\"\nadmin = \"off\"\n[limits]\nhead_bytes_max = \"128KiB\"\n\
             [[certificate]]\ncert = \"a.crt\"\nkey = \"/k/a.key\"\n{APP}group = \"local\"\nbackend_ca = \"ca.pem\"\n\
             [app.cookies]\nhttp_only = true\n[[app]]\nname = \"b\"\nexternal_url = \"https://*.b.test/\"\n\
             internal_url = \"https://*.b.corp/\"\nhome_url = \"https://www.b.test/start?x=1\"\n"
        );
        let config = parse_edge(Path::new("/etc/lockgate/lockgate.toml"), &text).unwrap();
        assert_eq!(config.data_dir, Path::new("/var/lib/lockgate"));
        assert_eq!((config.listen.http.map(|http| http.port()), config.listen.admin), (Some(80), None));
        assert_eq!(config.limits.head_bytes_max, 128 << 10);
        assert!(config.trusted_proxies[0].contains("10.1.2.3".parse().unwrap()));
        assert_eq!(config.certificates[0].cert, Path::new("/etc/lockgate/a.crt"));
        assert_eq!(config.certificates[0].key, Path::new("/k/a.key"));
        let [a, b] = config.apps.as_slice() else { panic!("{config:?}") };
        assert!(a.is_local() && a.cookies.http_only && a.cookies.secure && !b.cookies.http_only);
        assert_eq!(a.backend_ca.as_deref(), Some(Path::new("/etc/lockgate/ca.pem")));
        assert_eq!(b.home_url.as_deref(), Some("https://www.b.test/start?x=1"));
        let connector = parse_connector(Path::new("/etc/c.toml"), "admin = \"127.0.0.1:9091\"").unwrap();
        assert_eq!(connector.data_dir, Path::new("/etc/lockgate-connector"));
        assert!(!connector.log.access && connector.admin.is_some());
    }

    #[test]
    fn each_fault_is_told_with_its_place() {
        for (text, expected) in [
            ("dta_dir = 1", "f:1:1: dta_dir: unknown setting; did you mean \"data_dir\"?"),
            ("\n  idle_timeout = \"1s\"", "f:2:3: idle_timeout: unknown setting here; it belongs in [limits]"),
            (
                "[log]\nworkers = 1",
                "f:2:1: log.workers: unknown setting here; it belongs at the top of the file, above the first [table]",
            ),
            ("[log]\ncolour = 1", "f:2:1: log.colour: unknown setting; the settings here are format, level, access"),
            ("[cookies]\nsecure = true", "f:1:2: cookies: unknown setting here; it is written as [app.cookies]"),
            ("[lgo]\n", "f:1:2: lgo: unknown setting; did you mean \"log\"?"),
            ("workers = \"4\"", "f:1:11: workers: expected a whole number from 0 to 256, found a string"),
            (
                "grace_period = 30",
                "f:1:16: grace_period: a duration needs a unit: write \"30s\" or \"30ms\", \"30m\", \"30h\"",
            ),
            (
                "[log]\nformat = \"jsn\"",
                "f:2:10: log.format: \"jsn\" is not one of the choices; allowed is \"auto\", \"human\" or \"json\"; did you mean \"json\"?",
            ),
            (
                "trusted_proxies = [\"::1\",\n \"x\"]",
                "f:2:2: trusted_proxies[1]: \"x\" is not an address or range; write for example \"10.0.0.0/8\" or \"::1\"",
            ),
            ("log = 3", "f:1:7: log: expected a table, [log], found an integer"),
            ("[app]\nname = \"a\"", "f:1:1: app: there may be several: write [[app]] instead of [app]"),
            ("app = [3]", "f:1:8: app[0]: expected a table, found an integer"),
            (
                "[[certificate]]\ncert = \"c\"",
                "f:1:1: certificate[0].key: required setting is missing; write for example key = \"example.com.key\"",
            ),
            (
                "[listen]\nhttp = \"0.0.0.0:443\"",
                "f:2:8: listen.http: listen.http and listen.https are both 0.0.0.0:443; each needs its own",
            ),
            (
                "[listen]\nhttps = \"127.0.0.1:9090\"",
                "f:2:9: listen.https: listen.admin and listen.https are both 127.0.0.1:9090; each needs its own",
            ),
            (
                "[limits]\nhead_bytes_max = 8192",
                "f:2:18: limits.head_bytes_max: uri_bytes_max exceeds head_bytes_max, of which the target is a part",
            ),
            ("a = ", "f:1:5: not valid TOML: string values must be quoted, expected literal string"),
            ("workers = 1\nworkers = 2", "f:2:1: not valid TOML: duplicate key"),
        ] {
            assert_eq!(faults(text), [expected], "{text}");
        }
    }

    #[test]
    fn all_faults_are_told_in_the_order_of_the_file() {
        let text =
            format!("workers = -1\nfoo_bar = 1\n[limits]\nconnections = 0\n{APP}filters = [\"x\"]\n[[app]]\n{APP}");
        let places: Vec<_> =
            faults(&text).iter().map(|fault| fault.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            places,
            [
                "f:1:11 workers",
                "f:2:1 foo_bar",
                "f:4:15 limits.connections",
                "f:9:12 app[0].filters[0]",
                "f:10:1 app[1].name",
                "f:10:1 app[1].external_url",
                "f:10:1 app[1].internal_url",
                "f:12:8 app[2].name",
                "f:13:16 app[2].external_url",
            ]
        );
    }

    /// Seeded, so that a failure can be repeated.
    #[test]
    fn no_input_panics() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below.max(1)
        };
        let pieces = [
            "",
            "\"",
            "[",
            "]]",
            "=",
            "\n",
            "#",
            "ü",
            "\u{feff}",
            "0",
            "-",
            "%",
            "*.",
            "{a=[{}]}",
            "\\",
            "\0",
            "1979-05-27",
            "nan",
        ];
        for whole in [uncommented(&example_edge()), uncommented(&example_connector()), MANIFEST.to_owned()] {
            for round in 0..400 {
                let mut text = whole.clone();
                for _ in 0..=round % 4 {
                    let start = text.floor_char_boundary(random(text.len() + 1));
                    let end = text.floor_char_boundary((start + random(12)).min(text.len())).max(start);
                    text.replace_range(start..end, pieces[random(pieces.len())]);
                }
                if round % 3 == 0 {
                    text.truncate(text.floor_char_boundary(random(text.len() + 1)));
                }
                let manifest = parse_manifest(Path::new("f"), &text).err();
                for errors in
                    [parse_edge(Path::new("f"), &text).err(), parse_connector(Path::new(""), &text).err(), manifest]
                {
                    for error in errors.into_iter().flatten() {
                        let lines = text.split('\n').count();
                        assert!((1..=lines).contains(&error.line) && error.column >= 1, "{error}\n{text}");
                        assert!(!error.reason.is_empty());
                    }
                }
            }
        }
    }
}
