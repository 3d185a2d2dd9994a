//! What the project promises about its speed, as data: `compare` judges by it, and PROMISES.md has to
//! say the same. It refuses a promise without a scenario.

use crate::peers::Who;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// CPU time of all processes per unit, at saturation.
    Cpu,
    /// Latency at the rate that all contenders hold.
    PacedP50,
    PacedP99,
    /// Resident memory of all processes per stream.
    KibPerStream,
}

/// Where the bar lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// At most so many times another contender's.
    Times(f64, Who),
    /// At most so many times its own in another scenario.
    TimesScenario(f64, &'static str),
    /// At most so many microseconds more than another contender's.
    Added(f64, Who),
    /// At most so much.
    AtMost(f64),
}

/// One promise.
#[derive(Debug)]
pub struct Promise {
    pub says: &'static str,
    pub scenario: &'static str,
    pub ours: Who,
    pub figure: Figure,
    pub bar: Bar,
}

const fn cpu(says: &'static str, scenario: &'static str, ours: Who, most: f64, theirs: Who) -> Promise {
    Promise { says, scenario, ours, figure: Figure::Cpu, bar: Bar::Times(most, theirs) }
}

/// All of them, in the order of PROMISES.md.
pub const PROMISES: &[Promise] = &[
    cpu("One hop costs no more CPU than nginx", "small-64", Who::Local, 1.0, Who::Nginx),
    cpu("One hop costs no more CPU than nginx", "small-512", Who::Local, 1.0, Who::Nginx),
    cpu("One hop costs little more than half of Envoy", "small-64", Who::Local, 0.55, Who::Envoy),
    cpu("One hop costs little more than half of Envoy", "small-512", Who::Local, 0.55, Who::Envoy),
    cpu("The tunnel, with TLS, costs less than a blind one without", "small-64", Who::Tunnel, 0.75, Who::Rathole),
    cpu("Both hops of the tunnel cost little more than nginx's one", "small-64", Who::Tunnel, 1.3, Who::Nginx),
    cpu("Both hops of the tunnel cost less than Envoy's one", "small-64", Who::Tunnel, 1.0, Who::Envoy),
    cpu("The tunnel carries large answers for less than a blind one", "down-1m", Who::Tunnel, 0.75, Who::Rathole),
    cpu("The tunnel carries uploads for less than a blind one", "up-1m", Who::Tunnel, 0.75, Who::Rathole),
    cpu("One hop carries large answers for no more than HAProxy", "down-1m", Who::Local, 1.0, Who::Haproxy),
    cpu("One hop carries uploads for no more than HAProxy", "up-1m", Who::Local, 1.0, Who::Haproxy),
    Promise {
        says: "The tunnel's slowest hundredth is near that of HAProxy's one hop",
        scenario: "small-512",
        ours: Who::Tunnel,
        figure: Figure::PacedP99,
        bar: Bar::Times(1.5, Who::Haproxy),
    },
    cpu(
        "A resumed TLS connection for each request costs no more than in nginx",
        "tls-resumed",
        Who::Local,
        1.0,
        Who::Nginx,
    ),
    Promise {
        says: "A request costs hardly more among 2,048 connections than among 64",
        scenario: "small-2048",
        ours: Who::Local,
        figure: Figure::Cpu,
        bar: Bar::TimesScenario(1.25, "small-64"),
    },
    Promise {
        says: "A request through the tunnel costs hardly more among 2,048 connections than among 64",
        scenario: "small-2048",
        ours: Who::Tunnel,
        figure: Figure::Cpu,
        bar: Bar::TimesScenario(1.25, "small-64"),
    },
    Promise {
        says: "An idle WebSocket through both hops takes 8 KiB",
        scenario: "ws-idle-5000",
        ours: Who::Tunnel,
        figure: Figure::KibPerStream,
        bar: Bar::AtMost(8.0),
    },
    cpu(
        "A WebSocket message through both hops costs little more than nginx's one",
        "ws-1000",
        Who::Tunnel,
        1.3,
        Who::Nginx,
    ),
    Promise {
        says: "Translating the links of 100 KiB of HTML takes no time that anybody notices",
        scenario: "translation",
        ours: Who::Local,
        figure: Figure::PacedP50,
        bar: Bar::Added(300.0, Who::LocalPlain),
    },
];

impl Promise {
    /// The bar in words.
    pub fn bar(&self) -> String {
        let figure = match self.figure {
            Figure::Cpu => "CPU",
            Figure::PacedP50 => "P50 at a fixed rate",
            Figure::PacedP99 => "P99 at a fixed rate",
            Figure::KibPerStream => "KiB per stream",
        };
        let ours = self.ours.name();
        match self.bar {
            Bar::Times(most, theirs) => format!("{figure}: {ours} ≤ {most:.2} × {}", theirs.name()),
            Bar::TimesScenario(most, scenario) => format!("{figure}: {ours} ≤ {most:.2} × {ours} of `{scenario}`"),
            Bar::Added(most, theirs) => format!("{figure}: {ours} ≤ {} + {most:.0} µs", theirs.name()),
            Bar::AtMost(most) => format!("{figure}: {ours} ≤ {most:.1}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::SCENARIOS;

    /// The beginning of its row in PROMISES.md: what, bar, scenario.
    fn row(promise: &Promise) -> String {
        format!("| {} | {} | `compare --only {}` |", promise.says, promise.bar(), promise.scenario)
    }

    const DOCUMENT: &str = include_str!("../PROMISES.md");

    #[test]
    fn the_document_says_the_same() {
        for promise in PROMISES {
            assert!(DOCUMENT.contains(&row(promise)), "PROMISES.md lacks this row:\n{}", row(promise));
        }
        let rows = DOCUMENT.lines().filter(|line| line.contains("`compare --only ")).count();
        assert_eq!(rows, PROMISES.len(), "PROMISES.md has rows that are not in promises.rs");
    }

    #[test]
    fn every_promise_has_a_scenario_with_both_sides() {
        for promise in PROMISES {
            let of = |name: &str| SCENARIOS.iter().find(|scenario| scenario.name == name).expect("the scenario exists");
            let scenario = of(promise.scenario);
            assert!(scenario.who.contains(&promise.ours), "{promise:?}");
            match promise.bar {
                Bar::Times(_, theirs) | Bar::Added(_, theirs) => assert!(scenario.who.contains(&theirs), "{promise:?}"),
                Bar::TimesScenario(_, other) => assert!(of(other).who.contains(&promise.ours), "{promise:?}"),
                Bar::AtMost(_) => {}
            }
            let paced = matches!(promise.figure, Figure::PacedP50 | Figure::PacedP99);
            assert!(scenario.paced || !paced, "{promise:?}");
        }
    }
}
