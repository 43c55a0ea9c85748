//! Follows the decisions and votes of other instances through the store that all of them write.
//!
//! ```text
//!  all entries, then each change --> control plane --> journal --> embedded store
//! ```

use crate::adapters::channels::{ControlMessage, ControlPlane};
use crate::adapters::control_plane::metrics::FleetMetrics;
use crate::adapters::enforce::auth_store::AuthStoreError;
use crate::adapters::enforce::redis::changes::{ChangeReader, ScanPlace};
use crate::adapters::enforce::redis::store::RedisStore;
use crate::daemon::start_error::StartError;
use crate::model::decision::Vote;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long after an error it is tried again. Chosen.
const PAUSE: Duration = Duration::from_millis(500);

/// How often all that is in force is read, though nothing is known to be missing: a failover may lose what no one
/// notices. Chosen: a million entries take seconds.
const SCAN_EVERY: Duration = Duration::from_hours(1);

/// Why it ended for now.
enum Stop {
    /// The control plane has ended.
    Ended,
    /// Changes may be missing.
    Gap,
    /// The store could not be read.
    Failed(String),
}

impl From<redis::RedisError> for Stop {
    fn from(error: redis::RedisError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Whether the decisions of the other instances are known, and the way of votes to them.
pub(super) type Fleet = (Arc<AtomicBool>, Option<mpsc::UnboundedSender<Vote>>);

/// Starts to follow the other instances, where a store is shared. An instance alone has nothing to catch up
/// with.
pub(super) fn start(
    shared: Option<RedisStore>,
    is_fleet: bool,
    (control, metrics): (&ControlPlane, &FleetMetrics),
) -> Result<Fleet, StartError> {
    let caught_up = Arc::new(AtomicBool::new(!is_fleet));
    let Some(store) = shared else { return Ok((caught_up, None)) };
    let reader = store.change_reader().map_err(AuthStoreError::from)?;
    let (control, metrics) = (control.clone(), metrics.clone());
    tokio::spawn(follow(reader, control, Arc::clone(&caught_up), metrics));
    let (votes, given) = mpsc::unbounded_channel();
    tokio::spawn(share_votes(store, given));
    Ok((caught_up, Some(votes)))
}

/// Follows until the control plane ends. `caught_up` becomes true once all that was in force is known here.
async fn follow(
    mut reader: ChangeReader,
    control: ControlPlane,
    caught_up: Arc<AtomicBool>,
    metrics: FleetMetrics,
) {
    let mut is_known = false;
    let mut fails = false;
    loop {
        let stop = match catch_up(&mut reader, &control, is_known, &metrics).await {
            Ok(()) => {
                is_known = true;
                caught_up.store(true, Ordering::Relaxed);
                follow_changes(&mut reader, &control, (&metrics, &mut fails)).await
            }
            Err(stop) => stop,
        };
        match stop {
            Stop::Ended => return,
            Stop::Gap => is_known = false,
            Stop::Failed(error) => {
                metrics.following.set(0);
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(
                        error,
                        "the decisions of other instances can't be read; until they can, what is ordered \
                         there is not in force at this instance"
                    );
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Reads all that is in force, unless it is known and no change since can be missing.
async fn catch_up(
    reader: &mut ChangeReader,
    control: &ControlPlane,
    is_known: bool,
    metrics: &FleetMetrics,
) -> Result<(), Stop> {
    if is_known && reader.is_whole().await? {
        return Ok(());
    }
    reader.begin().await?;
    let mut place = Some(ScanPlace::default());
    while let Some(from) = place {
        let (entries, next) = reader.scan(from).await?;
        metrics.followed.inc_by(control.held(entries).await.ok_or(Stop::Ended)?);
        place = next;
    }
    Ok(())
}

/// Follows each change as it comes; returns why it stopped.
async fn follow_changes(
    reader: &mut ChangeReader,
    control: &ControlPlane,
    (metrics, fails): (&FleetMetrics, &mut bool),
) -> Stop {
    let begun = Instant::now();
    while begun.elapsed() < SCAN_EVERY {
        let news = match reader.next().await {
            Ok(Some(news)) => news,
            Ok(None) => {
                tracing::warn!(
                    "changes of other instances may be missing; all in force is read again"
                );
                tokio::time::sleep(PAUSE).await;
                return Stop::Gap;
            }
            Err(error) => return error.into(),
        };
        metrics.following.set(1);
        if std::mem::take(fails) {
            tracing::info!("the decisions of other instances are read again");
        }
        if control.is_ended() {
            return Stop::Ended;
        }
        let Some(followed) = control.held(news.entries).await else { return Stop::Ended };
        metrics.followed.inc_by(followed);
        if !news.votes.is_empty() && !control.send(ControlMessage::Votes(news.votes)).await {
            return Stop::Ended;
        }
    }
    Stop::Gap
}

/// Lets the other instances hear of the votes that are given here, in their order, until there are no more.
async fn share_votes(store: RedisStore, mut votes: mpsc::UnboundedReceiver<Vote>) {
    while let Some(vote) = votes.recv().await {
        while let Err(error) = store.share_vote(&vote).await {
            if votes.is_closed() {
                return;
            }
            // Of a key of another type, or without the right; all else may pass.
            if matches!(error.code(), Some("WRONGTYPE" | "NOPERM")) {
                tracing::error!(%error, by = %vote.by, "a vote can't be shared with other instances");
                break;
            }
            tracing::debug!(%error, "a vote could not be shared yet");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
