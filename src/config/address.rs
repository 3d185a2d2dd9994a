//! Addresses to listen on and the address that connectors dial.
//!
//! Refuses host names to listen on (which address did you mean?) and addresses without a port.

use std::net::SocketAddr;

use toml::de::DeValue;
use url::{Host, Url};

use super::error::{Wrong, cited, quoted};
use super::kind::Kind;

/// An IP address with a port to listen on; port 0 lets the system choose.
pub(super) struct Socket;

impl Kind for Socket {
    type Value = SocketAddr;

    fn read(&self, value: &DeValue<'_>) -> Result<SocketAddr, Vec<Wrong>> {
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        text.parse().map_err(|_| {
            let hint = match text.strip_prefix("localhost:").or(text.strip_prefix(':')) {
                Some(port) => format!("; write \"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" for every interface"),
                None => "; write for example \"0.0.0.0:8443\" or \"[::]:8443\"".to_owned(),
            };
            Wrong::one(format!("{} is not an IP address with a port{hint}", cited(text)))
        })
    }

    fn show(&self, value: &SocketAddr) -> String {
        quoted(&value.to_string())
    }

    fn allowed(&self) -> String {
        "an IP address with a port".to_owned()
    }
}

/// `host:port` to dial; the host is a name, an IPv4 address or an IPv6 address in brackets.
pub(super) struct HostPort;

impl Kind for HostPort {
    type Value = String;

    fn read(&self, value: &DeValue<'_>) -> Result<String, Vec<Wrong>> {
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        parse_host_port(text).ok_or_else(|| {
            let reason =
                format!("{} is not a host with a port; write for example \"edge.example.com:443\"", cited(text));
            Wrong::one(reason)
        })
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }

    fn allowed(&self) -> String {
        "a host with a port".to_owned()
    }
}

/// The host in normal form (lower case, IDN as punycode, no trailing dot) with its port.
fn parse_host_port(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|&number| number != 0 && !port.starts_with('+'))?;
    if host.contains(['/', '?', '#', '@', '\\', '*', '%']) || host.contains(|char: char| char.is_whitespace()) {
        return None;
    }
    let url = Url::parse(&format!("https://{host}:{port}/")).ok()?;
    let host = match url.host()? {
        Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        address => address.to_string(),
    };
    (!host.is_empty()).then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::super::kind::read_literal;
    use super::*;

    #[test]
    fn sockets_are_addresses_with_ports() {
        for good in ["0.0.0.0:443", "127.0.0.1:0", "[::]:443", "[::1]:9090"] {
            assert_eq!(read_literal(&Socket, &quoted(good)).map(|socket| socket.to_string()).as_deref(), Ok(good));
        }
        let hint = "\":443\" is not an IP address with a port; write \"127.0.0.1:443\", or \"0.0.0.0:443\" for every interface";
        assert_eq!(read_literal(&Socket, "\":443\""), Err(hint.to_owned()));
        for bad in ["\"443\"", "443", "\"0.0.0.0\"", "\"localhost:443\"", "\"::1:443\"", "\"0.0.0.0:99999\"", "\"\""] {
            assert!(read_literal(&Socket, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_public_address_has_one_form() {
        for (given, form) in [
            ("edge.example.com:443", "edge.example.com:443"),
            ("Edge.Example.COM.:8443", "edge.example.com:8443"),
            ("bücher.example:443", "xn--bcher-kva.example:443"),
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("[::1]:8443", "[::1]:8443"),
        ] {
            assert_eq!(read_literal(&HostPort, &quoted(given)).as_deref(), Ok(form), "{given}");
        }
        for bad in [
            "edge",
            "edge:0",
            "edge:99999",
            ":443",
            "https://edge:443",
            "a@b:443",
            "a/b:443",
            "*.b:443",
            "::1:443",
            "a b:1",
            ".:1",
        ] {
            assert!(read_literal(&HostPort, &quoted(bad)).is_err(), "{bad}");
        }
    }
}
