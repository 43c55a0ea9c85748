//! The embedded store: `SQLite` on disk, and in memory what `/v1/check` asks.

use crate::model::credential::{Credential, Kind};
use crate::model::decision::{Decision, DecisionId, Generation, Receipt, Status};
use crate::model::time::EventTime;
use compact_str::CompactString;
use hashbrown::{Equivalent, HashMap};
use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;
use std::sync::Arc;

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

/// `SQLite` on disk, and in memory what is not active.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    standing: Arc<RwLock<HashMap<Key, Stored>>>,
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
        let found = self.standing.read().get(&Asked { kind, id }).copied()?;
        found.until.is_none_or(|until| now < until).then_some(found)
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
    pub async fn carry_out(&self, decision: &Decision) -> Receipt {
        let (store, decision) = (self.clone(), decision.clone());
        let done = tokio::task::spawn_blocking(move || store.carry_out_blocking(&decision)).await;
        done.unwrap_or(Receipt::Unreachable)
    }

    fn carry_out_blocking(&self, decision: &Decision) -> Receipt {
        let Some(status) = decision.order.status() else { return Receipt::Already };
        match self.write(decision, status) {
            Ok(receipt) => receipt,
            Err(error) => {
                tracing::warn!(error = %error, "the embedded store can't be written");
                Receipt::Unreachable
            }
        }
    }

    fn write(&self, decision: &Decision, status: Status) -> rusqlite::Result<Receipt> {
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
                return Ok(Receipt::Already);
            }
            if generation <= held {
                return Ok(Receipt::Stale);
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
        Ok(Receipt::Applied)
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
            standing.insert(key, Stored { status, generation, until });
        }
    }
}

fn load(connection: &Connection) -> rusqlite::Result<HashMap<Key, Stored>> {
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
        standing.insert(Key { kind, id: id.into() }, Stored { status, generation, until });
    }
    Ok(standing)
}
