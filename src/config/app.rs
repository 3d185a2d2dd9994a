//! The settings of one published app, `[[app]]`.
//!
//! Refuses to know what the settings do; that is told here in one line each and done elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::collection::{Entries, List};
use super::duration::BackendTimeout;
use super::kind::{AnyText, Choice, File, Label, Switch, Unless};
use super::published_url::{Page, Published, PublishedUrl, Scheme};
use super::schema::{Section, settings};
use super::unbuilt::{PreAuthentication, SignIn};

/// The group whose apps the edge dials itself, without a connector.
pub const LOCAL_GROUP: &str = "local";

/// How the backend is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendProtocol {
    /// HTTP/1.1 for `http`; what ALPN (RFC 7301) settles on for `https`.
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113, 3.3).
    H2c,
}

const BACKEND_PROTOCOL: Choice<BackendProtocol> =
    Choice(&[("auto", BackendProtocol::Auto), ("http1", BackendProtocol::Http1), ("h2c", BackendProtocol::H2c)]);

/// Names of a chain; each costs a call or two per request.
const CHAIN: List<Label> = List { max: 16, of: Label };

/// More attributes than any page has kinds of.
const ATTRIBUTES: List<Label> = List { max: 64, of: Label };

/// URLs of services that are not published themselves.
const ALSO: Entries<AnyText> = Entries { max: 256, not_in_key: " ", of: AnyText { max: 2048 } };

settings! {
    /// A published app: an external URL, the internal URL it stands for, and how requests pass.
    pub struct AppSettings {
        /// Name of the app in logs, metrics and commands; unique.
        required name: String = "shop".to_owned(), Label;
        /// What people type: scheme, host, optional port and a path; only that path is published, and the most
        /// specific host and path wins. The host may be a wildcard, "*.example.com".
        required external_url: PublishedUrl = PublishedUrl::example(Scheme::Https, "shop.example.com"), Published;
        /// Where the app is, as seen from its connector. The host may be a wildcard if that of external_url is one.
        required internal_url: PublishedUrl = PublishedUrl::example(Scheme::Http, "shop.corp.local"), Published;
        /// The connector group that serves the app; "local" means the edge dials the app itself, without a connector.
        optional group: String = "default".to_owned(), Label;
        /// Who must sign in before a byte reaches a connector; "passthrough" means nobody.
        optional pre_authentication: PreAuthentication = PreAuthentication::Passthrough, SignIn;
        /// How long to wait for the head of the app's response; "default" is 85 seconds, "long" is 180.
        optional backend_timeout: Duration = BackendTimeout::DEFAULT, BackendTimeout;
        /// Sends the internal Host to the app and translates URLs in headers, internal to external and back; false
        /// sends the external Host and translates none.
        optional translate_urls_in_headers: bool = true, Switch;
        /// Replaces internal by external URLs in response bodies while they stream: HTML, CSS, XML, feeds, manifests.
        optional translate_urls_in_body: bool = false, Switch;
        /// With translate_urls_in_body: also in JavaScript and JSON, where a string holds a whole internal URL.
        optional translate_urls_in_scripts: bool = false, Switch;
        /// With translate_urls_in_body: also in event streams (text/event-stream), event by event.
        optional translate_urls_in_event_streams: bool = false, Switch;
        /// With translate_urls_in_body: more attributes that hold a URL, such as "data-url".
        optional translate_attributes: Vec<String> = Vec::new(), ATTRIBUTES;
        /// With translate_urls_in_body: further URLs in this app's bodies and what they become, such as
        /// { "http://cdn.corp/" = "https://cdn.example.com/" }.
        optional translate_also: BTreeMap<String, String> = BTreeMap::new(), ALSO;
        /// Checks the certificate of an https app; false accepts any certificate, which is dangerous.
        optional validate_backend_certificate: bool = true, Switch;
        /// PEM file of certificate authorities to trust for this app besides the system's; "" means none.
        optional backend_ca: Option<PathBuf> = None, Unless("", File);
        /// How to speak to the app; "auto" is HTTP/1.1 for http and what TLS negotiates for https, "h2c" is HTTP/2
        /// without TLS.
        optional backend_protocol: BackendProtocol = BackendProtocol::Auto, BACKEND_PROTOCOL;
        /// Answers everybody with the maintenance page; nothing reaches the app.
        optional maintenance: bool = false, Switch;
        /// Writes a line for every request to this app, where log.access is on.
        optional access_log: bool = true, Switch;
        /// Sends the Forwarded header (RFC 7239) to the app, besides X-Forwarded-For, -Proto and -Host.
        optional forwarded_header: bool = false, Switch;
        /// The app's chain of filters, names of [filter.NAME]: requests pass them in this order, responses in the reverse.
        optional filters: Vec<String> = Vec::new(), CHAIN;
        /// Where a launch of the app goes, inside external_url; "" means external_url itself. Checked today, used by the
        /// app portal when it lands.
        optional home_url: Option<String> = None, Unless("", Page);
    }
    tables {
        /// Flags of the cookies that Lockgate itself will set for this app (sign-in, not part of this build yet); the app's
        /// own cookies keep theirs.
        cookies: CookieSettings = CookieSettings::template(), in "cookies";
    }
}

settings! {
    /// Flags of Lockgate's own cookies (RFC 6265).
    pub struct CookieSettings {
        /// Sets HttpOnly: hidden from scripts.
        optional http_only: bool = false, Switch;
        /// Sets Secure: sent over https only.
        optional secure: bool = true, Switch;
        /// Sets Expires: kept when the browser closes.
        optional persistent: bool = false, Switch;
    }
}

impl AppSettings {
    /// An app with the defaults of the file. `name` is not checked here.
    #[must_use]
    pub fn new(name: impl Into<String>, external_url: PublishedUrl, internal_url: PublishedUrl) -> Self {
        Self { name: name.into(), external_url, internal_url, ..Self::template() }
    }

    /// Whether the edge dials the app itself, without a connector.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.group == LOCAL_GROUP
    }

    /// Relative paths become relative to `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        if let Some(file) = &mut self.backend_ca {
            *file = directory.join(&*file);
        }
    }
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self::template()
    }
}
