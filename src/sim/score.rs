//! Scores: false alarms per key-day with exact intervals, power and delays by attack, and what
//! honest look-alikes came to.
//!
//! A delay runs from the first request of the attack to the event at which the action was first
//! justified; what is not found by the end of the trial has no delay. Power is never adjusted.

use super::activity::Activity;
use super::fixture::Class;
use super::interval::{binomial_interval, poisson_interval};
use super::rules::rule_trial::Greatest;
use super::stratum::{Exposures, Stratum};
use crate::model::finding::{Action, Detector, Finding, Reached};
use crate::model::time::EventTime;
use serde::Serialize;
use std::collections::BTreeMap;

/// Actions of the ladder.
pub const ACTIONS: usize = Action::ALL.len();
/// How soon a thing may be found. Unit: milliseconds; 1 s, 10 s, 60 s, 10 min, 1 h.
pub const HORIZONS_MS: [i64; 5] = [1_000, 10_000, 60_000, 600_000, 3_600_000];
const DAY_MS: f64 = 86_400_000.0;

/// One finding on honest use.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// The party that made it.
    pub detector: Detector,
    /// When it opened.
    pub opened: EventTime,
    /// When it last was abnormal, or closed.
    pub ended: EventTime,
    /// When each action was first justified.
    pub reached: Reached,
    /// How many times its own peak the count was; 0 where that is not what it measures.
    pub ratio: f64,
}

impl Alarm {
    /// A finding's score.
    pub fn of(finding: &Finding) -> Self {
        let ended = finding.closed.unwrap_or(finding.updated);
        Self {
            detector: finding.detector,
            opened: finding.opened,
            ended,
            reached: finding.reached,
            ratio: ratio_of(finding),
        }
    }
}

/// How many times its own peak the count of a burst was.
pub fn ratio_of(finding: &Finding) -> f64 {
    let burst = finding.detector == Detector::Burst;
    let ratio = finding.evidence.iter().find(|measure| burst && measure.name == "peak_ratio");
    ratio.map_or(0.0, |measure| measure.value)
}

/// The outcome of one attack or look-alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trial {
    /// Its kind.
    pub scenario: String,
    /// The kind of client that it was tried on.
    pub stratum: Stratum,
    /// How long until each action was justified. Unit: milliseconds.
    pub delay_ms: [Option<i64>; ACTIONS],
    /// The detectors that justified each first.
    pub by: [Option<Detector>; ACTIONS],
    /// How many requests of it came before each action, or until the end.
    pub through: [u64; ACTIONS],
    /// The greatest ratio of a burst within 60 s, 10 min, 1 h.
    pub ratios: [f64; 3],
    /// The greatest scores of simple rules, where they were compared.
    pub rules: Option<Greatest>,
}

impl Trial {
    /// Takes a finding as it was reported, if it is about what began at `begun`.
    pub fn on_finding(&mut self, finding: &Finding, begun: EventTime) {
        for (index, action) in Action::ALL.into_iter().enumerate() {
            let Some(at) = finding.reached.at(action).filter(|at| *at >= begun) else { continue };
            let delay = at.ms_since(begun);
            let (Some(slot), Some(by)) = (self.delay_ms.get_mut(index), self.by.get_mut(index))
            else {
                continue;
            };
            if slot.is_none_or(|before| delay < before) {
                *slot = Some(delay);
                *by = Some(finding.detector);
            }
        }
        let after = finding.updated.ms_since(begun);
        for (slot, horizon) in self.ratios.iter_mut().zip([60_000, 600_000, 3_600_000]) {
            if (0..=horizon).contains(&after) {
                *slot = slot.max(ratio_of(finding));
            }
        }
    }

    /// Counts the requests that came before each action, by their times.
    pub fn count_through(&mut self, begun: EventTime, times: &[EventTime]) {
        for (through, delay) in self.through.iter_mut().zip(&self.delay_ms) {
            let end = delay.map_or(EventTime::MAX, |delay| begun.plus_ms(delay));
            *through = times.partition_point(|time| *time < end) as u64;
        }
    }

