//! The fleet as all members see it together, through a store that all of them ask: how many
//! credentials there are, on which the breaker depends, and how many burst at once.

use crate::edge::auth_store::redis::RedisStore;
use crate::edge::metrics::Metrics;
use crate::edge::planes::{ControlMessage, ControlPlane};
use crate::judge::fleet::Summary;
use std::time::{Duration, Instant};

/// How often a member tells and asks.
const EVERY: Duration = Duration::from_secs(1);
/// How long what was told holds while the store does not answer. Chosen: as the store keeps it.
const HOLDS: Duration = Duration::from_secs(10);

/// Tells the others what this member knows, and the control plane what they do, until it ends.
pub(super) async fn share(store: RedisStore, control: ControlPlane, metrics: Metrics) {
    let member = format!("{:016x}", getrandom::u64().unwrap_or(u64::from(std::process::id())));
    let mut interval = tokio::time::interval(EVERY);
    let mut heard = Instant::now();
    loop {
        interval.tick().await;
        let Some(own) = control.summary().await else { return };
        let asked = tokio::time::timeout(EVERY, store.share(&member, &own)).await;
        let others = match asked {
            Ok(Ok(others)) => others,
            // A store that is away is told of by its outbox.
            Ok(Err(_)) | Err(_) if heard.elapsed() < HOLDS => continue,
            // Alone, a member goes by what it knows itself.
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        heard = Instant::now();
        metrics
            .fleet_members
            .set(i64::try_from(others.len()).unwrap_or(i64::MAX).saturating_add(1));
        let mut together = Summary::default();
        for one in &others {
            together.merge(one);
        }
        if !control.tell(ControlMessage::Others(together)).await {
            return;
        }
    }
}
