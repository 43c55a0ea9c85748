//! The fixture of a trial, and its attack.

use super::random::Random;
use super::stream::{Party, RequestStream, TwoParties};
use crate::model::time::EventTime;

/// Whether a trial ought to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It ought to be found.
    Attack,
    /// It may alert and be throttled; it must never be suspended or revoked.
    Control,
}

impl Class {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attack => "attack",
            Self::Control => "control",
        }
    }
}

/// The fixture of a trial.
#[derive(Debug)]
pub struct Fixture<'a> {
    /// The owner's requests from `start` on.
    pub owner: &'a RequestStream,
    /// When it begins.
    pub start: EventTime,
    /// The draws of this trial.
    pub random: Random,
    /// The owner's mean rate over the last hour. Unit: requests per minute.
    pub level_per_min: f64,
}

/// The course of a trial.
#[derive(Clone, Debug)]
pub struct AttackPlan {
    /// The requests.
    pub duo: TwoParties,
    /// Whose requests are what the trial is about.
    pub whose: Party,
    /// Whether the credential is seen for the first time.
    pub fresh: bool,
    /// Whether what was read is read once more.
    pub redelivers: bool,
    /// The absolute limit that holds meanwhile. Unit: requests per minute; 0 is none.
    pub limit_per_min: u32,
}

impl AttackPlan {
    /// Both go on.
    pub fn beside(scene: &Fixture<'_>, other: RequestStream) -> Self {
        let duo = TwoParties { owner: Some(scene.owner.clone()), other: Some(other) };
        Self { duo, whose: Party::Other, fresh: false, redelivers: false, limit_per_min: 0 }
    }

    /// Only the other one goes on.
    pub fn instead(other: RequestStream) -> Self {
        let duo = TwoParties { owner: None, other: Some(other) };
        Self { duo, whose: Party::Other, fresh: false, redelivers: false, limit_per_min: 0 }
    }

    /// The owner goes on otherwise.
    pub fn owner(owner: RequestStream) -> Self {
        let duo = TwoParties { owner: Some(owner), other: None };
        Self { duo, whose: Party::Owner, fresh: false, redelivers: false, limit_per_min: 0 }
    }
}