    /// When an action was justified.
    pub fn delay(&self, action: Action) -> Option<i64> {
        self.delay_ms.get(action as usize).copied().flatten()
    }
}

/// How often an action was justified on honest use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// The action, or a more severe one.
    pub action: &'static str,
    /// The detector; none: all of them, findings that overlap counted once as an incident.
    pub detector: Option<&'static str>,
    /// Findings of the detector, or incidents.
    pub count: u64,
    /// Those per key-day.
    pub per_key_day: f64,
    /// The exact 95 % interval of that.
    pub interval: (f64, f64),
    /// Those on credentials that were no longer new.
    pub mature_count: u64,
    /// Those per key-day of credentials that were no longer new.
    pub mature_per_key_day: f64,
    /// The exact 95 % interval of that.
    pub mature_interval: (f64, f64),
}

/// The incidents of one credential that justified `action`, by when they first did: findings that
/// did, whatever their detectors, are one incident where they overlap, as people are alerted once.
fn incidents(alarms: &[Alarm], action: Action) -> Vec<EventTime> {
    let justified = |alarm: &Alarm| {
        let at = alarm.reached.at(action)?;
        Some((alarm.opened, alarm.ended, at))
    };
    let mut sorted: Vec<(EventTime, EventTime, EventTime)> =
        alarms.iter().filter_map(justified).collect();
    sorted.sort_unstable();
    let mut found: Vec<(EventTime, EventTime)> = Vec::new();
    for (opened, ended, at) in sorted {
        match found.last_mut() {
            Some((until, first)) if opened <= *until => {
                *until = ended.max(*until);
                *first = at.min(*first);
            }
            _ => found.push((ended, at)),
        }
    }
    found.into_iter().map(|(_, first)| first).collect()
}

/// How long credentials were watched, and what was found on them.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// From first to last use, added up over credentials. Unit: days.
    pub key_days: f64,
    /// How long a credential is new. Unit: milliseconds.
    pub new_ms: i64,
    /// From when it is no longer new to its last use, added up. Unit: days.
    pub mature_days: f64,
    /// Findings by detector and action; `None`: incidents.
    pub counts: BTreeMap<(Option<Detector>, Action), (u64, u64)>,
    /// The ratios of bursts.
    pub ratios: Vec<f64>,
    /// The same by kind of client.
    pub exposures: Exposures,
}

impl Watched {
    /// Nothing yet. `new_ms`: how long a credential is new.
    pub fn new(new_ms: i64) -> Self {
        Self { new_ms, ..Self::default() }
    }

    /// Adds one credential and the alarms on it.
    pub fn add(&mut self, activity: &Activity, alarms: &[Alarm]) {
        let (first, last) = (activity.first, activity.last);
        let days = last.ms_since(first).max(0) as f64 / DAY_MS;
        self.key_days += days;
        let mature = first.plus_ms(self.new_ms);
        let is_sparse = activity.is_sparse();
        self.exposures.add(activity, mature);
        self.mature_days += last.ms_since(mature).max(0) as f64 / DAY_MS;
        for action in Action::ALL {
            for alarm in alarms {
                self.record(Some(alarm.detector), action, alarm.reached.at(action), mature);
            }
            for at in incidents(alarms, action) {
                self.record(None, action, Some(at), mature);
                self.exposures.record(Stratum::of(at < mature, is_sparse), action);
            }
        }
        self.ratios.extend(alarms.iter().map(|alarm| alarm.ratio).filter(|ratio| *ratio > 0.0));
    }

    fn record(
        &mut self,
        detector: Option<Detector>,
        action: Action,
        at: Option<EventTime>,
        mature: EventTime,
    ) {
        if let Some(at) = at {
            let (all, later) = self.counts.entry((detector, action)).or_default();
            *all += 1;
            *later += u64::from(at >= mature);
        }
    }

