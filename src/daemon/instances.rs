//! The fleet as all instances see it together, through a store that all of them ask: how many
//! credentials there are, on which the revocation limit depends, how many burst at once, and what tenants take.

use crate::adapters::channels::{ControlMessage, ControlPlane};
use crate::adapters::control_plane::metrics::FleetMetrics;
use crate::adapters::enforce::redis::store::RedisStore;
use crate::control_plane::instance_summary::InstanceSummary;
use std::time::{Duration, Instant};

/// How often an instance reports and asks.
const EVERY: Duration = Duration::from_secs(1);
/// How long what was reported holds while the store does not answer. Chosen: as the store keeps it.
const HOLDS: Duration = Duration::from_secs(10);

/// Reports to the others what this instance knows, and the control plane what they do, until it ends.
pub(super) async fn share(store: RedisStore, control: ControlPlane, metrics: FleetMetrics) {
    let instance = format!("{:016x}", getrandom::u64().unwrap_or(u64::from(std::process::id())));
    let mut interval = tokio::time::interval(EVERY);
    let (mut heard, mut fails) = (Instant::now(), false);
    loop {
        interval.tick().await;
        let Some(own) = control.summary().await else { return };
        let asked = tokio::time::timeout(EVERY, store.share(&instance, &own)).await;
        let failed = match asked {
            Ok(Ok(_)) => None,
            Ok(Err(ref error)) => Some(error.to_string()),
            Err(_) => Some("no answer within a second".to_owned()),
        };
        if failed.is_some() != fails {
            fails = failed.is_some();
            if let Some(error) = failed {
                tracing::warn!(error, "can't read the summaries of other instances");
            } else {
                tracing::info!("instances exchange summaries again");
            }
        }
        let others = match asked {
            Ok(Ok(others)) => others,
            Ok(Err(_)) | Err(_) if heard.elapsed() < HOLDS => continue,
            // Alone, an instance follows what it knows itself.
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        heard = Instant::now();
        metrics.instances.set(i64::try_from(others.len()).unwrap_or(i64::MAX).saturating_add(1));
        let mut together = InstanceSummary::default();
        for one in &others {
            together.merge(one);
        }
        if !control.send(ControlMessage::Others(together)).await {
            return;
        }
    }
}
