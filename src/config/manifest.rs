//! `filter.toml`, which an author ships beside a module: what the filter is and what it needs.
//!
//! Refuses to grant anything: the operator's `[filter.NAME]` does. Nothing it names is opened.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::collection::List;
use super::duration::Time;
use super::filter::{BODY_BUFFER, BODY_MODE, BodyMode, DEADLINE, FIELDS, MEMORY, PROTECTED_HEADERS, ROOT_ID};
use super::kind::{AnyText, Choice, File, Label, Switch, Text, Unless};
use super::schema::{Section, settings};
use super::size::Size;

/// A version of Proxy-Wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// 0.1.0.
    V0_1_0,
    /// 0.2.0.
    V0_2_0,
    /// 0.2.1.
    V0_2_1,
}

const ABI: Unless<Choice<Abi>> =
    Unless("", Choice(&[("0.1.0", Abi::V0_1_0), ("0.2.0", Abi::V0_2_0), ("0.2.1", Abi::V0_2_1)]));
/// A line for the shell.
const COMMAND: AnyText = AnyText { max: 1024 };
/// As many as a filter may be given.
const UPSTREAM_NAMES: List<Text> = List { max: 64, of: Text };
const SOME_MEMORY: Unless<Size> = Unless("", MEMORY);
const SOME_DEADLINE: Unless<Time> = Unless("", DEADLINE);
const SOME_BUFFER: Unless<Size> = Unless("", BODY_BUFFER);

settings! {
    /// What the author of a filter says of it, in a file filter.toml beside the module; the operator grants, and may
    /// tighten but not widen.
    pub struct Manifest {
        /// Name of the filter.
        required name: String = "my-filter".to_owned(), Label;
        /// The version of Proxy-Wasm that it is written for; "" means what the module exports.
        optional abi: Option<Abi> = None, ABI;
        /// Which of the module's filters this is, where it has several.
        optional root_id: String = String::new(), ROOT_ID;
        /// File of the JSON schema of the configuration; "" means none. Kept for tools, not read yet.
        optional config_schema: Option<PathBuf> = None, Unless("", File);
    }
    tables {
        /// How the filter sees bodies.
        body: ManifestBody = ManifestBody::template(), in "body";
        /// Which messages concern the filter.
        fields: ManifestFields = ManifestFields::template(), in "fields";
        /// What the filter needs to be granted.
        capabilities: ManifestCapabilities = ManifestCapabilities::template(), in "capabilities";
        /// What the filter gets along with; "" leaves it to the operator.
        limits: ManifestLimits = ManifestLimits::template(), in "limits";
        /// How the author's tools make the filter; the proxy does not look.
        dev: ManifestDev = ManifestDev::template(), in "dev";
    }
}

settings! {
    /// How a filter sees bodies.
    pub struct ManifestBody {
        /// Bodies of requests: not at all, chunk by chunk, as a whole, or chunk by chunk and decompressed; "" means not at
        /// all.
        optional request: Option<BodyMode> = None, BODY_MODE;
        /// The same for bodies of responses.
        optional response: Option<BodyMode> = None, BODY_MODE;
        /// The filter may change how long a body is.
        optional rewrite: bool = false, Switch;
    }
}

settings! {
    /// Which messages concern a filter: it is called for those only that carry one of these fields.
    pub struct ManifestFields {
        /// Fields of requests; [] means every request.
        optional request: Vec<HeaderName> = Vec::new(), FIELDS;
        /// Fields of responses; [] means every response.
        optional response: Vec<HeaderName> = Vec::new(), FIELDS;
    }
}

settings! {
    /// What a filter needs to be granted.
    pub struct ManifestCapabilities {
        /// The upstreams that it calls, by name.
        optional http_call: Vec<String> = Vec::new(), UPSTREAM_NAMES;
        /// It answers requests itself.
        optional local_response: bool = false, Switch;
        /// It shares data with other VMs.
        optional shared_data: bool = false, Switch;
        /// It passes messages through queues.
        optional queues: bool = false, Switch;
        /// Protected headers that it changes.
        optional protected_headers: Vec<String> = Vec::new(), PROTECTED_HEADERS;
    }
}