    /// Adds what was watched elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.key_days += other.key_days;
        self.mature_days += other.mature_days;
        self.ratios.extend(other.ratios);
        self.exposures.merge(other.exposures);
        for (key, (all, later)) in other.counts {
            let sums = self.counts.entry(key).or_default();
            sums.0 += all;
            sums.1 += later;
        }
    }

    /// False alarms per key-day: incidents for each action, then findings by detector.
    pub fn rates(&self) -> Vec<Rate> {
        let any = Action::ALL.into_iter().map(|action| (None, action));
        let by = Detector::ALL.into_iter().flat_map(|detector| {
            Action::ALL.into_iter().map(move |action| (Some(detector), action))
        });
        let rate = |key: (Option<Detector>, Action)| {
            let found = self.counts.get(&key).copied();
            if found.is_none() && key.0.is_some() {
                return None;
            }
            let (count, mature_count) = found.unwrap_or_default();
            let per = |n: u64, days: f64| if days > 0.0 { n as f64 / days } else { 0.0 };
            Some(Rate {
                action: key.1.as_str(),
                detector: key.0.map(Detector::as_str),
                count,
                per_key_day: per(count, self.key_days),
                interval: poisson_interval(count, self.key_days),
                mature_count,
                mature_per_key_day: per(mature_count, self.mature_days),
                mature_interval: poisson_interval(mature_count, self.mature_days),
            })
        };
        any.chain(by).filter_map(rate).collect()
    }
}

/// The outcome of all trials of one kind, for one action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Power {
    /// The action, or a more severe one.
    pub action: &'static str,
    /// The share found within 1 s, 10 s, 60 s, 10 min, 1 h.
    pub within: [f64; 5],
    /// The share found by the end of the trial.
    pub by_end: f64,
    /// The exact 95 % interval of that share.
    pub interval: (f64, f64),
    /// The 50th, 90th and 99th percentile of the delay; none: not found by then within 1 h.
    /// Unit: seconds.
    pub delay_s: [Option<f64>; 3],
    /// The 50th and 90th percentile of the requests of it that came before the action, or until
    /// the end of the trial.
    pub requests_let_through: [u64; 2],
    /// How often each detector was the first to justify it.
    pub first_by: BTreeMap<&'static str, u64>,
}

/// The outcome of all trials of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Whether it ought to be found.
    pub class: &'static str,
    /// The kind of store.
    pub about: &'static str,
    /// How many there were.
    pub trials: u64,
    /// By action.
    pub actions: Vec<Power>,
}

/// The outcome of `trials`, all of one kind.
pub fn outcome(class: Class, name: &str, about: &'static str, trials: &[&Trial]) -> Outcome {
    let actions = Action::ALL.into_iter().map(|action| power(action, trials)).collect();
    Outcome {
        name: name.to_owned(),
        class: class.as_str(),
        about,
        trials: trials.len() as u64,
        actions,
    }
}

fn power(action: Action, trials: &[&Trial]) -> Power {
    let all = trials.len().max(1) as f64;
    let mut delays: Vec<i64> = trials.iter().filter_map(|trial| trial.delay(action)).collect();
    delays.sort_unstable();
    let share = |most: i64| delays.partition_point(|delay| *delay <= most) as f64 / all;
    let mut through: Vec<u64> =
        trials.iter().filter_map(|trial| trial.through.get(action as usize).copied()).collect();
    through.sort_unstable();
    let hour = HORIZONS_MS.last().copied().unwrap_or(0);
    let delay_s = [50, 90, 99].map(|p| {
        let delay = delays.get(rank(p, trials.len())).filter(|delay| **delay <= hour);
        delay.map(|delay| *delay as f64 / 1000.0)
    });
    let mut first_by = BTreeMap::new();
    for trial in trials {
        if let Some(detector) = trial.by.get(action as usize).copied().flatten() {
            *first_by.entry(detector.as_str()).or_insert(0) += 1;
        }
    }
    Power {
        action: action.as_str(),
        within: HORIZONS_MS.map(share),
        by_end: delays.len() as f64 / all,
        interval: binomial_interval(delays.len() as u64, trials.len() as u64),
        delay_s,
        requests_let_through: [50, 90]
            .map(|p| through.get(rank(p, through.len())).copied().unwrap_or(0)),
        first_by,
    }
}

