//! Simple rules next to tripline: the same traffic, no more false alarms, the same attacks.
//!
//! Each rule's threshold is chosen for each kind of client on the very traffic that it is judged by,
//! which no one can do beforehand: it flatters the rules.

use super::rises::{RuleAlarms, Threshold};
use super::rule_set::Rule;
use super::rule_trial::{Greatest, HORIZONS_MS};
use crate::model::finding::Action;
use crate::sim::interval::binomial_interval;
use crate::sim::score::Trial;
use crate::sim::stratum::{Exposure, Exposures, Stratum};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The attacks of the table; all are in the JSON.
const SHOWN: [&str; 4] = ["flood_10k_inside", "step_x10_inside", "step_x30_inside", "pulses"];

/// How soon an attack was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RulePower {
    /// The attack.
    pub attack: String,
    /// How many there were.
    pub trials: u64,
    /// The share alerted on within 10 s, 60 s, 10 min.
    pub within: [f64; HORIZONS_MS.len()],
    /// The exact 95 % intervals of these.
    pub intervals: [(f64, f64); HORIZONS_MS.len()],
    /// Whether that is above the interval of tripline's own share.
    pub beats_tripline: [bool; HORIZONS_MS.len()],
}

/// A rule, or tripline, on one kind of client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleReport {
    /// Its name.
    pub rule: &'static str,
    /// It alarms where its score is above this; none: tripline.
    pub above: Option<f64>,
    /// False alarms.
    pub false_alarms: u64,
    /// The attacks that show in the rate alone.
    pub power: Vec<RulePower>,
}

/// One kind of client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Its name.
    pub kind: &'static str,
    /// How long its clients were watched. Unit: days.
    pub key_days: f64,
    /// tripline first, then the rules.
    pub rules: Vec<RuleReport>,
}

/// The trials of one attack that the rules saw, too.
type Compared<'a> = BTreeMap<&'a str, Vec<(&'a Trial, &'a Greatest)>>;

fn power<'a>(
    trials: &Compared<'a>,
    is_found: impl Fn(&Trial, &Greatest, usize) -> bool,
    tripline: Option<&RuleReport>,
) -> Vec<RulePower> {
    let one = |(name, trials): (&&'a str, &Vec<(&'a Trial, &'a Greatest)>)| {
        let n = trials.len() as u64;
        let own = tripline.and_then(|own| own.power.iter().find(|power| power.attack == *name));
        let hits = std::array::from_fn(|at| {
            trials.iter().filter(|(trial, greatest)| is_found(trial, greatest, at)).count() as u64
        });
        let within: [f64; HORIZONS_MS.len()] = hits.map(|hits: u64| hits as f64 / n as f64);
        let intervals = hits.map(|hits| binomial_interval(hits, n));
        let mut beats_tripline = [false; HORIZONS_MS.len()];
        if let Some(own) = own {
            for ((beats, share), (_, high)) in
                beats_tripline.iter_mut().zip(within).zip(own.intervals)
            {
                *beats = share > high;
            }
        }
        let attack = (*name).to_owned();
        RulePower { attack, trials: n, within, intervals, beats_tripline }
    };
    trials.iter().map(one).collect()
}

fn comparison(
    stratum: Stratum,
    exposure: &Exposure,
    alarms: &RuleAlarms,
    trials: &[Trial],
) -> Comparison {
    let mut compared = Compared::new();
    for trial in trials.iter().filter(|trial| trial.stratum == stratum) {
        if let Some(greatest) = &trial.rules {
            compared.entry(&trial.scenario).or_default().push((trial, greatest));
        }
    }
    let false_alarms = exposure.alarms.get(Action::Alert as usize).copied().unwrap_or(0);
    let in_time = |trial: &Trial, _: &Greatest, at: usize| {
        let horizon = HORIZONS_MS.get(at).copied().unwrap_or(0);
        trial.delay(Action::Alert).is_some_and(|delay| delay <= horizon)
    };
    let own = RuleReport {
        rule: "tripline",
        above: None,
        false_alarms,
        power: power(&compared, in_time, None),
    };
    let rises = alarms.0.get(&stratum);
    let rules = Rule::ALL.into_iter().zip(rises.into_iter().flatten()).enumerate();
    let rules: Vec<RuleReport> = rules
        .map(|(number, (rule, rises))| {
            let Threshold { above, false_alarms } = rises.threshold(false_alarms);
            let is_above = |_: &Trial, greatest: &Greatest, at: usize| {
                let score = greatest.0.get(at).and_then(|scores| scores.get(number));
                score.is_some_and(|score| *score > above)
            };
            let power = power(&compared, is_above, Some(&own));
            RuleReport { rule: rule.as_str(), above: Some(above), false_alarms, power }
        })
        .collect();
    let rules = std::iter::once(own).chain(rules).collect();
    Comparison { kind: stratum.as_str(), key_days: exposure.days, rules }
}

/// Each kind of client that there were any of.
pub fn report(exposures: &Exposures, alarms: &RuleAlarms, trials: &[Trial]) -> Vec<Comparison> {
    let strata = exposures.0.iter();
    strata.map(|(stratum, exposure)| comparison(*stratum, exposure, alarms, trials)).collect()
}

