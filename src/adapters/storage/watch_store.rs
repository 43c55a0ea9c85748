//! Canaries and leaked credentials on disk: they are watched for until a person takes them back.
//!
//! **Invariant** P-1: names and fingerprints alone; the secret that was reported never gets here.

use super::sqlite;
use crate::adapters::host::private_files;
use crate::model::credential::{Credential, Kind};
use crate::model::proof::Leak;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use rusqlite::{Connection, Row, ToSql, params};
use std::path::Path;
use std::sync::Arc;

const VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE canaries (
        kind TEXT NOT NULL, credential TEXT NOT NULL, note TEXT NOT NULL, since_ms INTEGER NOT NULL,
        PRIMARY KEY (kind, credential)
    ) WITHOUT ROWID;
    CREATE TABLE leaks (
        kind TEXT NOT NULL, credential TEXT NOT NULL, report INTEGER NOT NULL, by_holder INTEGER NOT NULL,
        place TEXT NOT NULL, is_proof INTEGER NOT NULL, since_ms INTEGER NOT NULL,
        PRIMARY KEY (kind, credential)
    ) WITHOUT ROWID;
    CREATE INDEX by_report ON leaks (by_holder, report);
";

/// So many names of leaked secrets are watched for at most; the oldest report makes room for a newer one,
/// those of holders before others. Chosen: some 8,000 secrets that were never used, and about 3 MB for each shard.
pub const LEAKED_NAMES_MAX: i64 = 50_000;
/// So many canaries are watched for at most. Chosen.
pub const CANARIES_MAX: i64 = 10_000;

/// A credential that no one has a reason to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryEntry {
    /// The credential.
    pub credential: Credential,
    /// Where it was put, as a person noted.
    pub note: String,
    /// The time from which it is watched for.
    pub since: EventTime,
}

/// The names of one leaked secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakEntry {
    /// The names.
    pub names: Vec<Credential>,
    /// Where it was found.
    pub leak: Leak,
    /// Whether a holder of the secret reported it, whom anyone can be.
    pub by_holder: bool,
    /// When it was reported.
    pub since: EventTime,
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

    /// The canaries, oldest first.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn canaries(&self) -> rusqlite::Result<Vec<CanaryEntry>> {
        let file = self.0.lock();
        let mut rows = file.prepare_cached(
            "SELECT kind, credential, note, since_ms FROM canaries ORDER BY since_ms, credential",
        )?;
        let canaries = rows.query_map([], |row| {
            let since = EventTime::from_ms(row.get(3)?);
            Ok(named(row)?.zip(Some((row.get(2)?, since))))
        })?;
        let canaries = canaries.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten();
        Ok(canaries
            .map(|(credential, (note, since))| CanaryEntry { credential, note, since })
            .collect())
    }

    /// The names of leaked secrets, each with where it was found, and when that was reported.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn leaks(&self) -> rusqlite::Result<Vec<(Credential, Leak, EventTime)>> {
        let file = self.0.lock();
        let mut rows = file.prepare_cached(
            "SELECT kind, credential, place, is_proof, since_ms FROM leaks ORDER BY report",
        )?;
        let leaks = rows.query_map([], |row| {
            let place: String = row.get(2)?;
            let leak = Leak { place: place.into(), is_proof: row.get(3)? };
            Ok(named(row)?.zip(Some((leak, EventTime::from_ms(row.get(4)?)))))
        })?;
        let leaks = leaks.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten();
        Ok(leaks.map(|(name, (leak, since))| (name, leak, since)).collect())
    }

    /// Adds a canary: on disk once this returns. False if there are [`CANARIES_MAX`] already.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn add_canary(&self, canary: &CanaryEntry) -> rusqlite::Result<bool> {
        let CanaryEntry { credential, note, since } = canary;
        let (kind, id) = (credential.kind().as_str(), credential.id());
        let added = self.0.lock().execute(
            "INSERT INTO canaries SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM canaries) < ?5
             ON CONFLICT DO UPDATE SET note = ?3",
            params![kind, id, note, since.ms(), CANARIES_MAX],
        )?;
        Ok(added > 0)
    }

    /// Takes a canary out. Whether it was there.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn remove_canary(&self, credential: &Credential) -> rusqlite::Result<bool> {
        let (kind, id) = (credential.kind().as_str(), credential.id());
        let removed = self.0.lock().execute(
            "DELETE FROM canaries WHERE kind = ?1 AND credential = ?2",
            params![kind, id],
        )?;
        Ok(removed > 0)
    }

    /// Adds leaked secrets: on disk once this returns. Gives the names that had to make room.
    ///
    /// # Errors
    /// When the file can't be written: nothing was added.
    pub fn add_leaks(&self, leaks: &[LeakEntry]) -> rusqlite::Result<Vec<Credential>> {
        let mut file = self.0.lock();
        let writing = file.transaction()?;
        for LeakEntry { names, leak, by_holder, since } in leaks {
            let report: i64 =
                writing.query_row("SELECT coalesce(max(report), 0) + 1 FROM leaks", [], |row| {
                    row.get(0)
                })?;
            for name in names {
                // A report that proves nothing takes the place of none that does.
                writing.execute(
                    "INSERT INTO leaks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
                     report = ?3, by_holder = min(by_holder, ?4), place = ?5, is_proof = ?6, since_ms = ?7
                     WHERE ?6 >= is_proof",
                    params![
                        name.kind().as_str(),
                        name.id(),
                        report,
                        by_holder,
                        leak.place.as_str(),
                        leak.is_proof,
                        since.ms()
                    ],
                )?;
            }
        }
        let dropped = names_of(
            &writing,
            "DELETE FROM leaks WHERE (kind, credential) IN (
                 SELECT kind, credential FROM leaks ORDER BY by_holder, report DESC LIMIT -1 OFFSET ?1)
             RETURNING kind, credential",
            &[&LEAKED_NAMES_MAX],
        )?;
        writing.commit()?;
        Ok(dropped)
    }

    /// Withdraws the report that named a credential. Gives all its names.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn withdraw_leak(&self, credential: &Credential) -> rusqlite::Result<Vec<Credential>> {
        let (kind, id) = (credential.kind().as_str(), credential.id());
        names_of(
            &self.0.lock(),
            "DELETE FROM leaks WHERE report IN (
                 SELECT report FROM leaks WHERE kind = ?1 AND credential = ?2)
             RETURNING kind, credential",
            &[&kind, &id],
        )
    }
}

