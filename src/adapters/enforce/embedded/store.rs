//! The embedded store: `SQLite` on disk, and in memory what `/v1/check` asks.
//!
//! Deliveries that wait together are written in one transaction, so that a thousand revocations
//! cost a few syncs of the disk. A decision comes here once it is in the journal, so memory follows it
//! even where the file can't be written: a gateway is never reported what a crash could take back, as the
//! start makes the store agree with the journal before anything asks it.

use super::table::Changed;
use crate::adapters::enforce::embedded::throttle::Passage;

use super::table::Table;
use super::throttle::TokenLimits;
use crate::adapters::clock;
use crate::adapters::storage::disk_reserve::Reserve;
use crate::collections::credential_map::{Directory, Named};
use crate::model::credential::{Credential, Kind};
use crate::model::decision::{
    Decision, Delivery, EnforcementState, Generation, Holding, Receipt, Status,
};
use crate::model::time::EventTime;
use parking_lot::{Mutex, RwLock};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot, watch};

/// For how long after another process wrote into it the file is compared with the journal. Chosen: longer
/// than a comparison of all that stands takes. Unit: milliseconds.
const COMPARE_FILE_MS: i64 = 300_000;
/// How many decisions are written together at most. Chosen.
const TOGETHER_MAX: usize = 512;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[error("can't {doing} the embedded store {path}")]
pub struct EmbeddedError {
    doing: &'static str,
    path: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// The status of a credential, as `/v1/check` needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The status that gateways see.
    pub status: Status,
    /// The rank of the decision.
    pub generation: Generation,
    /// When it ends by itself.
    pub until: Option<EventTime>,
}

/// Stands for no time.
const NEVER: i64 = i64::MAX;

/// The status, and for a throttled credential when its next request is due: the theoretical
/// arrival time of the generic cell rate algorithm. Unit: milliseconds since 1970.
/// Shape: 64 bytes, besides the id where it is longer than 24 bytes.
#[derive(Debug)]
struct Entry {
    credential: Credential,
    generation: Generation,
    until_ms: i64,
    due_ms: AtomicI64,
    status: Status,
}

impl Named for Entry {
    fn credential(&self) -> &Credential {
        &self.credential
    }
}

impl Entry {
    const fn is_over(&self, now: EventTime) -> bool {
        now.ms() >= self.until_ms
    }
}

type Waiting = (Decision, oneshot::Sender<Delivery>);

/// `SQLite` on disk, and in memory what is not active.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    held: Arc<StoredState>,
    writes: mpsc::UnboundedSender<Waiting>,
}

/// The stored entry.
#[derive(Debug)]
struct StoredState {
    in_force: RwLock<Directory<Entry>>,
    table: Mutex<Table>,
    tokens: TokenLimits,
    epoch: Arc<str>,
    newest: watch::Sender<u64>,
    /// Why the last decision could not be written to disk.
    fault: Mutex<Option<String>>,
    /// Until when the file is compared rather than memory. Unit: milliseconds since boot.
    compare_file_until: AtomicI64,
    reserve: OnceLock<Reserve>,
}

impl EmbeddedStore {
    /// Opens or creates the store at `path`; `epoch` names a new one.
    ///
    /// # Errors
    /// When the file can't be opened or is no store.
    pub fn open(path: &Path, epoch: &str) -> Result<Self, EmbeddedError> {
        let fault =
            |doing, source| EmbeddedError { doing, path: path.display().to_string(), source };
        let table = Table::open(path, epoch).map_err(|error| fault("open", error.into()))?;
        let mut in_force = Directory::default();
        let read = table.out_of_service(|changed| {
            in_force.put(Entry {
                credential: changed.credential,
                generation: changed.generation,
                until_ms: changed.until.map_or(NEVER, EventTime::ms),
                due_ms: AtomicI64::new(0),
                status: changed.status,
            });
        });
        read.map_err(|error| fault("read", error.into()))?;
        let newest = watch::Sender::new(table.changes());
        let epoch = table.epoch().into();
        let held = Arc::new(StoredState {
            in_force: RwLock::new(in_force),
            table: Mutex::new(table),
            tokens: TokenLimits::default(),
            epoch,
            newest,
            fault: Mutex::default(),
            compare_file_until: AtomicI64::new(clock::since_boot_ms() + COMPARE_FILE_MS),
            reserve: OnceLock::new(),
        });
        let (writes, waiting) = mpsc::unbounded_channel();
        let writer = Arc::clone(&held);
        std::thread::Builder::new()
            .name("embedded".to_owned())
            .spawn(move || writer.write_all(waiting))
            .map_err(|error| fault("start the thread of", error.into()))?;
        Ok(Self { held, writes })
    }

