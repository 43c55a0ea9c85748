//! The report of a backtest: for machines as JSON, for people as tables.

use super::fixture::Class;
use super::fleet_events::FleetTrial;
use super::plot::Point;
use super::rules::comparison::{self, Comparison};
use super::scenario;
use super::score::{Outcome, Power, Rate, Trial, Watched, outcome};
use super::stratum_report::{self, StratumReport};
use crate::model::finding::Action;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The report of a backtest.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The input.
    pub source: String,
    /// The seed of all draws; none: files were read.
    pub seed: Option<u64>,
    /// Credentials.
    pub credentials: u64,
    /// Credentials of the source that were left out as too large.
    pub left_out: u64,
    /// Records of files that were refused.
    pub refused: u64,
    /// Labels of files whose credential did nothing meanwhile.
    pub idle_labels: u64,
    /// Honest events, or all events of files.
    pub events: u64,
    /// Events of trials.
    pub trial_events: u64,
    /// From first to last use, added up over credentials. Unit: days.
    pub key_days: f64,
    /// How long a credential counts as new. Unit: hours.
    pub new_h: f64,
    /// From when it is no longer new to its last use, added up. Unit: days.
    pub mature_key_days: f64,
    /// Incidents on honest use, and findings by detector.
    pub false_alarms: Vec<Rate>,
    /// The outcome of attacks and look-alikes; of made streams on clients that were no longer new.
    pub outcomes: Vec<Outcome>,
    /// The same by kind of client.
    pub strata: Vec<StratumReport>,
    /// Simple rules on the same requests, where they were compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub simple_rules: Vec<Comparison>,
    /// The outcome of many credentials that did the same at once.
    pub fleets: Vec<FleetTrial>,
    /// Power against false alarms, by the ratio of bursts.
    pub curve: Vec<Point>,
    /// Events per second of wall-clock time.
    pub events_per_s: f64,
}

