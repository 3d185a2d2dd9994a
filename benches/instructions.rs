//! Instructions of an exchange through each chain, counted by valgrind: the same on a busy machine.
//!
//! ```text
//!   cargo install gungraun-runner --version 0.20.0 && cargo bench --bench instructions
//! ```
//!
//! A count is for [`EXCHANGES`] exchanges. It refuses to measure time.

#![allow(missing_docs, reason = "gungraun's macros write items of their own")]

#[allow(dead_code, reason = "each bench has its part of it")]
mod world;

use std::hint::black_box;
use std::rc::Rc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use http::HeaderMap;
use lockgate::filters::{Chain, Host};
use world::{World, request, response};

/// Enough to make what a first exchange does vanish.
const EXCHANGES: usize = 100;

/// Everything an exchange needs, warm.
struct Ready {
    world: World,
    host: Rc<Host>,
    chain: Chain,
    request: HeaderMap,
    response: HeaderMap,
}

impl Ready {
    fn run(&self, exchanges: usize) {
        for _ in 0..exchanges {
            black_box(self.world.exchange(&self.host, &self.chain, &self.request, &self.response));
        }
    }
}

fn warm(name: &str) -> Ready {
    let world = World::new();
    let chain = world.chain(name).expect("cd filters && cargo build --release --target wasm32-wasip1");
    let ready = Ready { host: world.host(), chain, request: request(), response: response(), world };
    ready.run(10);
    ready
}

#[library_benchmark]
#[bench::none(args = ("none"), setup = warm)]
#[bench::set_remove(args = ("set-remove"), setup = warm)]
#[bench::header_translation(args = ("header-translation"), setup = warm)]
#[bench::header_rewrite(args = ("header-rewrite"), setup = warm)]
#[bench::websocket(args = ("websocket"), setup = warm)]
fn exchange(ready: Ready) -> Ready {
    ready.run(EXCHANGES);
    ready
}

library_benchmark_group!(name = filters, benchmarks = [exchange]);

main!(library_benchmark_groups = filters);
