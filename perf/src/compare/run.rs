//! One run of one contender in one scenario: load, and what it cost, from just before to just after.
//!
//! ```text
//!   saturated:  as fast as it goes          ─▶ units/s, CPU per unit, latency of full queues
//!   paced:      at a rate that all can hold ─▶ latency from when each request was meant to be sent
//! ```
//!
//! It refuses to average: a run is a row, the report takes medians.

use std::path::Path;
use std::time::Instant;

use crate::children::{CONTENDER_CORE, LOAD_CORE, Nursery};
use crate::generator::{Kind, Plan};
use crate::json::Json;
use crate::load::wrk::Wrk;
use crate::load::{Found, h2load, own, real};
use crate::options::installed;
use crate::peers::{Certificate, Contender, Who};
use crate::probe;
use crate::scenarios::{Load, Scenario, Unit};
use crate::usage::{self, Core, Memory, Time};

const MIB: f64 = 1024.0 * 1024.0;

/// How a run is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    Saturated,
    /// Turns a second.
    Paced(f64),
}

/// A run and its figures.
pub struct Run {
    pub who: Who,
    pub round: usize,
    pub phase: Phase,
    pub found: Found,
    /// Requests, messages, MiB … as the scenario counts.
    pub units: f64,
    /// CPU time of the contender's processes, and their context switches, per unit.
    pub user_us: f64,
    pub system_us: f64,
    pub switches: f64,
    /// The most memory since the run began.
    pub peak_mib: f64,
    /// What the run added to memory, per connection.
    pub kib_per_stream: f64,
    /// Percent of the measured time.
    pub contender_core_busy: f64,
    pub others: f64,
    pub load_core_busy: f64,
    pub stolen: f64,
}

impl Run {
    pub fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }

    pub fn per_second(&self) -> f64 {
        self.units / self.found.seconds.max(1e-9)
    }

    pub fn json(&self, scenario: &Scenario) -> Json {
        let (phase, rate) = match self.phase {
            Phase::Saturated => ("saturated", 0.0),
            Phase::Paced(rate) => ("paced", rate),
        };
        Json::Object(vec![
            ("scenario", Json::text(scenario.name)),
            ("contender", Json::text(self.who.name())),
            ("round", Json::Whole(self.round as u64)),
            ("phase", Json::text(phase)),
            ("rate", Json::Number(rate)),
            ("unit", Json::text(scenario.unit.name())),
            ("units", Json::Number(self.units)),
            ("turns", Json::Number(self.found.turns)),
            ("seconds", Json::Number(self.found.seconds)),
            ("user_us_per_unit", Json::Number(self.user_us)),
            ("system_us_per_unit", Json::Number(self.system_us)),
            ("context_switches_per_unit", Json::Number(self.switches)),
            ("p50_us", Json::Number(self.found.p50)),
            ("p99_us", Json::Number(self.found.p99)),
            ("p999_us", Json::Number(self.found.p999)),
            ("peak_mib", Json::Number(self.peak_mib)),
            ("kib_per_stream", Json::Number(self.kib_per_stream)),
            ("contender_core_busy_percent", Json::Number(self.contender_core_busy)),
            ("others_on_contender_core_percent", Json::Number(self.others)),
            ("load_core_busy_percent", Json::Number(self.load_core_busy)),
            ("stolen_percent", Json::Number(self.stolen)),
            ("void", Json::text(self.found.void.clone().unwrap_or_default())),
        ])
    }
}

/// What loads are run with.
pub struct Bench<'a> {
    pub nursery: &'a Nursery,
    pub certificate: &'a Certificate,
    pub wrk: Option<&'a Path>,
    pub h2load: Option<&'a Path>,
    pub scenario: &'static Scenario,
    pub backend: &'a Contender,
    /// Measured seconds, and milliseconds of warm-up.
    pub seconds: f64,
    pub warm_up_ms: u64,
}