/// The credentials that a statement gives.
fn names_of(
    file: &Connection,
    statement: &str,
    parameters: &[&dyn ToSql],
) -> rusqlite::Result<Vec<Credential>> {
    let mut rows = file.prepare_cached(statement)?;
    let names = rows.query_map(parameters, named)?;
    Ok(names.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The credential of a row's first columns; none where it names none, as a hand may have written it.
fn named(row: &Row<'_>) -> rusqlite::Result<Option<Credential>> {
    let (kind, id): (String, String) = (row.get(0)?, row.get(1)?);
    Ok(Kind::parse(&kind).and_then(|kind| Credential::new(kind, &id).ok()))
}

#[cfg(test)]
mod tests {
    use super::{
        CanaryEntry, Credential, EventTime, LEAKED_NAMES_MAX, Leak, LeakEntry, WatchStore,
    };

    fn store() -> (tempfile::TempDir, WatchStore) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = WatchStore::open(&folder.path().join("watchlist.db")).expect("opens");
        (folder, store)
    }

    fn name(text: &str) -> Credential {
        Credential::parse(text).expect("an id")
    }

    fn leak(names: impl IntoIterator<Item = String>, is_proof: bool, by_holder: bool) -> LeakEntry {
        let leak = Leak { place: "a commit".into(), is_proof };
        let names = names.into_iter().map(|text| name(&text)).collect();
        LeakEntry { names, leak, by_holder, since: EventTime::from_ms(1) }
    }

    #[test]
    fn canaries_outlive_a_restart_until_they_are_taken_out() {
        let (folder, store) = store();
        let canary = CanaryEntry {
            credential: name("session:k1"),
            note: "in the wiki".to_owned(),
            since: EventTime::from_ms(1),
        };
        assert!(store.add_canary(&canary).expect("written"));
        let store = WatchStore::open(&folder.path().join("watchlist.db")).expect("opens again");
        assert_eq!(store.canaries().expect("read"), std::slice::from_ref(&canary));
        assert!(store.remove_canary(&canary.credential).expect("written"));
        assert!(!store.remove_canary(&canary.credential).expect("written"), "once");
    }

    #[test]
    fn a_report_is_withdrawn_with_all_its_names_and_no_other_is() {
        let (_folder, store) = store();
        let report = |names: [&str; 2]| leak(names.map(str::to_owned), true, false);
        store
            .add_leaks(&[report(["k1", "session:k1"]), report(["k2", "session:k2"])])
            .expect("written");
        let mut names = store.withdraw_leak(&name("session:k1")).expect("written");
        names.sort();
        assert_eq!(names, [name("k1"), name("session:k1")]);
        assert_eq!(store.withdraw_leak(&name("k1")).expect("written"), []);
        assert_eq!(store.leaks().expect("read").len(), 2);
    }

    #[test]
    fn a_later_report_that_proves_nothing_weakens_no_proof() {
        let (_folder, store) = store();
        store.add_leaks(&[leak(["k1".to_owned()], true, false)]).expect("written");
        let mut claimed = leak(["k1".to_owned()], false, true);
        claimed.leak.place = "elsewhere".into();
        store.add_leaks(&[claimed]).expect("written");
        let leaks = store.leaks().expect("read");
        assert!(leaks.len() == 1 && leaks[0].1.is_proof && leaks[0].1.place == "a commit");
    }

    #[test]
    fn beyond_the_bound_the_oldest_reports_of_holders_make_room_before_those_of_others() {
        let (_folder, store) = store();
        let most = usize::try_from(LEAKED_NAMES_MAX).expect("many");
        let many = |of: &'static str, count| (0..count).map(move |n| format!("{of}{n}"));
        store.add_leaks(&[leak(many("genuine", 1), true, false)]).expect("written");
        store.add_leaks(&[leak(many("first", 1), true, true)]).expect("written");
        let dropped = store.add_leaks(&[leak(many("holder", most), true, true)]).expect("written");
        assert!(dropped.contains(&name("first0")) && !dropped.contains(&name("genuine0")));
        assert_eq!((dropped.len(), store.leaks().expect("read").len()), (2, most));
    }
}
