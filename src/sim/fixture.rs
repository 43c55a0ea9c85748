//! What is known where a trial begins, and what happens in it.

use super::random::Random;
use super::stream::{By, Duo, Flow};
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

/// What is known where a trial begins.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The owner's requests from `start` on.
    pub owner: &'a Flow,
    /// When it begins.
    pub start: EventTime,
    /// The draws of this trial.
    pub random: Random,
    /// The owner's mean rate over the last hour. Unit: requests per minute.
    pub level_per_min: f64,
}

/// What happens in a trial.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The requests.
    pub duo: Duo,
    /// Whose requests are what the trial is about.
    pub whose: By,
    /// Whether the credential is seen for the first time.
    pub fresh: bool,
    /// Whether what was read is read once more.
    pub redelivers: bool,
    /// The absolute limit that holds meanwhile. Unit: requests per minute; 0 is none.
    pub limit_per_min: u32,
}

impl Plan {
    /// Both go on.
    pub fn beside(scene: &Scene<'_>, other: Flow) -> Self {
        let duo = Duo { owner: Some(scene.owner.clone()), other: Some(other) };
        Self { duo, whose: By::Other, fresh: false, redelivers: false, limit_per_min: 0 }
    }

    /// Only the other one goes on.
    pub fn instead(other: Flow) -> Self {
        let duo = Duo { owner: None, other: Some(other) };
        Self { duo, whose: By::Other, fresh: false, redelivers: false, limit_per_min: 0 }
    }

    /// The owner goes on otherwise.
    pub fn owner(owner: Flow) -> Self {
        let duo = Duo { owner: Some(owner), other: None };
        Self { duo, whose: By::Owner, fresh: false, redelivers: false, limit_per_min: 0 }
    }
}
