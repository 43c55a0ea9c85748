//! The embedded store: `SQLite` on disk, and in memory what `/v1/check` asks.

use crate::model::credential::{Credential, Kind};
use crate::model::decision::{Decision, DecisionId, Delivery, Generation, Receipt, Status};
use crate::model::time::EventTime;
use compact_str::CompactString;
use hashbrown::{Equivalent, HashMap};
use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
#[error("can't {doing} the embedded store {path}")]
pub struct EmbeddedError {
    doing: &'static str,
    path: String,
    #[source]
    source: rusqlite::Error,
}

/// What stands about a credential, as `/v1/check` needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What gateways are to believe.
    pub status: Status,
    /// The rank of the decision.
    pub generation: Generation,
    /// When it ends by itself.
    pub until: Option<EventTime>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    kind: Kind,
    id: CompactString,
}

#[derive(Hash)]
struct Asked<'a> {
    kind: Kind,
    id: &'a str,
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.kind == key.kind && self.id == key.id
    }
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Free,
    /// It may not.
    Denied(Status),
    /// It may in that many seconds.
    Wait(u32),
}

/// What stands, and for a throttled credential when its next request is due: the theoretical
/// arrival time of the generic cell rate algorithm. Unit: milliseconds since 1970.
#[derive(Debug)]
struct Entry {
    stored: Stored,
    due_ms: AtomicI64,
}

/// A throttled credential may make a request a second. Chosen. Unit: milliseconds.
const THROTTLED_EVERY_MS: i64 = 1_000;
/// And that many at once. Chosen. Unit: milliseconds of requests.
const THROTTLED_BURST_MS: i64 = 10_000;

