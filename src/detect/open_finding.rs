//! One stretch of abnormal use: opens, escalates, closes.
//!
//! ```text
//!  strength        /\  /\ escalates
//!  to open  ------/--\/--\---------------------
//!                opens     calm for 5 min | closes
//! ```

use super::detection::Detection;
use crate::model::finding::{Action, Detector, Gates, Reached};
use crate::model::signal::Change;
use crate::model::time::EventTime;

/// How long it must be calm before a finding closes. Unit: milliseconds. Default: 5 min.
pub const CALM_MS: i64 = 300_000;
/// The least time between two updates of a finding that does not escalate. Unit: milliseconds.
pub const UPDATE_MS: i64 = 30_000;
/// The same of a broken limit: what excuses it does so for so long. Unit: milliseconds.
pub const LIMIT_UPDATE_MS: i64 = 15_000;

/// One stretch of abnormal use, as one detector sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenFinding {
    /// When it opened.
    pub opened: EventTime,
    /// When each action was first justified.
    pub reached: Reached,
    /// The gates that it passed so far.
    pub gates: Gates,
    /// When it was last abnormal.
    pub abnormal: EventTime,
    /// When it was last reported.
    pub told: EventTime,
    /// The most severe action justified.
    pub action: Action,
    /// The strongest detection so far.
    pub strongest: Detection,
}

impl OpenFinding {
    /// Opens with the first detection.
    pub fn open(detection: Detection, at: EventTime) -> Self {
        let mut reached = Reached::default();
        reached.record(detection.action, at);
        Self {
            opened: at,
            reached,
            gates: detection.gates,
            abnormal: at,
            told: at,
            action: detection.action,
            strongest: detection,
        }
    }

    /// Takes a further detection; says what changed, if it must be reported.
    pub fn add(&mut self, detection: Detection, at: EventTime) -> Option<Change> {
        let is_limit = detection.detector() == Detector::Limit;
        let update_ms = if is_limit { LIMIT_UPDATE_MS } else { UPDATE_MS };
        self.abnormal = self.abnormal.max(at);
        self.gates = self.gates.and(detection.gates);
        let escalates = detection.action > self.action;
        if escalates {
            self.action = detection.action;
            self.reached.record(detection.action, at);
        }
        if escalates || detection.strength() > self.strongest.strength() {
            self.strongest = detection;
        }
        if escalates {
            self.told = at;
            return Some(Change::Escalated);
        }
        if at.ms_since(self.told) >= update_ms {
            self.told = at;
            return Some(Change::Updated);
        }
        None
    }

    /// The same, as if it had been calm for long enough by `now`.
    #[must_use]
    pub const fn ended_at(self, now: EventTime) -> Self {
        Self { abnormal: now.plus_ms(-CALM_MS), ..self }
    }

    /// When it closes, if it stays calm until then.
    pub fn closes_at(&self) -> EventTime {
        self.abnormal.plus_ms(CALM_MS)
    }
}

crate::codec!(OpenFinding { opened, reached, gates, abnormal, told, action, strongest });
