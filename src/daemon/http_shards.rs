//! The slots of the HTTP source, as checkpoints have them.

use crate::adapters::channels::SLOTS;
use crate::adapters::checkpoint::scheduler::Saved;
use crate::adapters::checkpoint::store::{KeptOffset, Restored, Snapshots, Withheld};
use crate::adapters::clock;
use crate::data_plane::batch::HashSeed;
use crate::data_plane::partition::Params;
use crate::data_plane::partition::Partition;
use crate::data_plane::shard_driver::ShardDriver;
use std::sync::Arc;

/// One slot of the HTTP source.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its number.
    pub(super) number: usize,
    /// Its state.
    pub(super) driver: ShardDriver,
    /// Its name among checkpoints.
    pub(super) place: String,
    /// Its checkpoints.
    pub(super) kept: Arc<KeptOffset>,
}

impl Saved for Slot {
    fn place(&self) -> &str {
        &self.place
    }

    fn partition(&mut self) -> &mut Partition {
        self.driver.partition_mut()
    }

    fn kept(&self) -> &Arc<KeptOffset> {
        &self.kept
    }
}

/// The memory is for all slots together.
fn per_slot(params: &Params) -> Arc<Params> {
    Arc::new(params.clone().with_memory(params.all_bytes() / SLOTS))
}

/// The partitions of all slots as they were written down, or new ones.
///
/// # Errors
/// When they are of another fingerprint key, or of a newer tripline.
pub(super) async fn restored(
    snapshots: &Snapshots,
    params: &Params,
    seed: HashSeed,
) -> Result<Vec<Slot>, Withheld> {
    let params = per_slot(params);
    let (mut slots, mut credentials) = (Vec::with_capacity(SLOTS), 0);
    for number in 0..SLOTS {
        let place = format!("http/slot-{number:02}");
        let restored = match snapshots.restore(&place, &params, seed).await {
            Ok(restored) => restored,
            Err(error @ Withheld::OfOthers(..)) => return Err(error),
            Err(error @ Withheld::Unreachable(_)) => {
                tracing::error!(place, error = %error, "baselines of its credentials start from \
                    zero");
                Restored::nothing(clock::now())
            }
        };
        let Restored { partition, kept } = restored;
        credentials += partition.as_ref().map_or(0, Partition::credentials);
        let partition = partition.unwrap_or_else(|| Partition::new(Arc::clone(&params), seed));
        // A shard in the middle of the past goes on there, if more of it comes.
        let driver = ShardDriver::new(partition, clock::now());
        slots.push(Slot { number, driver, place, kept });
    }
    if credentials > 0 {
        tracing::info!(credentials, "profiles restored from checkpoints");
    }
    Ok(slots)
}
