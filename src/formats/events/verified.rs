//! Whether a logged request shows that its caller holds the credential. A log alone can't tell a
//! verified use from a stranger's attempt, so its source states the rule; without one nothing counts.

use super::pointer::Pointer;
use crate::model::event::{AuthEvent, is_success};

/// The rule of a source of logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifiedRule {
    /// No line shows it. Default.
    #[default]
    Never,
    /// A line with a status of 2xx shows it, but for OPTIONS: the service behind answers nothing else so.
    Success,
    /// Every line shows it: what is logged was authenticated before.
    Always,
}

impl VerifiedRule {
    /// The names in the configuration.
    pub const NAMES: [&str; 3] = ["never", "2xx", "always"];

    /// The rule of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "never" => Some(Self::Never),
            "2xx" => Some(Self::Success),
            "always" => Some(Self::Always),
            _ => None,
        }
    }

    /// Which requests count, in words; `None`: none.
    pub(in crate::formats) const fn counts(self) -> Option<&'static str> {
        match self {
            Self::Never => None,
            Self::Success => Some("with a status of 2xx"),
            Self::Always => Some("of any status"),
        }
    }

    /// Whether a request that was answered with `status` was verified.
    pub const fn verifies(self, status: Option<u16>) -> bool {
        match self {
            Self::Never => false,
            Self::Success => is_success(status),
            Self::Always => true,
        }
    }
}

/// Whether a request is a preflight of a browser, which needs no credential: its 2xx proves nothing.
pub(in crate::formats) fn is_preflight(event: &AuthEvent<'_>) -> bool {
    event.method.as_deref().is_some_and(|method| method.trim().eq_ignore_ascii_case("OPTIONS"))
}

/// The rule of an operator's own JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The same for all records, or by status.
    Rule(VerifiedRule),
    /// As the native format has it: an outcome of `accepted` or `throttled` shows it.
    Outcome,
    /// A boolean of the record says it.
    Field(Pointer),
}

impl Verified {
    /// Which requests count, in words; `None`: none.
    pub(in crate::formats) const fn counts(&self) -> Option<&'static str> {
        match self {
            Self::Rule(rule) => rule.counts(),
            Self::Outcome => Some("with an outcome of accepted or throttled"),
            Self::Field(_) => Some("whose record says so"),
        }
    }
}

impl Default for Verified {
    fn default() -> Self {
        Self::Rule(VerifiedRule::Never)
    }
}
