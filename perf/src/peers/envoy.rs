//! Envoy, one hop: `--concurrency 1`, no access log, no request ids, circuit breakers out of the way, as
//! its benchmarking FAQ has it. It keeps its statistics, as Lockgate keeps its metrics.

use std::fmt::Write;

use super::{Contender, Door, Feature, Ground, Start};
use crate::children::{CONTENDER_CORE, free_port};
use crate::options::installed;

pub fn start(ground: &Ground) -> Start {
    let envoy = installed(ground.programs.envoy.as_deref(), "envoy")?;
    let (address, server) = (free_port()?, ground.backend);
    let tls = match ground.setup.door {
        Door::Plain => String::new(),
        Door::Tls => format!(
            "      transport_socket:\n        name: tls\n        typed_config:\n          \
             \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n          \
             common_tls_context:\n            alpn_protocols: [h2, http/1.1]\n            tls_params: \
             {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3, ecdh_curves: [X25519] }}\n            \
             tls_certificates: [{{ certificate_chain: {{ filename: \"{}\" }}, private_key: {{ filename: \"{}\" }} }}]\n",
            ground.certificate.cert.display(),
            ground.certificate.key.display()
        ),
    };
    let headers = match ground.setup.feature {
        Feature::HeaderFilter => {
            "            request_headers_to_add: [{ header: { key: x-perf-set, value: request }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }]\n            \
             request_headers_to_remove: [x-perf-remove]\n            \
             response_headers_to_add: [{ header: { key: x-perf-set, value: response }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }]\n            \
             response_headers_to_remove: [x-perf-remove]\n"
        }
        _ => "",
    };
    let route = "routes: [{ match: { prefix: / }, route: { cluster: backend, timeout: 0s, idle_timeout: 0s } }]";
    let mut hosts = format!("            - {{ name: all, domains: [\"*\"], {route} }}\n");
    if ground.setup.feature == Feature::Apps {
        for number in 1..=super::APPS {
            let name = format!("app-{number:04}");
            let _ = writeln!(hosts, "            - {{ name: {name}, domains: [{name}.test], {route} }}");
        }
    }
    let most = "max_connections: 100000, max_pending_requests: 100000, max_requests: 100000";
    let text = format!(
        "static_resources:\n  listeners:\n  - address: {{ socket_address: {{ address: {}, port_value: {} }} }}\n    \
         tcp_backlog_size: 4096\n    filter_chains:\n    - filters:\n      - name: http\n        typed_config:\n          \
         \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          \
         stat_prefix: perf\n          generate_request_id: false\n          stream_idle_timeout: 0s\n          \
         upgrade_configs: [{{ upgrade_type: websocket }}]\n          route_config:\n{headers}            virtual_hosts:\n{hosts}          \
         http_filters:\n          - name: router\n            typed_config:\n              \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n              suppress_envoy_headers: true\n\
         {tls}  clusters:\n  - name: backend\n    connect_timeout: 5s\n    circuit_breakers: {{ thresholds: [{{ {most} }}] }}\n    \
         load_assignment:\n      cluster_name: backend\n      endpoints:\n      - lb_endpoints:\n        \
         - endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }}\n",
        address.ip(),
        address.port(),
        server.ip(),
        server.port()
    );
    let config = ground.nursery.write(&format!("{}.yaml", ground.label), &text)?;
    let process = ground.nursery.start_in(ground.near(), &ground.label, CONTENDER_CORE, envoy, |command| {
        command.arg("-c").arg(config);
        command.args(["--concurrency", "1", "--use-dynamic-base-id", "--disable-hot-restart", "-l", "error"]);
    })?;
    let what = "Envoy, one hop, --concurrency 1, statistics on";
    Contender::new(ground, what, address, vec![process], text).until_ready(ground)
}