fn cell(power: &RulePower) -> String {
    let percent = |share: f64| format!("{:.0}", 100.0 * share);
    let marked = power.within.into_iter().zip(power.beats_tripline);
    let shares: Vec<String> = marked
        .map(|(share, beats)| format!("{}{}", percent(share), if beats { "*" } else { "" }))
        .collect();
    let [_, (low, high), _] = power.intervals;
    format!("{} [{}, {}]", shares.join(" / "), percent(low), percent(high))
}

/// The table for people; writing to a string can't fail.
pub fn table(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    if comparisons.is_empty() {
        return text;
    }
    let _ok = writeln!(
        text,
        "\nSIMPLE RULES, by rate alone: % alerted on within 10 s / 60 s / 10 min, with the exact 95 % \
         interval at 60 s.\nEach has the lowest threshold with no more false alarms than tripline, \
         chosen on the same traffic, which flatters it.\n*: above the interval of tripline's share"
    );
    for one in comparisons {
        let trials = |name: &str| {
            let powers = one.rules.first().map(|own| own.power.as_slice()).unwrap_or_default();
            powers.iter().find(|power| power.attack == name).map_or(0, |power| power.trials)
        };
        let mut heads = String::new();
        for name in SHOWN {
            let _ok = write!(heads, "{:>32}", format!("{name} ({})", trials(name)));
        }
        let _ok = writeln!(
            text,
            "\n{}, {:.1} key-days\n{:<14}{:>10}{:>12}{heads}",
            one.kind, one.key_days, "rule", "alarms", "above"
        );
        for rule in &one.rules {
            let of = |name: &str| rule.power.iter().find(|power| power.attack == name);
            let cells = SHOWN.map(|name| format!("{:>32}", of(name).map_or("-".to_owned(), cell)));
            let above = rule.above.map_or_else(String::new, |above| format!("{above:.2}"));
            let _ok = writeln!(
                text,
                "{:<14}{:>10}{above:>12}{}",
                rule.rule,
                rule.false_alarms,
                cells.concat()
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Comparison, report, table};
    use crate::model::finding::Action;
    use crate::model::time::EventTime;
    use crate::sim::activity::tests::used;
    use crate::sim::rules::rises::{HonestScores, RuleAlarms};
    use crate::sim::rules::rule_set::{Judged, Rule};
    use crate::sim::rules::rule_trial::Greatest;
    use crate::sim::score::Trial;
    use crate::sim::stratum::{Exposures, Stratum};

    /// A busy client on whose honest use every rule had scores of 10, 20, 30 far apart, and tripline
    /// one alert; attacked once, with a score of `score` from 60 s on.
    fn compared(score: f64, alerted_after_ms: Option<i64>) -> Comparison {
        let mut exposures = Exposures::default();
        exposures.add(&used(0..=400), EventTime::from_s(0));
        exposures.record(Stratum::Busy, Action::Alert);
        let mut honest = HonestScores::new(0);
        for (second, score) in [(200_000, 10.0), (210_000, 20.0), (220_000, 30.0)] {
            honest.record(&Judged { second, scores: [score; Rule::ALL.len()] });
        }
        let mut alarms = RuleAlarms::default();
        alarms.add(honest, false);
        let none = [0.0; Rule::ALL.len()];
        let mut trial = Trial {
            scenario: "flood_10k_inside".to_owned(),
            stratum: Stratum::Busy,
            rules: Some(Greatest([none, [score; Rule::ALL.len()], [score; Rule::ALL.len()]])),
            ..Trial::default()
        };
        trial.delay_ms[Action::Alert as usize] = alerted_after_ms;
        let all = report(&exposures, &alarms, &vec![trial; 20]);
        all.into_iter().find(|one| one.kind == "busy").expect("busy")
    }

    #[test]
    fn a_rule_has_as_many_false_alarms_as_tripline_and_finds_what_exceeds_its_threshold() {
        let found = compared(21.0, Some(400_000));
        let own = &found.rules[0];
        assert_eq!(
            (own.rule, own.false_alarms, own.power[0].within),
            ("tripline", 1, [0.0, 0.0, 1.0])
        );
        assert_eq!(found.rules.len(), 1 + Rule::ALL.len());
        for rule in &found.rules[1..] {
            assert_eq!((rule.above, rule.false_alarms), (Some(20.0), 1));
            assert_eq!(rule.power[0].within.map(|share| share > 0.5), [false, true, true]);
            assert_eq!(rule.power[0].beats_tripline, [false, true, false]);
        }
        let missed = compared(20.0, Some(1_000));
        assert_eq!(missed.rules[1].power[0].within.map(|share| share > 0.0), [false; 3]);
        assert_eq!(missed.rules[1].power[0].beats_tripline, [false; 3]);
    }

    #[test]
    fn the_table_marks_what_is_above_the_interval_of_tripline() {
        let text = table(&[compared(21.0, None)]);
        let row = |name: &str| {
            let row = text.lines().find(|line| line.starts_with(name)).expect("a row");
            row.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row("tripline"), "tripline 1 0 / 0 / 0 [0, 17] - - -");
        assert_eq!(row("spot"), "spot 1 20.00 0 / 100* / 100* [83, 100] - - -");
        assert!(table(&[]).is_empty());
    }
}
