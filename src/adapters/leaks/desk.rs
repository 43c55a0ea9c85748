//! The desk where reports arrive: each is resolved, and handed over to the watchlist.

use super::resolver::{Batch, Resolver};
use crate::adapters::watchlist::{Watchlist, WatchlistError};
use crate::formats::leaks::report::LeakReport;
use crate::model::leak::{LeakOutcome, LeakedSecret};
use futures_util::StreamExt;

/// How many reports of a request are looked up at once. Chosen: what a resolver of one process serves.
const CONCURRENT: usize = 8;

/// Why reports are to be sent again.
#[derive(Debug, thiserror::Error)]
pub enum LeakError {
    /// A look-up failed. What is known without it was handed over.
    #[error("not every secret could be looked up; send the same reports again")]
    NotLookedUp,
    /// The leaks are not on the watchlist.
    #[error("the leaks could not be written down; send the same reports again")]
    Watchlist(#[from] WatchlistError),
}

/// Takes verified reports.
#[derive(Debug)]
pub struct LeakDesk {
    resolver: Resolver,
    watchlist: Watchlist,
}

impl LeakDesk {
    /// A desk before that watchlist.
    pub const fn new(resolver: Resolver, watchlist: Watchlist) -> Self {
        Self { resolver, watchlist }
    }

    /// Resolves reports, and hands over what they name; one outcome for each, in their order, durable when it
    /// returns.
    ///
    /// # Errors
    /// When the same reports are to be sent again; that takes none of them twice.
    pub async fn report(
        &self,
        reports: Vec<LeakReport>,
        reporter: &str,
    ) -> Result<Vec<LeakOutcome>, LeakError> {
        let batch = Batch::begin();
        let mut lookups = Vec::with_capacity(reports.len());
        for report in &reports {
            lookups.push(self.resolver.leaks(report, reporter, &batch));
        }
        let lookups = futures_util::stream::iter(lookups).buffered(CONCURRENT);
        let resolved: Vec<Vec<LeakedSecret>> = lookups.collect().await;
        let counts: Vec<usize> = resolved.iter().map(Vec::len).collect();
        let leaks = resolved.into_iter().flatten().collect();
        let outcomes = self.watchlist.report_leaks(leaks).await?;
        if !batch.is_complete() {
            return Err(LeakError::NotLookedUp);
        }
        let mut rest = outcomes.as_slice();
        let of_report = |count: usize| {
            let (own, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = others;
            let is_known = own.contains(&LeakOutcome::Known);
            if is_known { LeakOutcome::Known } else { LeakOutcome::Unknown }
        };
        Ok(counts.into_iter().map(of_report).collect())
    }
}
