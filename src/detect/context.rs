//! The context of a detection besides the rate: the source, the target, and how well the
//! credential is known.

use super::familiarity::Recent;
use super::novel::Novel;
use crate::model::features::Aspect;
use crate::model::finding::Measure;

/// The conditions under which a rate takes a credential out of service.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least surprise. Unit: nats. Default: 14.
    pub surprise_nats: f64,
    /// The least part of the excess from new sources, in 0..1. Default: 0.8.
    pub new_source_ratio: f64,
    /// How long a suspension must have been justified before a revocation is.
    /// Unit: milliseconds. Default: 60,000.
    pub revoke_after_ms: i64,
    /// The least age to be suspended or revoked for a rate. Unit: seconds. Default: 7 days.
    pub age_s_min: u32,
    /// The least hours of use to be suspended or revoked for a rate. Default: 24.
    pub hours_min: u8,
    /// The least sleep that corroborates. Unit: days. Default: 30.
    pub slept_days_min: u8,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            surprise_nats: 14.0,
            new_source_ratio: 0.8,
            revoke_after_ms: 60_000,
            age_s_min: 7 * 86_400,
            hours_min: 24,
            slept_days_min: 30,
        }
    }
}

/// The context of a detection besides the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Context {
    /// Whether the burst passes the rate gate.
    pub rate: bool,
    /// Values in this request that are new or unproven.
    pub novel: Novel,
    /// How surprising its source is. Unit: nats.
    pub surprise_nats: f64,
    /// The requests recently, from new sources and from all.
    pub recent: Recent,
    /// How long the credential slept before it was used again within the hour. Unit: days.
    pub slept_days: u8,
    /// How long it has been known. Unit: seconds.
    pub age_s: u32,
    /// In how many hours it was used; at most 255.
    pub hours: u8,
}

impl Context {
    /// Whether who and where from is so new, and so much of the excess, that it speaks of theft.
    pub fn passes(&self, params: &Params) -> bool {
        self.surprise_nats >= params.surprise_nats
            && self.recent.new_source_ratio() >= params.new_source_ratio
    }

    /// Whether enough is known to take the credential out of service for its rate (S-9).
    pub const fn is_mature(&self, params: &Params) -> bool {
        self.age_s >= params.age_s_min && self.hours >= params.hours_min
    }

    /// Whether something besides network and country speaks of theft.
    pub const fn is_corroborated(&self, params: &Params) -> bool {
        self.novel.has(Aspect::Agent)
            || self.novel.has(Aspect::Endpoint)
            || self.slept_days >= params.slept_days_min
    }

    /// The contributions of the context, as numbers.
    pub fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("surprise_nats", self.surprise_nats),
            Measure::new("new_source_ratio", self.recent.new_source_ratio()),
            Measure::new("new_agent", f64::from(u8::from(self.novel.has(Aspect::Agent)))),
            Measure::new("new_endpoint", f64::from(u8::from(self.novel.has(Aspect::Endpoint)))),
            Measure::new("slept_days", f64::from(self.slept_days)),
            Measure::new("age_days", f64::from(self.age_s) / 86_400.0),
            Measure::new("hours_used", f64::from(self.hours)),
        ]
    }
}

crate::codec!(Context { rate, novel, surprise_nats, recent, slept_days, age_s, hours });
