//! Reads the properties of the ABI page and writes some; says nothing about what they should be.

use crate::host::{FAR, Out, raw, span};
use crate::line;

/// Every path read; `.` stands for the separator.
const PATHS: [&str; 63] = [
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id",
    "node",
    "cluster_name",
    "route_name",
    "listener_direction",
    "xds.route_name",
    "xds.cluster_name",
    "request.path",
    "request.url_path",
    "request.host",
    "request.scheme",
    "request.method",
    "request.query",
    "request.protocol",
    "request.id",
    "request.time",
    "request.duration",
    "request.size",
    "request.total_size",
    "request.headers_bytes",
    "request.referer",
    "request.useragent",
    "request.headers.x-t-one",
    "request.headers.X-T-One",
    "request.headers.x-t-none",
    "request.headers.:path",
    "request.headers.x-t-latin",
    "request.headers",
    "request.trailers.x-t-trailer",
    "request",
    "response.code",
    "response.code_details",
    "response.flags",
    "response.size",
    "response.total_size",
    "response.headers.content-type",
    "response.headers",
    "response.trailers.x-t-trailer",
    "response.trailers",
    "response.grpc_status",
    "source.address",
    "source.port",
    "destination.address",
    "destination.port",
    "upstream.address",
    "upstream.port",
    "connection.id",
    "connection.mtls",
    "connection.tls_version",
    "connection.requested_server_name",
    "connection.subject_peer_certificate",
    "connection.subject_local_certificate",
    "connection.uri_san_peer_certificate",
    "connection.dns_san_peer_certificate",
    "connection.sha256_peer_certificate_digest",
    "connection.termination_details",
    "metadata",
    "filter_state",
    "no_such_thing",
    "request.no_such_thing",
    "",
];

/// Reads and writes properties.
pub fn survey(phase: &str) {
    for path in PATHS {
        read(phase, path);
    }
    read(phase, "plugin_name.");
    let out = Out::new();
    let status = raw::proxy_get_property(FAR, 11, out.at(), out.at_second());
    line::status(phase, "get_property(far)", status);
    let (at, length) = span(b"plugin_name");
    line::status(phase, "get_property(plugin_name,far)", raw::proxy_get_property(at, length, FAR, FAR));
    write(phase, "x_t_probe", "one");
    write(phase, "x_t_probe", "two");
    read(phase, "x_t_probe");
    read(phase, "wasm.x_t_probe");
    read(phase, "filter_state.wasm.x_t_probe");
    write(phase, "x_t_parts.second", "three");
    read(phase, "x_t_parts.second");
    write(phase, "request.path", "/elsewhere");
    read(phase, "request.path");
    write(phase, "x_t_empty", "");
    read(phase, "x_t_empty");
    line::status(phase, "set_property(far)", raw::proxy_set_property(FAR, 3, FAR, 3));
}

/// Reads one property and logs it.
pub fn read(phase: &str, path: &str) {
    let serialised = path.replace('.', "\0");
    let (out, (at, length)) = (Out::new(), span(serialised.as_bytes()));
    let status = raw::proxy_get_property(at, length, out.at(), out.at_second());
    let value = match path {
        // Maps, in the order of a hash table in Envoy; which headers there are is the proxy's business.
        "request.headers" | "response.headers" | "response.trailers" if out.second() != 0 => {
            out.bytes().map_or_else(|| line::returned(&out), |bytes| line::sorted_pairs(&bytes))
        }
        // Protobuf in Envoy, with addresses of this run.
        "metadata" | "node" if out.second() != 0 => {
            drop(out.bytes());
            "<message>".to_owned()
        }
        _ => line::property(path, &out),
    };
    line::value(phase, &format!("get_property({path})"), status, &value);
}

fn write(phase: &str, path: &str, value: &str) {
    let serialised = path.replace('.', "\0");
    let ((at, length), (bytes, size)) = (span(serialised.as_bytes()), span(value.as_bytes()));
    let status = raw::proxy_set_property(at, length, bytes, size);
    line::status(phase, &format!("set_property({path},{value:?})"), status);
}
