//! Notifications: their content and their time.
//!
//! ```text
//!  news -> queue of a receiver: severe enough? new? within the limit? -> queue -> message
//!          (findings' changes, decisions)                     beyond it: counted, "N more"
//! ```
//! **Does not** know what a message looks like or where it goes: time is an argument, and answers
//! are values.

use crate::model::decision::Decision;
use crate::model::finding::{Action, Finding};
use crate::model::signal::Change;
use crate::model::time::EventTime;
use std::sync::Arc;

/// Something that happened, as the control plane says it.
#[derive(Clone, Debug)]
pub enum News {
    /// A finding changed.
    Finding(Change, Arc<Finding>),
    /// A decision is durable.
    Decision(Arc<Decision>),
}

/// The outcome of a finding, as receivers are notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// They learn of it for the first time.
    Opened,
    /// A more severe action is justified than they know of.
    Escalated,
    /// It is over.
    Closed,
}

impl Stage {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Escalated => "escalated",
            Self::Closed => "closed",
        }
    }
}

/// A finding that receivers know of.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifiedFinding {
    /// The finding as it was last heard.
    pub finding: Arc<Finding>,
    /// The most severe action that they were reported of.
    pub told: Action,
    /// The newest decision on it.
    pub decision: Option<Arc<Decision>>,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A finding changed.
    Finding {
        /// How.
        stage: Stage,
        /// The finding.
        known: NotifiedFinding,
        /// The action of the message before, where that differs.
        before: Option<Action>,
    },
    /// A decision was made.
    Decision(Arc<Decision>),
    /// So many messages were left out, as the receiver's limit was reached.
    More(u64),
}

/// A message for a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Names it, the same at every attempt and on every instance: a receiver knows a repeated one.
    pub id: String,
    /// When it was written.
    pub at: EventTime,
    /// Its content.
    pub notice: Notice,
}

impl Message {
    /// A message about a finding.
    pub fn finding(
        stage: Stage,
        known: NotifiedFinding,
        before: Option<Action>,
        at: EventTime,
    ) -> Self {
        let (id, action) = (known.finding.id, known.finding.action);
        let id = match stage {
            Stage::Opened | Stage::Escalated => format!("{id}-{action}"),
            Stage::Closed => format!("{id}-closed"),
        };
        Self { id, at, notice: Notice::Finding { stage, known, before } }
    }

    /// A message about a decision.
    pub fn decision(decision: Arc<Decision>, at: EventTime) -> Self {
        Self { id: decision.id.to_string(), at, notice: Notice::Decision(decision) }
    }

    /// Says that `count` messages were left out.
    pub fn more(count: u64, at: EventTime) -> Self {
        Self { id: format!("more-{}", at.ms()), at, notice: Notice::More(count) }
    }
}

/// A receiver's answer to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A sequence: every change of a finding, and every decision.
    Feed,
    /// Incidents that open and are resolved: decisions only while their finding is open.
    Incident,
    /// Alerts that are said again while they last; a decision is an annotation of its finding.
    Alert,
}

/// A receiver's wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Findings and safeguards' decisions from this action on. Default: alert.
    pub from: Action,
    /// Messages a minute at most. Range: 1 to 100000. Default: 30.
    pub per_minute: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { from: Action::Alert, per_minute: 30 }
    }
}