/// `SQLite` on disk, and in memory what is not active.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    standing: Arc<RwLock<HashMap<Key, Entry>>>,
    connection: Arc<Mutex<Connection>>,
}

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS credentials (
        kind TEXT NOT NULL, id TEXT NOT NULL, status TEXT NOT NULL, generation INTEGER NOT NULL,
        decision TEXT NOT NULL, reason TEXT NOT NULL, finding TEXT, until_ms INTEGER,
        at_ms INTEGER NOT NULL, PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
";

const READ: &str = "SELECT generation, decision FROM credentials WHERE kind = ?1 AND id = ?2";

const WRITE: &str = "
    INSERT INTO credentials (kind, id, status, generation, decision, reason, finding, until_ms, at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (kind, id) DO UPDATE SET status = ?3, generation = ?4, decision = ?5, reason = ?6,
        finding = ?7, until_ms = ?8, at_ms = ?9
";

impl EmbeddedStore {
    /// Opens or creates the store at `path`.
    ///
    /// # Errors
    /// When the file can't be opened or is no store.
    pub fn open(path: &Path) -> Result<Self, EmbeddedError> {
        let fault = |doing| {
            let path = path.display().to_string();
            move |source| EmbeddedError { doing, path, source }
        };
        let connection = Connection::open(path).map_err(fault("open"))?;
        connection.execute_batch(SCHEMA).map_err(fault("prepare"))?;
        let standing = load(&connection).map_err(fault("read"))?;
        Ok(Self {
            standing: Arc::new(RwLock::new(standing)),
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// What stands about a credential at `now`; none: it is active.
    /// Cost: a read lock and one look-up, no allocation.
    pub fn stored(&self, kind: Kind, id: &str, now: EventTime) -> Option<Stored> {
        let found = self.standing.read().get(&Asked { kind, id })?.stored;
        found.until.is_none_or(|until| now < until).then_some(found)
    }

    /// Whether a request with that credential may pass at `now`. A throttled one may make a
    /// request a second, ten at once.
    /// Cost: a read lock and one look-up, no allocation.
    /// Source: generic cell rate algorithm, ITU-T I.371, annex A.
    pub fn pass(&self, kind: Kind, id: &str, now: EventTime) -> Passage {
        let standing = self.standing.read();
        let Some(entry) = standing.get(&Asked { kind, id }) else { return Passage::Free };
        if entry.stored.until.is_some_and(|until| now >= until) {
            return Passage::Free;
        }
        if entry.stored.status != Status::Throttled {
            return Passage::Denied(entry.stored.status);
        }
        let passes = entry.due_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            let due = due.max(now.ms());
            (due - now.ms() < THROTTLED_BURST_MS).then_some(due + THROTTLED_EVERY_MS)
        });
        match passes {
            Ok(_) => Passage::Free,
            Err(due) => {
                let wait_ms = due - now.ms() - THROTTLED_BURST_MS + THROTTLED_EVERY_MS;
                Passage::Wait(u32::try_from(wait_ms.max(1)).unwrap_or(u32::MAX).div_ceil(1000))
            }
        }
    }

    /// Some of the credentials that are not active, at most `most`, by name.
    pub fn out_of_service(&self, most: usize) -> Vec<Credential> {
        let standing = self.standing.read();
        let mut found: Vec<Credential> = Vec::new();
        for key in standing.keys().take(most) {
            found.extend(Credential::new(key.kind, &key.id));
        }
        found.sort();
        found
    }

    /// How many credentials are not active.
    pub fn len(&self) -> usize {
        self.standing.read().len()
    }

    /// Whether all credentials are active.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Carries out a decision; it is on disk when it returns.
    pub async fn carry_out(&self, decision: &Decision) -> Delivery {
        let (store, decision) = (self.clone(), decision.clone());
        let done = tokio::task::spawn_blocking(move || store.carry_out_blocking(&decision)).await;
        done.unwrap_or(Receipt::Unreachable.into())
    }

    fn carry_out_blocking(&self, decision: &Decision) -> Delivery {
        let Some(status) = decision.order.status() else { return Receipt::Already.into() };
        match self.write(decision, status) {
            Ok(delivery) => delivery,
            Err(error) => {
                tracing::warn!(error = %error, "the embedded store can't be written");
                Receipt::Unreachable.into()
            }
        }
    }

    fn write(&self, decision: &Decision, status: Status) -> rusqlite::Result<Delivery> {
        let credential = &decision.credential;
        let (kind, id) = (credential.kind(), credential.id());
        let connection = self.connection.lock();
        let before: Option<(i64, String)> = connection
            .prepare_cached(READ)?
            .query_row(params![kind.as_str(), id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let generation = i64::try_from(decision.generation.0).unwrap_or(i64::MAX);
        if let Some((held, by)) = before {
            if DecisionId::parse(&by) == Some(decision.id) {
                return Ok(Receipt::Already.into());
            }
            if generation <= held {
                let held = Some(Generation(u64::try_from(held).unwrap_or(0)));
                return Ok(Delivery { receipt: Receipt::Stale, held });
            }
        }
        connection.prepare_cached(WRITE)?.execute(params![
            kind.as_str(),
            id,
            status.as_str(),
            generation,
            decision.id.to_string(),
            decision.reason,
            decision.finding.map(|finding| finding.to_string()),
            decision.until.map(EventTime::ms),
            decision.at.ms(),
        ])?;
        self.remember(credential, status, decision.generation, decision.until);
        Ok(Receipt::Applied.into())
    }

    fn remember(
        &self,
        credential: &Credential,
        status: Status,
        generation: Generation,
        until: Option<EventTime>,
    ) {
        let mut standing = self.standing.write();
        if status == Status::Active {
            standing.remove(&Asked { kind: credential.kind(), id: credential.id() });
        } else {
            let key = Key { kind: credential.kind(), id: credential.id().into() };
            let stored = Stored { status, generation, until };
            standing.insert(key, Entry { stored, due_ms: AtomicI64::new(0) });
        }
    }
}

fn load(connection: &Connection) -> rusqlite::Result<HashMap<Key, Entry>> {
    let mut statement = connection.prepare(
        "SELECT kind, id, status, generation, until_ms FROM credentials WHERE status <> 'active'",
    )?;
    let mut rows = statement.query([])?;
    let mut standing = HashMap::new();
    while let Some(row) = rows.next()? {
        let (kind, status): (String, String) = (row.get(0)?, row.get(2)?);
        let (Some(kind), Some(status)) = (Kind::parse(&kind), Status::parse(&status)) else {
            continue;
        };
        let id: String = row.get(1)?;
        let generation = Generation(u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0));
        let until = row.get::<_, Option<i64>>(4)?.map(EventTime::from_ms);
        let stored = Stored { status, generation, until };
        let entry = Entry { stored, due_ms: AtomicI64::new(0) };
        standing.insert(Key { kind, id: id.into() }, entry);
    }
    Ok(standing)
}