    /// The status of a credential at `now`; none: it is active.
    /// Cost: a read lock and one look-up, no allocation.
    pub fn stored(&self, kind: Kind, id: &str, now: EventTime) -> Option<Stored> {
        self.held(kind, id).filter(|held| held.until.is_none_or(|until| now < until))
    }

    /// The newest entry about a credential, over or not; none: it is active.
    /// Cost: a read lock and one look-up, no allocation.
    pub fn held(&self, kind: Kind, id: &str) -> Option<Stored> {
        let in_force = self.held.in_force.read();
        let entry = in_force.get(in_force.place(kind, id)?)?;
        let until = (entry.until_ms != NEVER).then(|| EventTime::from_ms(entry.until_ms));
        Some(Stored { status: entry.status, generation: entry.generation, until })
    }

    /// Whether a request with that credential may pass at `now`. A throttled one may make a
    /// request a second, ten at once. `token`: the hash of a token that says itself which credential
    /// it is, so that a forged one takes nothing from the owner's rate; without it all requests with
    /// the credential share one rate.
    /// Cost: a read lock and one look-up, no allocation.
    pub fn pass(
        &self,
        kind: Kind,
        id: &str,
        now: EventTime,
        token: impl FnOnce() -> Option<u64>,
    ) -> Passage {
        let in_force = self.held.in_force.read();
        let place = in_force.place(kind, id);
        let Some(entry) = place.and_then(|place| in_force.get(place)) else {
            return Passage::Free;
        };
        if entry.is_over(now) {
            return Passage::Free;
        }
        match entry.status {
            Status::Active => Passage::Free,
            Status::Suspended => Passage::Suspended,
            Status::Revoked => Passage::Revoked,
            Status::Throttled => {
                let due = token().and_then(|token| self.held.tokens.of(token));
                super::throttle::admit(due.unwrap_or(&entry.due_ms), now)
            }
        }
    }

    /// Some of the credentials that are not active, at most `most`, by name.
    pub fn out_of_service(&self, most: usize) -> Vec<Credential> {
        let in_force = self.held.in_force.read();
        let mut found: Vec<Credential> =
            in_force.iter().take(most).map(|entry| entry.credential.clone()).collect();
        found.sort();
        found
    }

    /// How many credentials are not active.
    pub fn len(&self) -> usize {
        self.held.in_force.read().len()
    }

    /// Whether all credentials are active.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets writes that find no room use the reserve.
    pub fn set_reserve(&self, reserve: Reserve) {
        // The first one stays.
        let _set = self.held.reserve.set(reserve);
    }

    /// Returns why the last decision could not be written to disk.
    pub fn fault(&self) -> Option<String> {
        self.held.fault.lock().clone()
    }

    /// Returns what gateways are reported about credentials, in their order; of what is active nothing.
    pub fn in_memory(&self, wanted: &[EnforcementState]) -> Vec<Option<Holding>> {
        let in_force = self.held.in_force.read();
        let held = |wanted: &EnforcementState| {
            let entry = in_force.get(in_force.place_of(&wanted.credential)?)?;
            let held = Holding::from(entry.generation);
            let until = (entry.until_ms != NEVER).then(|| EventTime::from_ms(entry.until_ms));
            Some(Holding { status: Some(entry.status), until, ..held })
        };
        wanted.iter().map(held).collect()
    }

    /// Returns what the store holds about credentials, in their order. Once another process wrote into
    /// the file it is the file that is read. Blocks.
    ///
    /// # Errors
    /// An error of `SQLite`.
    pub fn read(&self, wanted: &[EnforcementState]) -> rusqlite::Result<Vec<Option<Holding>>> {
        let until = self.held.compare_file_until.load(Ordering::Relaxed);
        let told = self.in_memory(wanted);
        if clock::since_boot_ms() >= until {
            return Ok(told);
        }
        let mut held = self.held.table.lock().read(wanted)?;
        for (held, told) in held.iter_mut().zip(told) {
            let out = |one: &Option<Holding>| {
                one.as_ref().and_then(|one| one.status).filter(|status| *status != Status::Active)
            };
            if out(held) != out(&told) {
                *held = Some(Holding::from(Generation(0)));
            }
        }
        Ok(held)
    }

    /// Whether no other process wrote into the file since this was last asked. Blocks.
    ///
    /// # Errors
    /// An error of `SQLite`.
    pub fn is_untouched(&self) -> rusqlite::Result<bool> {
        let touched = self.held.table.lock().was_written_by_another()?;
        if touched {
            let until = clock::since_boot_ms() + COMPARE_FILE_MS;
            self.held.compare_file_until.store(until, Ordering::Relaxed);
        }
        Ok(!touched)
    }

