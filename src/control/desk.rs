//! Judges connectors: enrols those with a token, admits those with a certificate, renews.
//!
//! ```text
//!   Arrival ─▶ hello ─┬ no certificate ─▶ enrol ─▶ joined | refused
//!                     └ certificate ─▶ known? revoked? version? ─▶ welcome ─▶ worker slot % K
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::mpsc;

use super::ca::{Authority, CONNECTOR_VALIDITY, connector_identity};
use super::enrol::{EnrolRequest, enrol};
use super::store::{ConnectorRecord, Store};
use crate::tls::Stream;
use crate::tunnel::arrival::{Admitted, Arrival, Desk, Member, Renewal};
use crate::tunnel::fleet::Mail;
use crate::tunnel::hello::{self, Answer, Hello, Join, Joined, Refusal, Welcome};
use crate::tunnel::{HELLO_TIMEOUT, PROTOCOL_VERSION};

/// How often the links of revoked connectors are looked for and cut: "within seconds".
const REVOCATION_CHECK: Duration = Duration::from_secs(2);

/// What the desk works with.
pub struct Clerk {
    /// Who is known.
    pub store: Store,
    /// Who signs.
    pub authority: Arc<Authority>,
    /// One fleet for each worker.
    pub fleets: Vec<mpsc::Sender<Mail>>,
}

/// Works until the edge ends.
pub async fn work(clerk: Arc<Clerk>, mut desk: Desk) {
    let mut check = tokio::time::interval(REVOCATION_CHECK);
    loop {
        tokio::select! {
            Some(arrival) = desk.arrivals.recv() => {
                let clerk = clerk.clone();
                tokio::spawn(async move {
                    let peer = arrival.peer;
                    match tokio::time::timeout(HELLO_TIMEOUT, clerk.receive(arrival)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::info!(%peer, error, "a connector was not admitted"),
                        Err(_) => tracing::info!(%peer, "a connector did not finish its hello in time"),
                    }
                });
            }
            Some(renewal) = desk.renewals.recv() => {
                let clerk = clerk.clone();
                tokio::spawn(async move { clerk.renew(renewal).await });
            }
            _ = check.tick() => clerk.cut_revoked().await,
            else => return,
        }
    }
}

impl Clerk {
    async fn receive(&self, arrival: Arrival) -> Result<(), String> {
        let Arrival { stream, peer, certificate } = arrival;
        let mut stream = stream.attach().map_err(|error| error.to_string())?;
        match certificate {
            None => self.receive_join(&mut stream).await,
            Some(certificate) => {
                let hello: Hello = hello::read(&mut stream).await.map_err(|error| error.to_string())?;
                let known = match self.judge(&certificate, &hello).await {
                    Ok(known) => known,
                    Err(refusal) => {
                        let reason = format!("{} [{}]", refusal.reason, refusal.code);
                        let _ = hello::write(&mut stream, &Answer::<Welcome>::Refused(refusal)).await;
                        close(&mut stream).await;
                        return Err(reason);
                    }
                };
                let welcome = Welcome {
                    software: env!("CARGO_PKG_VERSION").into(),
                    workers: u16::try_from(self.fleets.len()).unwrap_or(u16::MAX),
                    group: known.group.clone(),
                    name: known.name.clone(),
                };
                hello::write(&mut stream, &Answer::Ok(welcome)).await.map_err(|error| error.to_string())?;
                let stream = stream.detach().map_err(|error| error.to_string())?;
                let slot = usize::from(hello.slot) % self.fleets.len().max(1);
                let member = Member {
                    connector: known.id,
                    name: known.name,
                    group: known.group,
                    serial: known.serial,
                    peer,
                    hello,
                };
                let mail = Mail::Adopt(Box::new(Admitted { stream, member }));
                self.fleets[slot].send(mail).await.map_err(|_| "the worker has ended".to_owned())
            }
        }
    }