/// Where the `p`-th percentile of `n` sorted values stands: the least that at least `p` percent
/// do not exceed.
const fn rank(p: usize, n: usize) -> usize {
    (n * p).div_ceil(100).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::{Alarm, Trial, Watched, outcome};
    use crate::model::finding::{Action, Detector, Reached};
    use crate::model::time::EventTime;
    use crate::sim::activity::Activity;
    use crate::sim::fixture::Class;
    use crate::sim::random::whole;

    fn alarm(detector: Detector, from: i64, to: i64, action: Action) -> Alarm {
        let mut reached = Reached::default();
        reached.record(action, EventTime::from_s(from));
        let (opened, ended) = (EventTime::from_s(from), EventTime::from_s(to));
        Alarm { detector, opened, ended, reached, ratio: 0.0 }
    }

    #[test]
    fn findings_that_overlap_are_one_incident_and_the_first_day_is_apart() {
        let mut watched = Watched::new(86_400_000);
        let alarms = [
            alarm(Detector::Burst, 100, 400, Action::Alert),
            alarm(Detector::Ramp, 200, 300, Action::Throttle),
            alarm(Detector::Burst, 100_000, 100_300, Action::Observe),
        ];
        let mut activity = Activity::begin(EventTime::from_s(0));
        activity.note(EventTime::from_s(172_800));
        watched.add(&activity, &alarms);
        let rates = watched.rates();
        let of = |detector: Option<&str>, action: &str| {
            let rate = rates.iter().find(|r| r.detector == detector && r.action == action);
            rate.map_or((0, 0), |rate| (rate.count, rate.mature_count))
        };
        assert_eq!(of(None, "observe"), (2, 1));
        assert_eq!(of(None, "throttle"), (1, 0));
        assert_eq!(of(Some("burst"), "alert"), (1, 0));
        assert!((rates[0].per_key_day - 1.0).abs() < 1e-12);
        assert!((rates[0].mature_per_key_day - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_incident_at_alert_is_made_of_findings_that_alerted_whatever_their_detectors() {
        let mut watched = Watched::new(0);
        let alarms = [
            alarm(Detector::Burst, 1_000, 1_400, Action::Throttle),
            alarm(Detector::Cost, 1_200, 1_900, Action::Alert),
            alarm(Detector::TenantFlood, 1_900, 2_200, Action::Alert),
            // A finding that was only observed joins no two alerts.
            alarm(Detector::Ramp, 2_000, 9_000, Action::Observe),
            alarm(Detector::Burst, 8_000, 8_400, Action::Alert),
        ];
        let mut activity = Activity::begin(EventTime::from_s(0));
        activity.note(EventTime::from_s(86_400));
        watched.add(&activity, &alarms);
        let of = |detector: Option<&str>, action: &str| {
            let rates = watched.rates();
            let rate = rates.iter().find(|r| r.detector == detector && r.action == action);
            rate.map_or(0, |rate| rate.count)
        };
        let incidents = ["observe", "alert", "throttle"].map(|action| of(None, action));
        assert_eq!(incidents, [1, 2, 1]);
        assert_eq!((of(Some("burst"), "alert"), of(Some("cost"), "alert")), (2, 1));
        let exposures: Vec<_> = watched.exposures.0.values().map(|one| one.alarms[1]).collect();
        assert_eq!(exposures.iter().sum::<u64>(), 2);
    }

    #[test]
    fn delays_are_ranked_over_all_trials_found_or_not() {
        let found = |delay: i64| Trial {
            delay_ms: [Some(delay); 5],
            through: [u64::try_from(delay).expect("positive"); 5],
            ..Trial::default()
        };
        let trials = [found(500), found(8_000), found(30_000), Trial::default()];
        let trials: Vec<&Trial> = trials.iter().collect();
        let power = &outcome(Class::Attack, "x", "", &trials).actions[1];
        assert_eq!(power.within.map(|share| whole((share * 4.0).round())), [1, 2, 3, 3, 3]);
        assert_eq!(power.delay_s, [Some(8.0), None, None]);
    }
}