settings! {
    /// What a filter gets along with.
    pub struct ManifestLimits {
        /// Memory of one VM.
        optional memory: Option<usize> = None, SOME_MEMORY;
        /// One callback about headers, trailers or a call's response.
        optional deadline: Option<Duration> = None, SOME_DEADLINE;
        /// One callback about a piece of a body.
        optional body_deadline: Option<Duration> = None, SOME_DEADLINE;
        /// Bytes of one request's body that wait for the filter.
        optional request_buffer: Option<usize> = None, SOME_BUFFER;
        /// Bytes of one response's body that wait for the filter.
        optional response_buffer: Option<usize> = None, SOME_BUFFER;
    }
}

settings! {
    /// How `lockgate filter dev` makes a filter.
    pub struct ManifestDev {
        /// The command that builds the module, run by the shell in the project's directory; "" means what Cargo.toml,
        /// package.json or Makefile suggest.
        optional build: String = String::new(), COMMAND;
        /// The module it leaves; "" means the newest below target/ or build/.
        optional module: Option<PathBuf> = None, Unless("", File);
    }
}

impl Manifest {
    /// What is known of a filter without a manifest. `name` is not checked here.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::template() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse::parse_manifest;
    use super::*;

    #[test]
    fn a_manifest_is_read() {
        let text = "name = \"my-filter\"\nabi = \"0.2.1\"\nroot_id = \"a b\"\n\
            body = { request = \"none\", response = \"decoded\", rewrite = true }\n\
            capabilities = { http_call = [\"auth\"], local_response = true, protected_headers = [\"Host\"] }\n\
            limits = { memory = \"32MiB\", deadline = \"10ms\", response_buffer = 1048576 }\n\
            config_schema = \"schema.json\"\n";
        let manifest = parse_manifest(Path::new("/f/filter.toml"), text).unwrap();
        let expected = Manifest {
            abi: Some(Abi::V0_2_1),
            root_id: "a b".to_owned(),
            config_schema: Some(PathBuf::from("/f/schema.json")),
            body: ManifestBody { request: Some(BodyMode::None), response: Some(BodyMode::Decoded), rewrite: true },
            capabilities: ManifestCapabilities {
                http_call: vec!["auth".to_owned()],
                local_response: true,
                protected_headers: vec!["host".to_owned()],
                ..ManifestCapabilities::template()
            },
            limits: ManifestLimits {
                memory: Some(32 << 20),
                deadline: Some(Duration::from_millis(10)),
                response_buffer: Some(1 << 20),
                ..ManifestLimits::template()
            },
            ..Manifest::new("my-filter")
        };
        assert_eq!(manifest, expected);
    }

    #[test]
    fn its_faults_are_told_with_their_place() {
        for (text, expected) in [
            ("abi = \"0.2.1\"", "f:1:1: name: required setting is missing; write for example name = \"my-filter\""),
            (
                "name = \"a\"\nabi = \"0.2.2\"",
                "f:2:7: abi: \"0.2.2\" is not one of the choices; allowed is \"0.1.0\", \"0.2.0\" or \"0.2.1\"; did you mean \"0.2.0\"?",
            ),
            ("name = \"a\"\n[capabilites]", "f:2:2: capabilites: unknown setting; did you mean \"capabilities\"?"),
            (
                "name = \"a\"\nlimits = { deadline = 5 }",
                "f:2:23: limits.deadline: a duration needs a unit: write \"5s\" or \"5ms\", \"5m\", \"5h\"",
            ),
            ("name = \"a\"\nmemory = 5", "f:2:1: memory: unknown setting here; it belongs in [limits]"),
        ] {
            let errors = parse_manifest(Path::new("f"), text).unwrap_err();
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        }
    }
}
