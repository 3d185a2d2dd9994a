//! From a checked configuration to everything a request is decided by, files included.
//!
//! All or nothing: a certificate that cannot be read refuses the whole configuration.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderValue;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::value::RawValue;

use super::filters::{Serving, chain};
use crate::auth::Policy;
use crate::backend::{Protocol, Target, TargetSpec, Verify};
use crate::config::{
    AppSettings, BackendProtocol, CertificateFiles, Compression, EdgeConfig, LimitSettings, PreAuthentication,
    PublishedUrl, Scheme as ConfigScheme,
};
use crate::control::self_signed;
use crate::edge::PublicTls;
use crate::edge::certificates::Certificates;
use crate::exchange::{App, Network, Rooms};
use crate::http::Scheme;
use crate::limits::Limits;
use crate::relay::Destination;
use crate::routing::{Published, Table};
use crate::tls;
use crate::tunnel::control::{Config, Push, PushedApp, Pushes, ToConnector, encode};

/// Everything a configuration amounts to.
pub struct Snapshot {
    /// For the corridor.
    pub rooms: Rooms,
    /// For the links.
    pub pushes: Pushes,
    /// For the door.
    pub tls: PublicTls,
}

/// Builds a snapshot. `ticketer` is the process's, so that TLS sessions survive.
///
/// # Errors
/// Everything that is wrong, a line each.
pub fn build(
    config: &EdgeConfig,
    filters: &Serving,
    generation: u64,
    ticketer: &Arc<dyn rustls::server::ProducesTickets>,
) -> Result<Snapshot, Vec<String>> {
    let mut faults = Vec::new();
    let mut routes = Vec::new();
    let mut pushed: HashMap<String, Vec<PushedApp>> = HashMap::new();
    for settings in &config.apps {
        match target_of(settings) {
            Ok(target) => {
                let (destination, push) = destination_of(settings, target);
                if let Some(push) = push {
                    pushed.entry(settings.group.clone()).or_default().push(push);
                }
                routes.push((
                    published(&settings.external_url),
                    Arc::new(app_of(settings, filters, &config.compression, destination)),
                ));
            }
            Err(fault) => faults.push(fault),
        }
    }
    let tls = certificates(config, &mut faults).and_then(|certificates| {
        PublicTls::new(certificates, ticketer.clone(), tls::provider())
            .inspect_err(|error| faults.push(error.to_string()))
            .ok()
    });
    let trusted_proxies = config.trusted_proxies.iter().map(|cidr| network(cidr.network(), cidr.prefix())).collect();
    match tls {
        Some(tls) if faults.is_empty() => Ok(Snapshot {
            rooms: Rooms { generation, routes: Table::new(routes), trusted_proxies },
            pushes: Pushes {
                groups: Arc::new(pushed.into_iter().map(|(group, apps)| (group, push(generation, apps))).collect()),
                nothing: push(generation, Vec::new()),
            },
            tls,
        }),
        _ => Err(faults),
    }
}

/// The limits of the data path, as configured.
#[must_use]
pub fn limits(settings: &LimitSettings) -> Limits {
    let LimitSettings {
        memory: _, // watched beside the data path, see `app::memory`
        connections,
        handshakes_in_flight,
        head_bytes_max,
        header_count_max,
        uri_bytes_max,
        streams_per_connection,
        head_timeout,
        idle_timeout,
        body_idle_timeout,
        body_rate_min,
        queue_wait,
        queue_length,
        streams_per_link,
        backend_connections,
        backend_idle_timeout,
        backend_connect_timeout,
        tls_handshake_timeout,
    } = settings.clone();
    Limits {
        connections,
        handshakes_in_flight,
        head_bytes_max,
        header_count_max,
        uri_bytes_max,
        streams_per_connection,
        head_timeout,
        idle_timeout,
        body_idle_timeout,
        body_rate_min,
        queue_wait,
        queue_length,
        streams_per_link,
        backend_connections,
        backend_idle_timeout,
        backend_connect_timeout,
        tls_handshake_timeout,
    }
}

fn push(generation: u64, apps: Vec<PushedApp>) -> Arc<Push> {
    let message = encode(&ToConnector::Config(Config { generation, apps }));
    Arc::new(Push { generation, message })
}

fn scheme(scheme: ConfigScheme) -> Scheme {
    match scheme {
        ConfigScheme::Http => Scheme::Http,
        ConfigScheme::Https => Scheme::Https,
    }
}

fn published(url: &PublishedUrl) -> Published {
    Published {
        scheme: scheme(url.scheme),
        host: url.host.clone(),
        wildcard: url.wildcard,
        port: url.effective_port(),
        path: url.path.clone(),
    }
}

fn network(base: std::net::IpAddr, prefix: u8) -> Network {
    let (bits, prefix) = match base {
        std::net::IpAddr::V4(address) => (address.to_ipv6_mapped().to_bits(), u32::from(prefix) + 96),
        std::net::IpAddr::V6(address) => (address.to_bits(), u32::from(prefix)),
    };
    let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
    Network { base: bits & mask, mask }
}