    /// The newest change of each credential that changed after `since`, oldest first, at most
    /// `most`. Blocks.
    ///
    /// # Errors
    /// An error of `SQLite`.
    pub fn changes(&self, since: u64, most: u32) -> Result<Vec<Changed>, rusqlite::Error> {
        self.held.table.lock().since(since, most)
    }

    /// The name of the table in which the numbers of changes mean something.
    pub fn epoch(&self) -> Arc<str> {
        Arc::clone(&self.held.epoch)
    }

    /// Hears of the number of the newest change.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.held.newest.subscribe()
    }

    /// Carries out decisions that the journal has and this store lacks, before anything asks it. Blocks.
    pub fn recover(&self, decisions: &[Decision]) {
        for some in decisions.chunks(TOGETHER_MAX) {
            self.held.write_now(some);
        }
    }

    /// Carries out a decision; it is on disk when it returns, or in memory if the disk takes nothing.
    pub async fn carry_out(&self, decision: &Decision) -> Delivery {
        let (reply, answer) = oneshot::channel();
        // The thread that writes ends only after the last sender.
        let _ended = self.writes.send((decision.clone(), reply));
        answer.await.unwrap_or(Receipt::Unreachable.into())
    }
}

impl StoredState {
    /// Writes what waits until the last sender is gone. Blocks.
    fn write_all(&self, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
        let mut taken = Vec::new();
        while waiting.blocking_recv_many(&mut taken, TOGETHER_MAX) > 0 {
            self.write(taken.drain(..).unzip());
        }
    }

    fn write(&self, (decisions, replies): (Vec<Decision>, Vec<oneshot::Sender<Delivery>>)) {
        let deliveries = self.write_now(&decisions);
        for (reply, delivery) in replies.into_iter().zip(deliveries) {
            // The caller may have gone away.
            let _gone = reply.send(delivery);
        }
    }

    /// Writes decisions to disk and to memory; to memory alone where the disk takes nothing.
    fn write_now(&self, decisions: &[Decision]) -> Vec<Delivery> {
        let mut table = self.table.lock();
        let mut written = table.write(decisions);
        if let Err(error) = &written
            && error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            && self.reserve.get().is_some_and(Reserve::release)
        {
            written = table.write(decisions);
        }
        match written {
            Ok(deliveries) => {
                // A reader that sees the decision in memory sees its fault, and none of before.
                self.fault.lock().take();
                self.remember(decisions, &deliveries);
                self.newest.send_replace(table.changes());
                deliveries
            }
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    "the embedded store can't be written; its answers follow the journal"
                );
                let judged = table.judge(decisions);
                let judged = judged.unwrap_or_else(|_| self.judge_by_memory(decisions));
                self.fault.lock().replace(error.to_string());
                self.remember(decisions, &judged);
                decisions.iter().map(|_| Receipt::Unreachable.into()).collect()
            }
        }
    }

    fn judge_by_memory(&self, decisions: &[Decision]) -> Vec<Delivery> {
        let in_force = self.in_force.read();
        let judge = |decision: &Decision| {
            let place = in_force.place_of(&decision.credential);
            let held = place.and_then(|place| in_force.get(place));
            let newer = held.is_none_or(|held| held.generation < decision.generation);
            if newer { Receipt::Applied } else { Receipt::Stale }.into()
        };
        decisions.iter().map(judge).collect()
    }

    fn remember(&self, decisions: &[Decision], deliveries: &[Delivery]) {
        let mut in_force = self.in_force.write();
        for (decision, delivery) in decisions.iter().zip(deliveries) {
            let Some(status) = decision.order.status() else { continue };
            if !matches!(delivery.receipt, Receipt::Applied | Receipt::Already) {
                continue;
            }
            let place = in_force.place_of(&decision.credential);
            if status == Status::Active {
                if let Some(place) = place {
                    in_force.remove(place);
                }
                continue;
            }
            let until_ms = decision.until.map_or(NEVER, EventTime::ms);
            let generation = decision.generation;
            let is_known = place.and_then(|place| in_force.get(place)).is_some_and(|held| {
                (held.generation, held.until_ms, held.status) == (generation, until_ms, status)
            });
            if !is_known {
                let (credential, due_ms) = (decision.credential.clone(), AtomicI64::new(0));
                in_force.put(Entry { credential, generation, until_ms, due_ms, status });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Entry;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Option<Entry>>(), 64);
    }
}
