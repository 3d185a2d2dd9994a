//! What the generator is to do, as the arguments of its process: `key=value` each. Refuses unknown
//! keys, so that harness and generator cannot drift apart.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What one turn of one connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request on a connection that is kept.
    Http,
    /// TCP, TLS, a request, and the end of both.
    Handshake,
    /// A WebSocket message and its echo.
    Echo,
    /// WebSockets that stay open and say nothing.
    Idle,
}

const KINDS: [(Kind, &str); 4] =
    [(Kind::Http, "http"), (Kind::Handshake, "handshake"), (Kind::Echo, "echo"), (Kind::Idle, "idle")];

/// One run of the generator.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub kind: Kind,
    pub address: SocketAddr,
    pub path: String,
    pub connections: usize,
    /// Requests go to so many hosts in turn, as in [`crate::load::wrk`]; 0: to the address itself.
    pub hosts: usize,
    pub warm_up_ms: u64,
    pub measured_ms: u64,
    /// Turns a second, all connections together; 0: each connection goes on as soon as it can.
    pub rate: f64,
    /// Bytes of the body of each request; 0: a GET.
    pub upload: u64,
    /// Bytes of each message.
    pub message: usize,
    /// TLS sessions are taken up again.
    pub resumed: bool,
    /// The certificate to trust; without one the connection is plain.
    pub certificate: Option<PathBuf>,
    /// Another connection asks for this and does not read it.
    pub stalled: Option<String>,
}

impl Plan {
    /// One connection, GET /, as fast as it goes.
    pub fn new(kind: Kind, address: SocketAddr) -> Self {
        Self {
            kind,
            address,
            path: "/".into(),
            connections: 1,
            hosts: 0,
            warm_up_ms: 200,
            measured_ms: 1000,
            rate: 0.0,
            upload: 0,
            message: 20,
            resumed: false,
            certificate: None,
            stalled: None,
        }
    }

    pub fn arguments(&self) -> Vec<String> {
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, name)| name);
        let mut arguments = vec![
            format!("kind={kind}"),
            format!("address={}", self.address),
            format!("path={}", self.path),
            format!("connections={}", self.connections),
            format!("hosts={}", self.hosts),
            format!("warm_up_ms={}", self.warm_up_ms),
            format!("measured_ms={}", self.measured_ms),
            format!("rate={}", self.rate),
            format!("upload={}", self.upload),
            format!("message={}", self.message),
            format!("resumed={}", self.resumed),
        ];
        arguments.extend(self.certificate.as_ref().map(|path| format!("certificate={}", path.display())));
        arguments.extend(self.stalled.as_ref().map(|path| format!("stalled={path}")));
        arguments
    }

    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut plan = Self::new(Kind::Http, SocketAddr::from(([127, 0, 0, 1], 80)));
        for argument in arguments {
            let (key, value) = argument.split_once('=').ok_or(format!("{argument}: key=value"))?;
            let bad = || format!("{argument}: not understood");
            match key {
                "kind" => plan.kind = KINDS.iter().find(|(_, name)| *name == value).ok_or_else(bad)?.0,
                "address" => plan.address = value.parse().map_err(|_| bad())?,
                "path" => plan.path = value.to_owned(),
                "connections" => plan.connections = value.parse().map_err(|_| bad())?,
                "hosts" => plan.hosts = value.parse().map_err(|_| bad())?,
                "warm_up_ms" => plan.warm_up_ms = value.parse().map_err(|_| bad())?,
                "measured_ms" => plan.measured_ms = value.parse().map_err(|_| bad())?,
                "rate" => plan.rate = value.parse().map_err(|_| bad())?,
                "upload" => plan.upload = value.parse().map_err(|_| bad())?,
                "message" => plan.message = value.parse().map_err(|_| bad())?,
                "resumed" => plan.resumed = value.parse().map_err(|_| bad())?,
                "certificate" => plan.certificate = Some(value.into()),
                "stalled" => plan.stalled = Some(value.to_owned()),
                _ => return Err(bad()),
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_arguments() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let plan = Plan {
            path: "/bytes/10".into(),
            connections: 7,
            hosts: 3,
            rate: 12.5,
            upload: 3,
            resumed: true,
            certificate: Some("a/b".into()),
            stalled: Some("/x".into()),
            ..Plan::new(Kind::Echo, address)
        };
        assert_eq!(Plan::parse(&plan.arguments()), Ok(plan));
        assert!(Plan::parse(&["speed=1".into()]).is_err());
    }
}