impl Bench<'_> {
    /// One run, measured.
    pub fn measure(&self, contender: &Contender, who: Who, round: usize, phase: Phase) -> Result<Run, String> {
        let pids = contender.pids();
        usage::forget_peaks(&pids);
        let memory = Memory::of(&pids).resident_mib;
        let look = || Look::of(&pids);
        let (mut before, mut after) = (None, None);
        let begin = || before = Some(look());
        let end = || after = Some((look(), Memory::of(&pids).resident_mib));
        let found = self.load(contender, phase, begin, end)?;
        let (Some(before), Some((after, full))) = (before, after) else {
            return Err(format!("{}: the load neither began nor ended", contender.name));
        };
        let units = self.units(&found);
        let per_unit = |figure: f64| figure / units.max(1.0);
        let time = after.time.since(before.time);
        let [contender_core, load_core] = [0, 1].map(|core: usize| after.cores[core].since(before.cores[core]));
        let wall_us = after.at.duration_since(before.at).as_secs_f64() * 1e6;
        let percent = |microseconds: f64| 100.0 * microseconds / wall_us.max(1.0);
        Ok(Run {
            who,
            round,
            phase,
            units,
            user_us: per_unit(time.user_us),
            system_us: per_unit(time.system_us),
            switches: per_unit(after.switches - before.switches),
            peak_mib: usage::peak_mib(&pids),
            kib_per_stream: (full - memory) * 1024.0 / real(self.scenario.connections as u64),
            contender_core_busy: percent(contender_core.busy_us),
            others: percent((contender_core.busy_us - time.total_us()).max(0.0)),
            load_core_busy: percent(load_core.busy_us),
            stolen: percent(contender_core.stolen_us),
            found,
        })
    }

    /// What the scenario counts of what was found.
    pub fn units(&self, found: &Found) -> f64 {
        match self.scenario.unit {
            Unit::Request | Unit::Handshake | Unit::Message => found.turns,
            Unit::Mebibyte => found.body_bytes / MIB,
            Unit::Stream => real(self.scenario.connections as u64),
        }
    }

    /// Loads the contender; `begin` and `end` are called around what is counted.
    pub fn load(
        &self,
        contender: &Contender,
        phase: Phase,
        begin: impl FnOnce(),
        end: impl FnOnce(),
    ) -> Result<Found, String> {
        match (self.scenario.load, phase) {
            (Load::Wrk { path, hosts }, Phase::Saturated) => self.wrk(contender, path, hosts, begin, end),
            (Load::H2load, _) => self.h2load(contender, begin, end),
            (_, phase) => {
                let plan = self.plan(contender, phase);
                own::run(self.nursery, contender.space.as_deref(), &plan, begin, end)
            }
        }
    }

    fn plan(&self, contender: &Contender, phase: Phase) -> Plan {
        let (kind, path, upload, message, resumed, stalled) = match self.scenario.load {
            Load::Own { kind, path, upload, message, resumed, stalled } => {
                (kind, path, upload, message, resumed, stalled)
            }
            Load::Wrk { path, .. } => (Kind::Http, path, 0, 0, false, None),
            Load::H2load => (Kind::Http, "/", 0, 0, false, None),
        };
        let hosts = if let Load::Wrk { hosts, .. } = self.scenario.load { hosts } else { 0 };
        let tls = self.scenario.setup.door == crate::peers::Door::Tls;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run, at most an hour")]
        let measured_ms = (self.seconds * 1000.0) as u64;
        Plan {
            path: path.to_owned(),
            connections: self.scenario.connections,
            hosts,
            warm_up_ms: self.warm_up_ms,
            measured_ms,
            rate: if let Phase::Paced(rate) = phase { rate } else { 0.0 },
            upload,
            message,
            resumed,
            certificate: tls.then(|| self.certificate.cert.clone()),
            stalled: stalled.map(str::to_owned),
            ..Plan::new(kind, contender.address)
        }
    }

    /// wrk counts whole seconds.
    fn whole_seconds(&self) -> u64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run, at most an hour")]
        let seconds = self.seconds.ceil() as u64;
        seconds.max(1)
    }

    fn wrk(
        &self,
        contender: &Contender,
        path: &'static str,
        hosts: usize,
        begin: impl FnOnce(),
        end: impl FnOnce(),
    ) -> Result<Found, String> {
        let program = installed(self.wrk, "wrk")?;
        let wrk = Wrk::new(program, self.nursery, self.scenario.connections)?.at(path);
        let wrk = if hosts > 0 { wrk.over_hosts(self.nursery, hosts)? } else { wrk };
        if self.warm_up_ms >= 1000 {
            wrk.run(self.nursery, contender.address, 1, || ())?;
        }
        let say = |error: std::io::Error| format!("{}: {error}", contender.name);
        let answer = probe::ask_once(contender.address, path).map_err(say)?;
        let served = probe::answered(self.backend.address)?;
        begin();
        let counts = Wrk::finish(wrk.start(self.nursery, contender.address, self.whole_seconds())?)?;
        end();
        let served = probe::answered(self.backend.address)?.saturating_sub(served);
        let void = counts.void(answer.length(), served, self.scenario.connections);
        Ok(counts.found(void))
    }

    fn h2load(&self, contender: &Contender, begin: impl FnOnce(), end: impl FnOnce()) -> Result<Found, String> {
        let program = installed(self.h2load, "h2load")?;
        let seconds = self.whole_seconds();
        let run = || h2load::start(self.nursery, program, contender.address, self.scenario.connections, seconds);
        begin();
        let running = run()?;
        let found = h2load::finish(self.nursery, running, seconds);
        end();
        found
    }
}

/// What is read before and after.
struct Look {
    at: Instant,
    time: Time,
    switches: f64,
    cores: [Core; 2],
}

impl Look {
    fn of(pids: &[u32]) -> Self {
        let cores = [Core::of(CONTENDER_CORE), Core::of(LOAD_CORE)];
        Self { at: Instant::now(), time: Time::of(pids), switches: usage::context_switches(pids), cores }
    }
}
