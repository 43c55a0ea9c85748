//! The intake of leaks of a running daemon.

use super::metrics::Metrics;
use crate::adapters::egress::Egress;
use crate::adapters::http::leaks::LeakState;
use crate::adapters::leaks::desk::LeakDesk;
use crate::adapters::leaks::resolver::Resolver;
use crate::adapters::redis_connection::ServerAddressError;
use crate::adapters::watchlist::Watchlist;
use crate::config::settings::Settings;
use crate::formats::secrets::secret::Fingerprinter;
use std::sync::Arc;

/// The ways out that the configured endpoints need. Nothing is connected to.
pub(super) struct OpenedLeaks {
    resolver: Resolver,
    egress: Egress,
}

impl OpenedLeaks {
    /// Prepares the look-ups.
    ///
    /// # Errors
    /// When the address of Redis can't be used.
    pub(super) fn open(
        settings: &Settings,
        egress: &Egress,
        fingerprints: &Arc<Fingerprinter>,
    ) -> Result<Self, ServerAddressError> {
        let resolver = Resolver::new(&settings.leaks, egress, fingerprints)?;
        Ok(Self { resolver, egress: egress.clone() })
    }

    /// The endpoints, before that watchlist.
    pub(super) fn state(
        self,
        settings: &Settings,
        watchlist: Watchlist,
        metrics: &Metrics,
    ) -> LeakState {
        let desk = LeakDesk::new(self.resolver, watchlist);
        LeakState::new(settings.leaks.clone(), desk, self.egress, metrics.leaks.clone())
    }
}
