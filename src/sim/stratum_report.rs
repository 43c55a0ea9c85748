//! False alarms and power of each kind of client.

use super::interval::poisson_interval;
use super::score::{HORIZONS_MS, Trial};
use super::stratum::{Exposures, Stratum};
use crate::model::finding::Action;
use serde::Serialize;
use std::collections::BTreeMap;

/// How often an action was justified on honest use of one kind of client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StratumRate {
    /// The action, or a more severe one.
    pub action: &'static str,
    /// Incidents: findings that overlap count once.
    pub incidents: u64,
    /// Incidents per key-day.
    pub per_key_day: f64,
    /// The exact 95 % interval of that.
    pub interval: (f64, f64),
}

/// How soon an attack on one kind of client was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StratumPower {
    /// Its name.
    pub name: String,
    /// How many there were.
    pub trials: u64,
    /// The share alerted on within 1 s, 10 s, 60 s, 10 min, 1 h.
    pub within: [f64; HORIZONS_MS.len()],
}

/// One kind of client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StratumReport {
    /// Its name.
    pub name: &'static str,
    /// Its clients.
    pub credentials: u64,
    /// How long they were watched while they were of this kind. Unit: days.
    pub key_days: f64,
    /// False alarms by action.
    pub false_alarms: Vec<StratumRate>,
    /// Attacks and look-alikes.
    pub power: Vec<StratumPower>,
}

fn power(stratum: Stratum, trials: &[Trial]) -> Vec<StratumPower> {
    let mut by_name: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| trial.stratum == stratum) {
        let delay = trial.delay(Action::Alert).unwrap_or(i64::MAX);
        by_name.entry(&trial.scenario).or_default().push(delay);
    }
    let one = |(name, delays): (&str, Vec<i64>)| {
        let share = |most: i64| {
            delays.iter().filter(|delay| **delay <= most).count() as f64 / delays.len() as f64
        };
        StratumPower {
            name: name.to_owned(),
            trials: delays.len() as u64,
            within: HORIZONS_MS.map(share),
        }
    };
    by_name.into_iter().map(one).collect()
}

/// Each kind of client that there were any of.
pub fn report(exposures: &Exposures, trials: &[Trial]) -> Vec<StratumReport> {
    let strata = exposures.0.iter().map(|(stratum, exposure)| {
        let alarms = Action::ALL.into_iter().zip(exposure.alarms);
        let rate = |(action, alarms): (Action, u64)| StratumRate {
            action: action.as_str(),
            incidents: alarms,
            per_key_day: alarms as f64 / exposure.days.max(f64::MIN_POSITIVE),
            interval: poisson_interval(alarms, exposure.days),
        };
        StratumReport {
            name: stratum.as_str(),
            credentials: exposure.credentials,
            key_days: exposure.days,
            false_alarms: alarms.map(rate).collect(),
            power: power(*stratum, trials),
        }
    });
    strata.collect()
}