fn target_of(settings: &AppSettings) -> Result<TargetSpec, String> {
    let url = &settings.internal_url;
    let verify = match &settings.backend_ca {
        _ if !settings.validate_backend_certificate => {
            tracing::warn!(
                app = settings.name,
                "validate_backend_certificate = false: whoever answers at {url} is believed; name its authority in backend_ca instead"
            );
            Verify::Danger
        }
        Some(path) => Verify::WithAuthority(
            std::fs::read_to_string(path)
                .map_err(|error| format!("app {}: backend_ca {}: {error}", settings.name, path.display()))?,
        ),
        None => Verify::Platform,
    };
    Ok(TargetSpec {
        tls: url.scheme == ConfigScheme::Https,
        host: url.host.clone(),
        wildcard: url.wildcard,
        port: url.effective_port(),
        protocol: match settings.backend_protocol {
            BackendProtocol::Auto => Protocol::Auto,
            BackendProtocol::Http1 => Protocol::Http1,
            BackendProtocol::H2c => Protocol::H2c,
        },
        verify,
        response_timeout_ms: u64::try_from(settings.backend_timeout.as_millis()).unwrap_or(u64::MAX),
    })
}

fn destination_of(settings: &AppSettings, target: TargetSpec) -> (Destination, Option<PushedApp>) {
    if settings.is_local() {
        return (Destination::Local(Arc::new(Target::new(target))), None);
    }
    let json = serde_json::to_string(&target).unwrap_or_default();
    let revision = digest(&SHA256, json.as_bytes());
    let revision: String = revision.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let header = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    let destination = Destination::Group {
        group: settings.group.clone(),
        app: header(&settings.name),
        revision: header(&revision),
        host: target.host_field(),
        timeout: settings.backend_timeout,
        tls: target.tls,
    };
    let push =
        RawValue::from_string(json).ok().map(|target| PushedApp { name: settings.name.clone(), revision, target });
    (destination, push)
}

fn app_of(settings: &AppSettings, filters: &Serving, compression: &Compression, destination: Destination) -> App {
    let internal = &settings.internal_url;
    let dot = if internal.wildcard { "." } else { "" };
    let port = internal.port.map(|port| format!(":{port}")).unwrap_or_default();
    App {
        name: settings.name.as_str().into(),
        chain: chain(settings, filters, compression),
        external_path: settings.external_url.path.clone(),
        external_port: settings.external_url.effective_port(),
        internal_path: internal.path.clone(),
        internal_host: HeaderValue::from_str(&format!("{dot}{}{port}", internal.host))
            .unwrap_or_else(|_| HeaderValue::from_static("")),
        internal_wildcard: internal.wildcard,
        keeps_host: !settings.translate_urls_in_headers,
        policy: match settings.pre_authentication {
            PreAuthentication::Passthrough => Policy::Passthrough,
        },
        destination,
        maintenance: settings.maintenance,
        access_log: settings.access_log,
        forwarded_header: settings.forwarded_header,
    }
}

/// The certificates from files, and self-signed ones for published names without one.
fn certificates(config: &EdgeConfig, faults: &mut Vec<String>) -> Option<Certificates> {
    let mut certificates = Certificates::default();
    let mut covered = HashSet::new();
    for files in &config.certificates {
        match read_pair(files).and_then(|(chain, key)| certificates.add(chain, key)) {
            Ok(names) => covered.extend(names),
            Err(fault) => faults.push(format!("certificate {}: {fault}", files.cert.display())),
        }
    }
    let hosts = config.apps.iter().filter(|app| app.external_url.scheme == ConfigScheme::Https).map(|app| {
        let url = &app.external_url;
        if url.wildcard { format!("*.{}", url.host) } else { url.host.clone() }
    });
    // Without any app there is still a door, and it needs something to show.
    let fallback = (config.apps.is_empty() && config.certificates.is_empty()).then(|| "localhost".to_owned());
    let dir = config.data_dir.join("self-signed");
    for host in hosts.chain(fallback) {
        let by_wildcard = host.split_once('.').is_some_and(|(_, parent)| covered.contains(&format!("*.{parent}")));
        if covered.contains(&host) || by_wildcard {
            continue;
        }
        match self_signed::open_or_create(&dir, &host).and_then(|(chain, key)| certificates.add(chain, key)) {
            Ok(_) => {
                tracing::info!(host, "no [[certificate]] names this host; serving a self-signed one");
                covered.insert(host);
            }
            Err(fault) => faults.push(format!("a self-signed certificate for {host}: {fault}")),
        }
    }
    faults.is_empty().then_some(certificates)
}

fn read_pair(files: &CertificateFiles) -> Result<self_signed::Pair, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(&files.cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("not a PEM certificate: {error:?}"))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| format!("{}: not a PEM private key: {error:?}", files.key.display()))?;
    if chain.is_empty() { Err("the file holds no certificate".into()) } else { Ok((chain, key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_matched_in_both_address_families() {
        let rooms = Rooms {
            generation: 1,
            routes: Table::new([]),
            trusted_proxies: vec![
                network("10.0.0.0".parse().expect("an address"), 8),
                network("2001:db8::".parse().expect("an address"), 32),
                network("192.0.2.7".parse().expect("an address"), 32),
            ],
        };
        for (peer, trusted) in [
            ("10.200.0.1", true),
            ("::ffff:10.1.1.1", true),
            ("11.0.0.1", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
        ] {
            assert_eq!(rooms.trusts(peer.parse().expect("an address")), trusted, "{peer}");
        }
    }
}
