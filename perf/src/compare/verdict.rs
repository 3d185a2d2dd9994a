//! Whether the promises hold in a run. What is above its bar by no more than nginx differs from itself in
//! the same run is not called broken; it refuses to call it met either.

use super::outcome::{Outcome, is_paced, value};
use crate::figures::Spread;
use crate::json::Json;
use crate::peers::Who;
use crate::promises::{Bar, Figure, PROMISES, Promise};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Met,
    /// Above the bar, by less than the noise.
    Noise,
    Broken,
    /// A side is missing.
    Open,
}

/// A promise and what came of it.
pub struct Verdict {
    pub promise: &'static Promise,
    pub found: Option<Spread>,
    /// What may be above the bar.
    pub noise: f64,
    pub state: State,
}

/// Of all promises whose scenario was run.
pub fn judge(outcomes: &[Outcome]) -> Vec<Verdict> {
    PROMISES.iter().filter_map(|promise| judge_one(promise, outcomes)).collect()
}

fn judge_one(promise: &'static Promise, outcomes: &[Outcome]) -> Option<Verdict> {
    let of = |name: &str| outcomes.iter().find(|outcome| outcome.scenario.name == name);
    let outcome = of(promise.scenario)?;
    let figures: Vec<f64> = match promise.bar {
        Bar::Times(_, theirs) => outcome
            .pairs(promise.ours, theirs, promise.figure)
            .into_iter()
            .map(|(ours, theirs)| ours / theirs)
            .collect(),
        Bar::Added(_, theirs) => outcome
            .pairs(promise.ours, theirs, promise.figure)
            .into_iter()
            .map(|(ours, theirs)| ours - theirs)
            .collect(),
        Bar::TimesScenario(_, other) => across(outcome, of(other)?, promise.ours, promise.figure),
        Bar::AtMost(_) => {
            let valid = outcome.valid(promise.ours, is_paced(promise.figure));
            valid.map(|run| value(promise.figure, run)).collect()
        }
    };
    let (bar, noise) = match promise.bar {
        Bar::Times(most, _) | Bar::TimesScenario(most, _) => (most, most * relative_noise(outcome, promise.figure)),
        Bar::Added(most, _) => (most, noise(outcome, promise.figure, |ours, theirs| ours - theirs)),
        Bar::AtMost(most) => (most, 0.0),
    };
    let found = Spread::of(figures);
    Some(Verdict { promise, found, noise, state: state(found, bar, noise) })
}

fn state(found: Option<Spread>, bar: f64, noise: f64) -> State {
    match found {
        None => State::Open,
        Some(Spread { median, .. }) if median <= bar => State::Met,
        Some(Spread { median, .. }) if median <= bar + noise => State::Noise,
        Some(_) => State::Broken,
    }
}

/// Ratios of two scenarios, round by round.
fn across(outcome: &Outcome, other: &Outcome, who: Who, figure: Figure) -> Vec<f64> {
    let paced = is_paced(figure);
    let ratio = |run: &super::run::Run| {
        let other = other.valid(who, paced).find(|other| other.round == run.round)?;
        Some(value(figure, run) / value(figure, other))
    };
    outcome.valid(who, paced).filter_map(ratio).collect()
}

fn relative_noise(outcome: &Outcome, figure: Figure) -> f64 {
    noise(outcome, figure, |ours, theirs| ours / theirs - 1.0)
}

/// The farthest that nginx was from itself.
fn noise(outcome: &Outcome, figure: Figure, apart: fn(f64, f64) -> f64) -> f64 {
    let pairs = outcome.pairs(Who::NginxAgain, Who::Nginx, figure);
    pairs.into_iter().map(|(ours, theirs)| apart(ours, theirs).abs()).fold(0.0, f64::max)
}

impl Verdict {
    /// What was found, as it is compared with the bar.
    pub fn found(&self) -> String {
        let digits = if matches!(self.promise.bar, Bar::Added(..) | Bar::AtMost(_)) { 1 } else { 2 };
        match self.found {
            Some(Spread { median, least, most }) => format!("{median:.digits$} ({least:.digits$}–{most:.digits$})"),
            None => "–".into(),
        }
    }

    pub fn state(&self) -> &'static str {
        match self.state {
            State::Met => "met",
            State::Noise => "above, within the noise",
            State::Broken => "BROKEN",
            State::Open => "open: no valid pair",
        }
    }

    pub fn line(&self) -> String {
        let promise = self.promise;
        format!("{}: {}; found {}, noise {:.2}", promise.scenario, promise.bar(), self.found(), self.noise)
    }

    pub fn json(&self) -> Json {
        let median = self.found.map_or(f64::NAN, |spread| spread.median);
        Json::Object(vec![
            ("scenario", Json::text(self.promise.scenario)),
            ("bar", Json::text(self.promise.bar())),
            ("found", Json::Number(median)),
            ("noise", Json::Number(self.noise)),
            ("state", Json::text(self.state())),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_above_bar_and_noise_is_broken() {
        let spread = |median: f64| Some(Spread { median, least: median, most: median });
        assert_eq!(state(spread(1.0), 1.0, 0.0), State::Met);
        assert_eq!(state(spread(1.04), 1.0, 0.05), State::Noise);
        assert_eq!(state(spread(1.06), 1.0, 0.05), State::Broken);
        assert_eq!(state(None, 1.0, 0.05), State::Open);
    }
}
