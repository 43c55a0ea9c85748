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

/// Opens the endpoints that are configured, before a watchlist. Nothing is connected to.
///
/// # Errors
/// When the address of Redis can't be used.
pub(super) fn open(
    settings: &Settings,
    egress: &Egress,
    fingerprints: &Arc<Fingerprinter>,
    metrics: &Metrics,
) -> Result<LeakState, ServerAddressError> {
    let resolver = Resolver::new(&settings.leaks, egress, fingerprints)?;
    let desk = LeakDesk::new(resolver, Arc::new(Watchlist::default()));
    let metrics = metrics.leaks.clone();
    Ok(LeakState::new(settings.leaks.clone(), desk, egress.clone(), metrics))
}
