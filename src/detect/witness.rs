//! `leak` and `canary`: what others know of a credential, whatever its use.
//!
//! `leak`: its secret was found where others can read it, by a scanner that is trusted or by someone who
//! presented the secret. `canary`: a credential that was made to be found; no one has a reason to use it.

use super::evidence::{CERTAIN_NATS, Evidence};
use crate::model::finding::Measure;

/// A secret that was reported as leaked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leaked {
    /// Whether the report proves that its credential is the one that leaked: a made-up JWT can name
    /// any.
    pub is_proof: bool,
    /// Whether it was reported before it was ever used.
    pub before_use: bool,
}

/// A canary that was presented.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Presented {
    /// Whether the gateway accepted it.
    pub accepted: bool,
}

impl Evidence for Leaked {
    fn strength(&self) -> f64 {
        f64::from(u8::from(self.is_proof))
    }

    fn evidence_nats(&self) -> f64 {
        CERTAIN_NATS
    }

    fn summary(&self) -> String {
        let used = if self.before_use { ", before it was used" } else { "" };
        if self.is_proof {
            format!("was found where others can read it{used}")
        } else {
            format!(
                "is named by a token that was found where others can read it{used}; anyone can make up such a \
                 token, so see whether it is the real one"
            )
        }
    }

    fn measures(&self) -> Vec<Measure> {
        vec![Measure::new("leak_proven", self.strength())]
    }
}

impl Evidence for Presented {
    fn strength(&self) -> f64 {
        f64::from(u8::from(self.accepted))
    }

    fn evidence_nats(&self) -> f64 {
        CERTAIN_NATS
    }

    fn summary(&self) -> String {
        let answer = if self.accepted { "and was accepted" } else { "and was refused" };
        format!("is a canary that was presented {answer}: someone reads what he should not")
    }

    fn measures(&self) -> Vec<Measure> {
        vec![Measure::new("accepted", self.strength())]
    }
}

crate::codec!(Leaked { is_proof, before_use });
crate::codec!(Presented { accepted });
