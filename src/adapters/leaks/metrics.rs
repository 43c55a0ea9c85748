//! Metrics of reported leaks.

use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use crate::adapters::watchlist::HOLDER;
use crate::model::leak::LeakOutcome;
use prometheus::IntCounterVec;

/// Metrics of reported leaks.
#[derive(Clone, Debug)]
pub struct LeakMetrics {
    reports: IntCounterVec,
}

/// Who reports leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporter {
    /// GitHub's secret scanning.
    Github,
    /// GitLab's secret detection.
    Gitlab,
    /// A scanner that signs its reports.
    Webhook,
    /// A holder of the secret.
    Holder,
}

impl Reporter {
    /// Every reporter.
    pub const ALL: [Self; 4] = [Self::Github, Self::Gitlab, Self::Webhook, Self::Holder];

    /// Its name in metrics and leaks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Webhook => "webhook",
            Self::Holder => HOLDER,
        }
    }
}

impl LeakMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let reports = registrar.counters_by_two(
            "leak_reports_total",
            "Leaked secrets reported, by outcome: of a known credential, of an unknown one, and requests \
             refused whole.",
            ["reporter", "outcome"],
            [&Reporter::ALL.map(Reporter::as_str), &["known", "unknown", "refused"]],
        )?;
        Ok(Self { reports })
    }

    /// Counts what became of reports.
    pub fn count(&self, reporter: Reporter, outcomes: &[LeakOutcome]) {
        for outcome in outcomes {
            let outcome = match outcome {
                LeakOutcome::Known => "known",
                LeakOutcome::Unknown => "unknown",
            };
            self.reports.with_label_values(&[reporter.as_str(), outcome]).inc();
        }
    }

    /// Counts a request that was refused.
    pub fn count_refused(&self, reporter: Reporter) {
        self.reports.with_label_values(&[reporter.as_str(), "refused"]).inc();
    }
}