    async fn judge(&self, certificate: &[u8], hello: &Hello) -> Result<ConnectorRecord, Refusal> {
        let refuse = |code: &str, temporary: bool, reason: String| Refusal { code: code.into(), reason, temporary };
        if hello.protocol != PROTOCOL_VERSION {
            let reason = format!(
                "this edge speaks version {PROTOCOL_VERSION} of the link, the connector {}; upgrade the older of the two",
                hello.protocol
            );
            return Err(refuse("version", true, reason));
        }
        let identity = connector_identity(certificate)
            .map_err(|error| refuse("certificate", false, format!("{error}; join again with a new token")))?;
        let unavailable = |error: super::store::StoreError| {
            tracing::error!(%error, "the store cannot be asked");
            refuse("store-unavailable", true, "the edge cannot look the connector up right now".into())
        };
        let known = self.store.connector(&identity.id).await.map_err(unavailable)?;
        let Some(known) = known else {
            let reason = format!("the edge does not know {}; join again with a new token", identity.id);
            return Err(refuse("unknown-connector", false, reason));
        };
        if known.revoked_at.is_some() {
            let reason = format!("{} was revoked; join again with a new token", identity.id);
            return Err(refuse("revoked", false, reason));
        }
        if let Err(error) = self.store.touch(&identity.id, unix_now()).await {
            tracing::warn!(%error, "the store cannot note that a connector was seen");
        }
        Ok(known)
    }

    async fn receive_join(&self, stream: &mut Stream) -> Result<(), String> {
        let join: Join = hello::read(stream).await.map_err(|error| error.to_string())?;
        let answer = self.join(join).await;
        let outcome = match &answer {
            Answer::Ok(joined) => {
                tracing::info!(connector = joined.connector, group = joined.group, "a connector has joined");
                Ok(())
            }
            Answer::Refused(refusal) => Err(format!("join refused: {} [{}]", refusal.reason, refusal.code)),
        };
        hello::write(stream, &answer).await.map_err(|error| error.to_string())?;
        close(stream).await;
        outcome
    }

    async fn join(&self, join: Join) -> Answer<Joined> {
        let refuse =
            |code: &str, reason: String| Answer::Refused(Refusal { code: code.into(), reason, temporary: false });
        if join.protocol != PROTOCOL_VERSION {
            let reason = format!("this edge speaks version {PROTOCOL_VERSION} of the link, not {}", join.protocol);
            return refuse("version", reason);
        }
        let request = (|| {
            Some(EnrolRequest {
                token_id: bytes_from_hex(&join.token)?,
                secret: bytes_from_hex(&join.secret)?,
                csr_der: STANDARD.decode(&join.csr).ok()?,
                name: join.name.clone(),
                host: join.host.clone(),
                version: join.software.clone(),
            })
        })();
        let Some(request) = request else { return refuse("malformed", "the join request is malformed".into()) };
        // Once committed an enrolment is a fact: it runs to its end even if the connector hangs up.
        let (store, authority) = (self.store.clone(), self.authority.clone());
        let enrolled = tokio::spawn(async move { enrol(&store, &authority, request, SystemTime::now()).await }).await;
        match enrolled {
            Ok(Ok(enrolled)) => Answer::Ok(Joined {
                connector: enrolled.connector_id,
                group: enrolled.group,
                certificate: STANDARD.encode(enrolled.certificate_der),
                authority: STANDARD.encode(enrolled.ca_der),
            }),
            Ok(Err(error)) => refuse(error.code(), error.to_string()),
            Err(_) => refuse("store-unavailable", "the edge failed to enrol the connector; its log says why".into()),
        }
    }

    async fn renew(&self, renewal: Renewal) {
        let Renewal { connector, csr, answer } = renewal;
        let _ = answer.send(self.sign_renewal(&connector, &csr).await);
    }

    async fn sign_renewal(&self, connector: &str, csr: &str) -> Result<String, String> {
        let csr = STANDARD.decode(csr).map_err(|_| "the request is not base64".to_owned())?;
        let issued =
            self.authority.sign_connector(&csr, connector, CONNECTOR_VALIDITY).map_err(|error| error.to_string())?;
        let not_after = issued.not_after.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.store
            .renewed(connector, &issued.serial_hex, i64::try_from(not_after).unwrap_or(i64::MAX))
            .await
            .map_err(|error| error.to_string())?;
        tracing::info!(connector, serial = issued.serial_hex, "certificate renewed");
        Ok(STANDARD.encode(&issued.certificate_der))
    }

    async fn cut_revoked(&self) {
        let Ok(connectors) = self.store.connectors().await else { return };
        for connector in connectors.into_iter().filter(|connector| connector.revoked_at.is_some()) {
            for fleet in &self.fleets {
                let _ = fleet.try_send(Mail::Cut(connector.id.clone()));
            }
        }
    }
}

/// Ends our half so that the refusal arrives before the close.
async fn close(stream: &mut Stream) {
    let _ = tokio::io::AsyncWriteExt::shutdown(stream).await;
}

fn bytes_from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
