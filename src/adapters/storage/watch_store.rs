//! Canaries and leaked credentials on disk: they are watched for until a person takes them back.
//!
//! **Invariant** P-1: names and fingerprints alone; the secret that was reported never gets here.

use super::sqlite;
use crate::adapters::host::private_files;
use crate::model::credential::{Credential, Kind};
use crate::model::proof::{Leak, Mark};
use crate::model::time::EventTime;
use parking_lot::Mutex;
use rusqlite::{Connection, Row, params};
use std::path::Path;
use std::sync::Arc;

const VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE watched (
        kind TEXT NOT NULL, credential TEXT NOT NULL, is_canary INTEGER NOT NULL, place TEXT NOT NULL,
        is_proof INTEGER NOT NULL, since_ms INTEGER NOT NULL,
        PRIMARY KEY (kind, credential, is_canary)
    ) WITHOUT ROWID;
    CREATE INDEX by_time ON watched (since_ms);
";

/// So many credentials are watched for at most; the oldest leak makes room for a newer
/// one, of those that holders of a secret reported before others. Chosen: about
/// ten megabytes in memory.
pub const WATCHED_MAX: i64 = 50_000;

/// A credential that is watched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Which.
    pub credential: Credential,
    /// The leak of its secret; none: it is a canary.
    pub leak: Option<Leak>,
    /// Where the canary was put, as a person noted.
    pub note: String,
    /// Since when.
    pub since: EventTime,
}

impl Watched {
    /// The mark that shards know it by.
    pub fn mark(&self) -> Mark {
        self.leak.clone().map_or(Mark::Canary, Mark::Leaked)
    }
}

/// The file. Cheap to clone; each call blocks.
#[derive(Clone, Debug)]
pub struct WatchStore(Arc<Mutex<Connection>>);

impl WatchStore {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When it can't be used: unlike findings, what is watched for comes from nowhere else.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        // Should that fail, opening says why.
        let _created = private_files::create_private(path);
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if sqlite::version_up_to(VERSION, &connection)? == 0 {
            connection.execute_batch(SCHEMA)?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// All that is watched for, oldest first.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn all(&self) -> rusqlite::Result<Vec<Watched>> {
        let file = self.0.lock();
        let mut rows = file.prepare_cached(
            "SELECT kind, credential, is_canary, place, is_proof, since_ms FROM watched ORDER BY since_ms",
        )?;
        let watched = rows.query_map([], |row| Ok(read(row)))?;
        Ok(watched.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Adds credentials: on disk once this returns.
    ///
    /// # Errors
    /// When the file can't be written: nothing was added.
    pub fn add(&self, watched: &[Watched]) -> rusqlite::Result<()> {
        let mut file = self.0.lock();
        let writing = file.transaction()?;
        for Watched { credential, leak, note, since } in watched {
            let place = leak.as_ref().map_or(note.as_str(), |leak| leak.place.as_str());
            let is_proof = leak.as_ref().is_some_and(|leak| leak.is_proof);
            let is_canary = leak.is_none();
            let (kind, id) = (credential.kind().as_str(), credential.id());
            writing.execute(
                "INSERT INTO watched (kind, credential, is_canary, place, is_proof, since_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
                 place = ?4, is_proof = max(is_proof, ?5)",
                params![kind, id, is_canary, place, is_proof, since.ms()],
            )?;
        }
        writing.execute(
            "DELETE FROM watched WHERE (kind, credential, is_canary) IN (
                 SELECT kind, credential, is_canary FROM watched WHERE is_canary = 0
                 ORDER BY place LIKE 'self%', since_ms DESC LIMIT -1 OFFSET ?1)",
            params![WATCHED_MAX],
        )?;
        writing.commit()
    }

    /// Takes one out: the canary, or the leak. Whether it was there.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn remove(&self, credential: &Credential, is_canary: bool) -> rusqlite::Result<bool> {
        let (kind, id) = (credential.kind().as_str(), credential.id());
        let removed = self.0.lock().execute(
            "DELETE FROM watched WHERE kind = ?1 AND credential = ?2 AND is_canary = ?3",
            params![kind, id, is_canary],
        )?;
        Ok(removed > 0)
    }
}

/// A row; none where it names no credential, as a hand may have written it.
fn read(row: &Row<'_>) -> Option<Watched> {
    let (kind, id): (String, String) = (row.get(0).ok()?, row.get(1).ok()?);
    let (is_canary, place): (bool, String) = (row.get(2).ok()?, row.get(3).ok()?);
    let (is_proof, since_ms) = (row.get(4).ok()?, row.get(5).ok()?);
    let credential = Credential::new(Kind::parse(&kind)?, &id).ok()?;
    let leak = (!is_canary).then(|| Leak { place: place.as_str().into(), is_proof });
    let note = if is_canary { place } else { String::new() };
    Some(Watched { credential, leak, note, since: EventTime::from_ms(since_ms) })
}

#[cfg(test)]
mod tests {
    use super::{Credential, EventTime, Leak, WatchStore, Watched};

    fn watched(id: &str, leak: Option<bool>, ms: i64) -> Watched {
        let leak = leak.map(|is_proof| Leak { place: format!("at {id}").into(), is_proof });
        let note = if leak.is_some() { String::new() } else { "in the wiki".to_owned() };
        let credential = Credential::parse(id).expect("an id");
        Watched { credential, leak, note, since: EventTime::from_ms(ms) }
    }

    #[test]
    fn what_is_watched_for_outlives_a_restart_until_it_is_taken_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("watchlist.db");
        let all = [
            watched("k1", None, 1),
            watched("session:k1", Some(true), 2),
            watched("k1", Some(false), 3),
        ];
        WatchStore::open(&path).expect("opens").add(&all).expect("written");
        let store = WatchStore::open(&path).expect("opens again");
        assert_eq!(store.all().expect("read"), all);
        assert!(store.remove(&all[0].credential, true).expect("written"));
        assert!(!store.remove(&all[0].credential, true).expect("written"), "once");
        assert_eq!(store.all().expect("read"), all[1..]);
    }

    #[test]
    fn a_later_report_that_proves_nothing_weakens_no_proof() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = WatchStore::open(&folder.path().join("w.db")).expect("opens");
        store.add(&[watched("k1", Some(true), 1)]).expect("written");
        store.add(&[watched("k1", Some(false), 2)]).expect("written");
        assert_eq!(store.all().expect("read"), [watched("k1", Some(true), 1)]);
    }
}
