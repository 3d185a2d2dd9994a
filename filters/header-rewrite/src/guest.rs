//! The Wasm side: one read of the header map per phase that has rules.

use abi::Pairs;
use abi::contexts::{Action, Filter};
use abi::host::{self, Level, Map};

use crate::{Facts, Phase, Rules, config};

abi::export!(Rewrite);

struct Rewrite(Rules);

struct Host;

impl Facts for Host {
    fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        host::property(path)
    }
}

impl Rewrite {
    fn run(&self, phase: Phase, map: Map) -> Action {
        if self.0.concern(phase) {
            let pairs = host::pairs(map);
            let outcome = self.0.run(phase, Pairs::parse(&pairs), &Host);
            outcome.problems.iter().for_each(|problem| host::log(Level::Warn, problem));
            let refused = host::apply(map, &outcome.edits);
            if refused > 0 {
                let all = outcome.edits.len();
                host::log(Level::Warn, &format!("{refused} of {all} changes were refused by the host"));
            }
        }
        Action::Continue
    }
}

impl Filter for Rewrite {
    type Stream = ();

    fn configure(configuration: &[u8]) -> Result<Self, String> {
        config::rules(configuration).map(Rewrite)
    }

    fn request_headers(&self, (): &mut ()) -> Action {
        self.run(Phase::Request, Map::Request)
    }

    fn response_headers(&self, (): &mut ()) -> Action {
        self.run(Phase::Response, Map::Response)
    }
}
