//! The Wasm side: one read of the header map per phase.

use std::cell::OnceCell;

use abi::Pairs;
use abi::contexts::{Action, Filter};
use abi::host::{self, Map};
use origins::{AppId, Side, Table};

use crate::translate::{request_with, response_with};
use crate::{Current, config};

abi::export!(Translation);

struct Translation(Table);

/// The app is unknown until a header needs it; then known, or known to be missing.
#[derive(Default)]
struct Stream {
    app: Option<Option<AppId>>,
}

impl Translation {
    fn app(&self, stream: &mut Stream) -> Option<AppId> {
        *stream.app.get_or_insert_with(|| self.0.app(&host::property(b"xds\0route_name")?))
    }

    /// The authority is asked for only if the label depends on it.
    fn authority(&self, app: Option<AppId>) -> Vec<u8> {
        let wildcard = app.is_some_and(|app| self.0.place(app, Side::External).wildcard);
        if wildcard { host::value(Map::Request, b":authority").unwrap_or_default() } else { Vec::new() }
    }
}

impl Filter for Translation {
    type Stream = Stream;

    fn configure(configuration: &[u8]) -> Result<Self, String> {
        config::table(configuration).map(Translation).map_err(|invalid| invalid.to_string())
    }

    fn request_headers(&self, stream: &mut Stream) -> Action {
        let map = host::pairs(Map::Request);
        // Requests need no label: what their URLs stand for is in the URLs.
        let current = || Current { app: self.app(stream), label: b"" };
        host::apply(Map::Request, &request_with(&self.0, current, Pairs::parse(&map)));
        Action::Continue
    }

    fn response_headers(&self, stream: &mut Stream) -> Action {
        let map = host::pairs(Map::Response);
        let authority = OnceCell::new();
        let current = || {
            let app = self.app(stream);
            let authority: &Vec<u8> = authority.get_or_init(|| self.authority(app));
            Current { app, label: app.map_or(&b""[..], |app| self.0.label(app, authority)) }
        };
        let edits = response_with(&self.0, current, Pairs::parse(&map));
        host::apply(Map::Response, &edits);
        Action::Continue
    }
}
