//! `origin`: requests from a network, a country or a user agent that the credential was never
//! used from.
//!
//! Score: the surprise of the new values (Pitman-Yor, [`crate::stats::novelty`]): the greater of
//! network and country, which change together, and the user agent. A new source alone is no
//! abuse, people move; with a rise of the rate, or where surprise and rise together are as
//! unlikely as a burst, it alerts. It alerts on the first request where the surprise is higher
//! still, or where network, user agent and endpoint are all new. Whether it may do more is weighed with
//! the rate, see [`super::escalation`]. Cost: bits by event; the formula only for new values.

use super::evidence::{Evidence, grouped};
use super::familiarity::{Familiar, Recent};
use super::novel::Novel;
use crate::model::features::Aspect;
use crate::model::finding::{Action, Measure};

/// Parameters of a remarkable new source.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least surprise to speak. Unit: nats. Default: 7.
    pub observe_nats: f64,
    /// The least surprise to alert, with a rise of the rate. Unit: nats. Default: 14.
    pub alert_nats: f64,
    /// The surprise and the evidence of the rise that alert together. Unit: nats. Default: 20, as
    /// of a burst.
    pub alert_sum_nats: f64,
    /// The rise: all requests recently, or those of a window, over the expected ones.
    /// Default: 1.8.
    pub rise_ratio: f64,
    /// The least evidence of a rise within one window. Unit: nats. Default: 5.
    pub rise_nats: f64,
    /// The least requests from new sources to alert. Default: 6.
    pub requests_min: f64,
    /// The least part of the excess that comes from new sources to alert, in 0..1. Default: 0.5.
    pub new_source_ratio: f64,
    /// The surprise that alerts by itself, on the first request. Unit: nats. Default: 18.
    pub alone_nats: f64,
    /// The same where network, user agent and endpoint are all new at once. Unit: nats. Default: 14.
    pub all_new_nats: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            observe_nats: 7.0,
            alert_nats: 14.0,
            alert_sum_nats: 20.0,
            rise_ratio: 1.8,
            rise_nats: 5.0,
            requests_min: 6.0,
            new_source_ratio: 0.5,
            alone_nats: 18.0,
            all_new_nats: 14.0,
        }
    }
}

/// A new source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewSource {
    /// The new values.
    pub novel: Novel,
    /// How surprising that is. Unit: nats.
    pub surprise_nats: f64,
    /// The surprise of a new network, were one seen. Unit: nats.
    pub network_nats: f64,
    /// How many networks are known, about.
    pub networks: u32,
    /// The requests recently.
    pub recent: Recent,
    /// The evidence that the rate rose, in the window that shows it best. Unit: nats.
    pub rise_nats: f64,
}

/// Evaluates `origin` for a request with these `novel` values. `rise_nats` is asked only of values
/// that surprise: the evidence that the rate rose, in the window that shows it best.
pub fn evaluate(
    known: &Familiar,
    novel: Novel,
    recent: Recent,
    rise_nats: impl FnOnce() -> f64,
    params: &Params,
) -> Option<(Action, NewSource)> {
    let surprise_nats = known.source_surprise_nats(novel);
    if surprise_nats < params.observe_nats {
        return None;
    }
    let rise_nats = rise_nats();
    let moved = novel.has(Aspect::Network) || novel.has(Aspect::Country);
    let rises = rise_nats >= params.rise_nats || recent.all >= params.rise_ratio * recent.expected;
    let is_evident = (rises && surprise_nats >= params.alert_nats)
        || surprise_nats + rise_nats >= params.alert_sum_nats;
    let rises_by_it = is_evident
        && recent.new >= params.requests_min
        && recent.new_source_ratio() >= params.new_source_ratio;
    let all_new =
        [Aspect::Network, Aspect::Agent, Aspect::Endpoint].into_iter().all(|one| novel.has(one));
    let stands_out =
        surprise_nats >= params.alone_nats || (all_new && surprise_nats >= params.all_new_nats);
    let alerts = moved && (rises_by_it || stands_out);
    let seen = NewSource {
        novel,
        surprise_nats,
        network_nats: known.surprise_nats(Aspect::Network),
        networks: known.distinct(Aspect::Network),
        recent,
        rise_nats,
    };
    Some((if alerts { Action::Alert } else { Action::Observe }, seen))
}

/// The new values, in words.
pub(super) fn new_things(novel: Novel) -> String {
    let names = [
        (Aspect::Network, "network"),
        (Aspect::Country, "country"),
        (Aspect::Agent, "user agent"),
        (Aspect::Endpoint, "endpoint"),
    ];
    let new: Vec<_> =
        names.into_iter().filter(|(aspect, _)| novel.has(*aspect)).map(|(_, name)| name).collect();
    match new.split_last() {
        None => "nothing new".to_owned(),
        Some((only, [])) => format!("a new {only}"),
        Some((last, rest)) => format!("a new {} and {last}", rest.join(", ")),
    }
}

impl Evidence for NewSource {
    fn strength(&self) -> f64 {
        self.surprise_nats
    }

    fn evidence_nats(&self) -> f64 {
        self.surprise_nats
    }

    fn summary(&self) -> String {
        let known = match self.networks {
            1 => "one network".to_owned(),
            networks => format!("{networks} networks"),
        };
        format!(
            "is used from {}, after {known} so far; {} of late came from new sources, where about \
             {} are usual from all",
            new_things(self.novel),
            match self.recent.new {
                new if new < 1.5 => "one request".to_owned(),
                new => format!("{} requests", grouped(new)),
            },
            grouped(self.recent.expected),
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("surprise_nats", self.surprise_nats),
            Measure::new("network_surprise_nats", self.network_nats),
            Measure::new("networks_known", f64::from(self.networks)),
            Measure::new("recent_new", self.recent.new),
            Measure::new("recent_all", self.recent.all),
            Measure::new("recent_expected", self.recent.expected),
            Measure::new("new_source_ratio", self.recent.new_source_ratio()),
            Measure::new("rise_nats", self.rise_nats),
        ]
    }
}

crate::codec!(NewSource { novel, surprise_nats, network_nats, networks, recent, rise_nats });