impl Report {
    /// Takes false alarms and trials.
    /// `classes`: whether what users labelled ought to be found.
    pub fn score(
        &mut self,
        watched: &Watched,
        trials: &[Trial],
        classes: &BTreeMap<String, Class>,
    ) {
        self.key_days = watched.key_days;
        self.new_h = watched.new_ms as f64 / 3_600_000.0;
        self.mature_key_days = watched.mature_days;
        self.false_alarms = watched.rates();
        self.curve = super::plot::curve(watched, trials);
        self.strata = stratum_report::report(&watched.exposures, trials);
        let mut by_name: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
        // What users labelled is all shown; clients that are made are attacked as new and later.
        let is_shown = |trial: &&Trial| self.seed.is_none() || !trial.stratum.is_new();
        for trial in trials.iter().filter(is_shown) {
            by_name.entry(&trial.scenario).or_default().push(trial);
        }
        for (_, scenario) in scenario::all() {
            if let Some(trials) = by_name.remove(scenario.name) {
                let about = scenario.about;
                self.outcomes.push(outcome(scenario.class, scenario.name, about, &trials));
            }
        }
        // The labels of users.
        for (name, trials) in by_name {
            let class = classes.get(name).copied().unwrap_or(Class::Attack);
            self.outcomes.push(outcome(class, name, "", &trials));
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        self.head(&mut text);
        self.alarms(&mut text);
        self.strata(&mut text);
        text.push_str(&comparison::table(&self.simple_rules));
        self.attacks(&mut text);
        self.controls(&mut text);
        text
    }

    // Writing to a string can't fail.
    fn head(&self, text: &mut String) {
        let seed = self.seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
        let _ok = writeln!(text, "{}{seed}", self.source);
        let _ok = writeln!(
            text,
            "{} credentials ({} left out as too large), {:.1} key-days ({:.1} after each one's \
             first {:.0} h)",
            self.credentials, self.left_out, self.key_days, self.mature_key_days, self.new_h
        );
        if self.refused > 0 || self.idle_labels > 0 {
            let _ok = writeln!(
                text,
                "{} records refused, {} labels of credentials that did nothing meanwhile",
                self.refused, self.idle_labels
            );
        }
        let _ok = writeln!(
            text,
            "{} events, {} more in trials, {:.0} events per second\n",
            self.events, self.trial_events, self.events_per_s
        );
    }

    fn alarms(&self, text: &mut String) {
        let _ok = writeln!(
            text,
            "FALSE ALARMS per key-day, with exact 95 % intervals\n{:<13}{:<10}{:>8} {:>10} {:<24}{:>8} {:>10} after the first {:.0} h",
            "detector", "action", "all", "per day", "", "later", "per day", self.new_h
        );
        for rate in &self.false_alarms {
            let range = |(low, high): (f64, f64)| format!("[{}, {}]", small(low), small(high));
            let _ok = writeln!(
                text,
                "{:<13}{:<10}{:>8} {:>10} {:<24}{:>8} {:>10} {}",
                rate.detector.unwrap_or("incidents"),
                rate.action,
                rate.count,
                small(rate.per_key_day),
                range(rate.interval),
                rate.mature_count,
                small(rate.mature_per_key_day),
                range(rate.mature_interval),
            );
        }
    }

    /// Each kind of client by itself: false alarms, and the share of attacks alerted on.
    fn strata(&self, text: &mut String) {
        let _ok = writeln!(
            text,
            "\nBY KIND OF CLIENT (new: its first {:.0} h; sparse: active in less than 30 % of windows of \
             10 min)\n{:<16}{:>8}{:>10}  alerts per key-day",
            self.new_h, "kind", "clients", "key-days"
        );
        for one in &self.strata {
            let alert = Action::Alert.as_str();
            let Some(rate) = one.false_alarms.iter().find(|rate| rate.action == alert) else {
                continue;
            };
            let (low, high) = rate.interval;
            let _ok = writeln!(
                text,
                "{:<16}{:>8}{:>10.1}  {} [{}, {}] ({})",
                one.name,
                one.credentials,
                one.key_days,
                small(rate.per_key_day),
                small(low),
                small(high),
                rate.incidents,
            );
        }
        let names: BTreeSet<&str> =
            self.strata.iter().flat_map(|one| &one.power).map(|one| one.name.as_str()).collect();
        let attacks = scenario::all().filter(|(_, one)| one.class == Class::Attack);
        let shown: Vec<&str> =
            attacks.map(|(_, one)| one.name).filter(|name| names.contains(name)).collect();
        if shown.is_empty() {
            return;
        }
        let mut heads = String::new();
        for one in &self.strata {
            let _ok = write!(heads, "{:>26}", one.name);
        }
        let _ok = writeln!(
            text,
            "% alerted on within 10 s / 60 s / 10 min (trials)\n{:<22}{heads}",
            "attack"
        );
        for name in shown {
            let cell = |one: &StratumReport| match one.power.iter().find(|power| power.name == name)
            {
                Some(power) => {
                    let [_, ten, sixty, long, _] = power.within.map(|share| 100.0 * share);
                    format!(
                        "{:>26}",
                        format!("{ten:.0} / {sixty:.0} / {long:.0} ({})", power.trials)
                    )
                }
                None => format!("{:>26}", "-"),
            };
            let cells: String = self.strata.iter().map(cell).collect();
            let _ok = writeln!(text, "{name:<22}{cells}");
        }
    }

    fn attacks(&self, text: &mut String) {
        let attacks = self.outcomes.iter().filter(|one| one.class == Class::Attack.as_str());
        for (index, one) in attacks.enumerate() {
            if index == 0 {
                let _ok = writeln!(
                    text,
                    "\nPOWER: % found within 1 s, 10 s, 60 s, 10 min, 1 h, and by the end; delay p50, \
                     p90, p99 [s] (- beyond 1 h); requests let through p50, p90\n\
                     {:<26}{:<10}{:>6}{:>6}{:>6}{:>6}{:>6}{:>6}{:>9}{:>9}{:>9}{:>10}{:>10}  first by",
                    "attack (trials)",
                    "action",
                    "1s",
                    "10s",
                    "60s",
                    "10m",
                    "1h",
                    "end",
                    "p50",
                    "p90",
                    "p99",
                    "let p50",
                    "p90"
                );
            }
            let mut name = format!("{} ({})", one.name, one.trials);
            for power in one.actions.iter().filter(|power| is_worth_saying(power)) {
                let _ok = writeln!(text, "{}", power_row(&name, power));
                name.clear();
            }
        }
    }

    fn controls(&self, text: &mut String) {
        let is_control = |one: &&Outcome| one.class == Class::Control.as_str();
        let rows = self.outcomes.iter().filter(is_control).map(|one| {
            let counts =
                one.actions.iter().map(|power| whole_count(power.by_end * one.trials as f64));
            (one.name.as_str(), one.trials, counts.collect::<Vec<_>>(), one.about)
        });
        let fleets = self
            .fleets
            .iter()
            .map(|fleet| (fleet.name, fleet.credentials, fleet.justified.to_vec(), fleet.about));
        for (index, (name, trials, counts, about)) in rows.chain(fleets).enumerate() {
            if index == 0 {
                let heads = wide(Action::ALL.iter().map(|action| action.as_str()));
                let _ok = writeln!(
                    text,
                    "\nNEGATIVE CONTROLS: how many came to each action (suspend and revoke must stay 0)\n\
                     {:<26}{:>7}{heads}",
                    "control", "trials"
                );
            }
            let counts = wide(&counts);
            let _ok = writeln!(text, "{name:<26}{trials:>7}{counts}  {about}");
        }
        for fleet in &self.fleets {
            let _ok = writeln!(
                text,
                "{}: carried out under mode revoke: {} suspensions, {} revocations",
                fleet.name, fleet.suspended, fleet.revoked
            );
        }
    }
}

fn is_worth_saying(power: &Power) -> bool {
    power.by_end > 0.0 || power.action == Action::Alert.as_str()
}

fn power_row(name: &str, power: &Power) -> String {
    let percent = |share: f64| format!("{:>6.0}", 100.0 * share);
    let within: String = power.within.iter().map(|share| percent(*share)).collect();
    let delay = |delay: &Option<f64>| {
        delay.map_or_else(|| format!("{:>9}", "-"), |delay| format!("{delay:>9.1}"))
    };
    let delays: String = power.delay_s.iter().map(delay).collect();
    let through = wide(power.requests_let_through);
    let by: Vec<String> = power.first_by.iter().map(|(by, n)| format!("{by} {n}")).collect();
    let end = percent(power.by_end);
    format!("{name:<26}{:<10}{within}{end}{delays}{through}  {}", power.action, by.join(", "))
}

/// Columns of ten characters.
fn wide<T: std::fmt::Display>(columns: impl IntoIterator<Item = T>) -> String {
    let add = |mut text: String, column: T| {
        let _ok = write!(text, "{column:>10}");
        text
    };
    columns.into_iter().fold(String::new(), add)
}

fn whole_count(number: f64) -> u64 {
    u64::from(super::random::whole(number.round()))
}

/// A rate in three digits.
fn small(rate: f64) -> String {
    if rate == 0.0 {
        "0".to_owned()
    } else if rate < 0.01 {
        format!("{rate:.1e}")
    } else {
        format!("{rate:.3}")
    }
}
