//! What the filter host costs, piece by piece: an exchange through no work, through a header filter, through
//! each built-in; an instance; a reload.
//!
//! ```text
//!   cargo bench --bench filters            # needs the examples: cd filters && cargo build --release --target wasm32-wasip1
//! ```
//!
//! Wall time informs; `instructions` counts, and `perf/` says what it means for a request. It refuses
//! to be a test.

#[allow(dead_code, reason = "each bench has its part of it")]
mod world;

use bytes::Bytes;
use criterion::Criterion;
use lockgate::filters::{Builtin, Settings};
use world::{World, request, response};

const CHAINS: [&str; 5] = ["none", "set-remove", "header-translation", "header-rewrite", "websocket"];

fn exchanges(criterion: &mut Criterion) {
    let world = World::new();
    let host = world.host();
    let (request, response) = (request(), response());
    let mut group = criterion.benchmark_group("exchange");
    for name in CHAINS {
        let Some(chain) = world.chain(name) else { continue };
        group.bench_function(name, |bencher| bencher.iter(|| world.exchange(&host, &chain, &request, &response)));
    }
}

fn instances(criterion: &mut Criterion) {
    let world = World::new();
    let source = Builtin::find("header-rewrite").expect("built in").source();
    let settings = Settings { configuration: Bytes::from_static(br#"{"rules":[]}"#), ..Settings::new("instances") };
    let plugin = world.load(settings, &source);
    criterion.bench_function("instance: start, configure, drop", |bencher| {
        bencher.iter(|| {
            drop(plugin.take_spare());
            plugin.stock_one().expect("it starts")
        });
    });
    criterion.bench_function("reload: link, canary, stock", |bencher| {
        let mut serving = vec![plugin.clone()];
        let mut count = 0u64;
        bencher.iter(|| {
            count += 1;
            // Another configuration each time, the same module: what an operator's edit is.
            let settings = Settings {
                configuration: Bytes::from(format!(
                    r#"{{"rules":[{{"on":"request","do":[{{"set":{{"x-n":"{count}"}}}}]}}]}}"#
                )),
                ..Settings::new("instances")
            };
            let Ok(loaded) = world.library.load(settings, &source, &serving) else { panic!("it loads") };
            let loaded = loaded.plugin;
            serving[0].retire();
            serving[0] = loaded;
        });
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    exchanges(&mut criterion);
    instances(&mut criterion);
    criterion.final_summary();
}
