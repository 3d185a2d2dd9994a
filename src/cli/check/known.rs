//! The internal addresses that must not show: those of every published app, and those an app
//! translates besides.
//!
//! It refuses to map them: whether one is found is all that is asked here.

use crate::config::{AppSettings, PublishedUrl, Scheme};

/// All of them.
#[derive(Default)]
pub(super) struct Known {
    hosts: Vec<Host>,
}

/// One host, in one spelling.
pub(super) struct Host {
    /// Lower case; of a wildcard with the dot before it.
    pub(super) name: String,
    /// Any one label may stand before the name.
    pub(super) wildcard: bool,
    origins: Vec<Origin>,
}

struct Origin {
    scheme: Scheme,
    port: u16,
    /// In lower case and without the slash at its end, as it is compared.
    path: String,
}

/// How an address is written, as far as it says which it is.
pub(super) struct Spelt<'t> {
    /// `http`, `https`, `ws`, `wss`; nothing if it begins with two slashes.
    pub(super) scheme: Option<&'t [u8]>,
    pub(super) port: Option<u16>,
    /// What follows the authority.
    pub(super) rest: &'t [u8],
}

impl Known {
    /// The addresses of these apps.
    pub(super) fn of<'a>(apps: impl IntoIterator<Item = &'a AppSettings>) -> Self {
        let mut known = Self::default();
        for app in apps {
            known.add(&app.internal_url);
            app.translate_also.keys().filter_map(|url| PublishedUrl::parse(url).ok()).for_each(|url| known.add(&url));
        }
        known
    }

    /// One more.
    pub(super) fn add(&mut self, url: &PublishedUrl) {
        let dot = if url.wildcard { "." } else { "" };
        let name = format!("{dot}{}", url.host);
        let unicode = format!("{dot}{}", url::quirks::domain_to_unicode(&url.host));
        self.add_name(name.clone(), url);
        if unicode != name && unicode.len() > dot.len() {
            self.add_name(unicode, url);
        }
    }

    fn add_name(&mut self, name: String, url: &PublishedUrl) {
        let path = url.path.trim_end_matches('/').to_ascii_lowercase();
        let origin = Origin { scheme: url.scheme, port: url.effective_port(), path };
        match self.hosts.iter_mut().find(|host| host.name == name && host.wildcard == url.wildcard) {
            Some(host) => host.origins.push(origin),
            None => self.hosts.push(Host { name, wildcard: url.wildcard, origins: vec![origin] }),
        }
    }

    pub(super) fn hosts(&self) -> &[Host] {
        &self.hosts
    }
}

impl Host {
    /// Whether this is one of its addresses, and not another port, scheme or path of the host.
    pub(super) fn has(&self, spelt: &Spelt<'_>) -> bool {
        self.origins.iter().any(|origin| origin.is(spelt))
    }
}

impl Origin {
    fn is(&self, spelt: &Spelt<'_>) -> bool {
        let scheme = match spelt.scheme {
            None => self.scheme,
            Some(b"http" | b"ws") => Scheme::Http,
            Some(_) => Scheme::Https,
        };
        let path = spelt.rest.strip_prefix(self.path.as_bytes());
        let in_path =
            path.is_some_and(|rest| self.path.is_empty() || !rest.first().is_some_and(|&next| in_segment(next)));
        scheme == self.scheme && spelt.port.unwrap_or(scheme.default_port()) == self.port && in_path
    }
}

fn in_segment(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'%') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_port_and_path() {
        let mut known = Known::default();
        for url in ["http://a.corp/", "https://a.corp:8443/wiki/"] {
            known.add(&PublishedUrl::parse(url).unwrap());
        }
        let [host] = known.hosts() else { panic!("one host") };
        for (scheme, port, rest, expected) in [
            (Some("http"), None, "/x", true),
            (Some("ws"), Some(80), "", true),
            (None, None, "/wiki", true),
            (Some("https"), None, "/", false),
            (Some("http"), Some(8080), "/", false),
            (Some("wss"), Some(8443), "/wiki/x", true),
            (Some("https"), Some(8443), "/wiki", true),
            (Some("https"), Some(8443), "/wikis", false),
            (None, Some(8443), "/wiki?x", true),
        ] {
            let spelt = Spelt { scheme: scheme.map(str::as_bytes), port, rest: rest.as_bytes() };
            assert_eq!(host.has(&spelt), expected, "{scheme:?} {port:?} {rest}");
        }
    }

    #[test]
    fn a_host_has_its_spelling_in_unicode_too() {
        let mut known = Known::default();
        known.add(&PublishedUrl::parse("http://xn--bcher-kva.corp/").unwrap());
        let names: Vec<&str> = known.hosts().iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["xn--bcher-kva.corp", "bücher.corp"]);
    }
}
