//! Findings on disk: what was found outlives restarts, for a time and up to a size.
//!
//! The control plane notes findings in memory, and a thread of its own writes them down each second:
//! a slow disk holds nothing up. The findings of the last second come again after a crash, as its
//! events are read again.

use super::sqlite;
use crate::adapters::clock;
use crate::adapters::host::private_files;
use crate::formats::api::finding::FindingJson;
use crate::model::credential::Credential;
use crate::model::finding::{Finding, FindingId};
use crate::model::time::EventTime;
use hashbrown::HashMap;
use parking_lot::Mutex;
use prometheus::IntCounter;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE findings (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, credential TEXT NOT NULL, opened_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL, closed_ms INTEGER, json TEXT NOT NULL
    );
    CREATE INDEX by_opened ON findings (opened_ms);
    CREATE INDEX open_ones ON findings (id) WHERE closed_ms IS NULL;
    CREATE INDEX by_updated ON findings (updated_ms);
    CREATE INDEX by_credential ON findings (kind, credential, opened_ms);
";

const WRITE: &str = "
    INSERT INTO findings (id, kind, credential, opened_ms, updated_ms, closed_ms, json)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (id) DO UPDATE SET updated_ms = ?5, closed_ms = ?6, json = ?7
";

/// How often what was noted is written down.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// After how many writes old ones are looked for: ten minutes.
const FORGET_AFTER: u32 = 600;
/// Findings that may wait to be written, should the disk fail. Chosen: some tens of megabytes.
const WAITING_MAX: usize = 50_000;
/// How often that is done at once.
const FORGET_ROUNDS: u32 = 20;
/// The share that is forgotten at once where there are too many: one in ten.
const FORGOTTEN_SHARE: u64 = 10;

/// For how long, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// How long a finding is kept after it last changed. Unit: milliseconds. Default: 90 days.
    pub keep_ms: i64,
    /// How large the file may get. Unit: bytes. Default: 1 GiB.
    pub bytes_max: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { keep_ms: 90 * 86_400_000, bytes_max: 1 << 30 }
    }
}

/// Which findings are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Those of this credential alone.
    pub credential: Option<Credential>,
    /// How many at most.
    pub most: usize,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<HashMap<FindingId, Finding>>,
    file: Mutex<Connection>,
    params: Params,
    errors: IntCounter,
    stopping: AtomicBool,
    /// Whether the last write failed.
    failing: AtomicBool,
}

/// The archive. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FindingArchive(Arc<Shared>);

impl FindingArchive {
    /// Opens or creates the file; sets a damaged one aside, and keeps findings in memory alone where it
    /// can't be used: protection does not wait for it. Findings that were open are taken to have ended: they are
    /// reported again if it goes on. `errors` counts writes that failed.
    ///
    /// # Errors
    /// When there is no memory for it either.
    pub fn open(path: &Path, params: Params, errors: IntCounter) -> rusqlite::Result<Self> {
        let opened = match connect(path) {
            Err(error) if sqlite::is_damaged(path, &error) => {
                // Should that fail, opening says why.
                let aside = sqlite::set_aside(path).ok();
                tracing::error!(
                    file = %path.display(), %error, aside = ?aside,
                    "can't read earlier findings; their file is set aside"
                );
                connect(path)
            }
            opened => opened,
        };
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                errors.inc();
                tracing::error!(
                    file = %path.display(), %error,
                    "findings are kept in memory only until the next start"
                );
                set_up(Connection::open_in_memory()?)?
            }
        };
        Ok(Self(Arc::new(Shared {
            waiting: Mutex::default(),
            file: Mutex::new(file),
            params,
            errors,
            stopping: AtomicBool::new(false),
            failing: AtomicBool::new(false),
        })))
    }

    /// Notes a finding, or what became of it.
    pub fn record(&self, finding: &Finding) {
        let mut waiting = self.0.waiting.lock();
        if waiting.len() < WAITING_MAX || waiting.contains_key(&finding.id) {
            waiting.insert(finding.id, finding.clone());
        } else {
            self.0.errors.inc();
        }
    }

    /// Starts the thread that writes; it ends once [`FindingArchive::stop`] was called.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(&self) -> std::io::Result<JoinHandle<()>> {
        let archive = self.clone();
        let run = move || {
            let mut rounds = 0_u32;
            while !archive.0.stopping.load(Ordering::Acquire) {
                std::thread::park_timeout(WRITE_EVERY);
                archive.write_down();
                if rounds.is_multiple_of(FORGET_AFTER) {
                    archive.forget_old();
                }
                rounds = rounds.wrapping_add(1);
            }
            archive.write_down();
        };
        std::thread::Builder::new().name("findings".to_owned()).spawn(run)
    }

    /// Lets the thread write what waits, and end.
    pub fn stop(&self, thread: &JoinHandle<()>) {
        self.0.stopping.store(true, Ordering::Release);
        thread.thread().unpark();
    }

    fn write_down(&self) {
        let waiting = std::mem::take(&mut *self.0.waiting.lock());
        if waiting.is_empty() {
            return;
        }
        // In order, so that what is forgotten together lies together.
        let mut in_order: Vec<&Finding> = waiting.values().collect();
        in_order.sort_unstable_by_key(|finding| (finding.updated, finding.opened, finding.id));
        let written = write(&mut self.0.file.lock(), in_order.into_iter());
        self.note_outcome(written.as_ref().err());
        if written.is_err() {
            let mut later = self.0.waiting.lock();
            for (id, finding) in waiting {
                // Findings that came meanwhile are newer.
                if later.len() < WAITING_MAX {
                    later.entry(id).or_insert(finding);
                } else {
                    self.0.errors.inc();
                }
            }
        }
    }

    fn forget_old(&self) {
        let Params { keep_ms, bytes_max } = self.0.params;
        let before = clock::now().plus_ms(-keep_ms);
        let forgotten = forget(&self.0.file.lock(), before, bytes_max);
        self.note_outcome(forgotten.as_ref().err());
    }

    /// Counts a failure; says it, and its end, once.
    fn note_outcome(&self, failed: Option<&rusqlite::Error>) {
        let was_failing = self.0.failing.swap(failed.is_some(), Ordering::Relaxed);
        match failed {
            Some(error) => {
                self.0.errors.inc();
                if !was_failing {
                    tracing::error!(%error, "can't write the file of findings; they wait in \
                        memory");
                }
            }
            None if was_failing => tracing::info!("the file of findings can be written again"),
            None => {}
        }
    }

    /// The findings that opened last, newest first. Blocks.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn find(&self, wanted: &Wanted) -> rusqlite::Result<Vec<Finding>> {
        let most = i64::try_from(wanted.most).unwrap_or(i64::MAX);
        let file = self.0.file.lock();
        match &wanted.credential {
            None => {
                let query = "SELECT json, closed_ms FROM findings ORDER BY opened_ms DESC LIMIT ?1";
                let mut statement = file.prepare_cached(query)?;
                let rows = statement.query_map([most], read)?;
                rows.filter_map(Result::transpose).collect()
            }
            Some(credential) => {
                let query =
                    "SELECT json, closed_ms FROM findings WHERE kind = ?1 AND credential = ?2
                     ORDER BY opened_ms DESC LIMIT ?3";
                let mut statement = file.prepare_cached(query)?;
                let (kind, id) = (credential.kind().as_str(), credential.id());
                let rows = statement.query_map(params![kind, id, most], read)?;
                rows.filter_map(Result::transpose).collect()
            }
        }
    }

    /// One finding. Blocks.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn one(&self, id: FindingId) -> rusqlite::Result<Option<Finding>> {
        let query = "SELECT json, closed_ms FROM findings WHERE id = ?1";
        let file = self.0.file.lock();
        let found = file.query_row(query, [id.to_string()], read).optional()?;
        Ok(found.flatten())
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // It is made for the own user alone. Should that fail, opening says why.
    let _made = private_files::create_private(path);
    set_up(Connection::open(path)?)
}

fn set_up(mut connection: Connection) -> rusqlite::Result<Connection> {
    connection.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         PRAGMA journal_size_limit = 16777216;",
    )?;
    let version = sqlite::version_up_to(VERSION, &connection)?;
    if version < VERSION {
        let transaction = connection.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    connection.execute("UPDATE findings SET closed_ms = updated_ms WHERE closed_ms IS NULL", [])?;
    Ok(connection)
}

fn write<'a>(
    file: &mut Connection,
    findings: impl Iterator<Item = &'a Finding>,
) -> rusqlite::Result<()> {
    let transaction = file.transaction()?;
    {
        let mut statement = transaction.prepare_cached(WRITE)?;
        for finding in findings {
            let json = serde_json::to_string(&FindingJson(finding.clone())).unwrap_or_default();
            let credential = &finding.credential;
            statement.execute(params![
                finding.id.to_string(),
                credential.kind().as_str(),
                credential.id(),
                finding.opened.ms(),
                finding.updated.ms(),
                finding.closed.map(EventTime::ms),
                json,
            ])?;
        }
    }
    transaction.commit()
}

/// A finding as it was written; none if it was written by a tripline that knew more.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<Finding>> {
    let json: String = row.get(0)?;
    let closed: Option<i64> = row.get(1)?;
    let found = serde_json::from_str::<FindingJson>(&json).ok();
    let closed = closed.map(EventTime::from_ms);
    Ok(found.map(|FindingJson(finding)| Finding { closed, ..finding }))
}

/// Forgets what last changed before then, and the oldest while the file is too large.
fn forget(file: &Connection, before: EventTime, bytes_max: u64) -> rusqlite::Result<()> {
    file.execute("DELETE FROM findings WHERE updated_ms < ?1", [before.ms()])?;
    let number = |pragma: &str| -> rusqlite::Result<u64> {
        file.query_row(pragma, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    };
    let size = || -> rusqlite::Result<u64> {
        let (pages, free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
        Ok(pages.saturating_sub(free) * number("PRAGMA page_size")?)
    };
    // Where it was lowered much, the rest goes with the next looks: each takes a moment.
    for _ in 0..FORGET_ROUNDS {
        if size()? <= bytes_max {
            break;
        }
        let all = number("SELECT COUNT(*) FROM findings")?;
        let some = i64::try_from(all / FORGOTTEN_SHARE + 1).unwrap_or(i64::MAX);
        file.execute(
            "DELETE FROM findings WHERE id IN (
                SELECT id FROM findings ORDER BY updated_ms LIMIT ?1
             )",
            [some],
        )?;
    }
    // Deleted rows take no room on the disk either. It gives a row for each page.
    let mut vacuum = file.prepare("PRAGMA incremental_vacuum")?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FindingArchive, Params, Wanted, forget};
    use crate::model::credential::{Credential, Kind};
    use crate::model::finding::{Action, Detector, Finding, FindingId, Gates, Reached};
    use crate::model::time::EventTime;
    use prometheus::IntCounter;

    fn finding(id: &str, opened_ms: i64) -> Finding {
        let credential = Credential::new(Kind::ApiKey, id).expect("valid");
        let opened = EventTime::from_ms(1_700_000_000_000 + opened_ms);
        Finding {
            id: FindingId::of(&credential, Detector::Burst, opened),
            credential,
            tenant: None,
            detector: Detector::Burst,
            action: Action::Alert,
            opened,
            reached: Reached::default(),
            gates: Gates::default(),
            updated: opened,
            closed: None,
            evidence_nats: 20.0,
            summary: "made many requests".repeat(10),
            evidence: Vec::new(),
            place: None,
            expires: None,
        }
    }

    fn errors() -> IntCounter {
        IntCounter::new("errors", "Errors.").expect("a name")
    }

    fn ids(archive: &FindingArchive, credential: Option<&Credential>) -> Vec<String> {
        let wanted = Wanted { credential: credential.cloned(), most: 1000 };
        let found = archive.find(&wanted).expect("reads");
        found.into_iter().map(|one| one.credential.id().to_owned()).collect()
    }

    #[test]
    fn what_was_found_outlives_a_restart_and_what_was_open_has_ended_unless_it_is_told_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("findings.db");
        // The findings are of 2023: the thread must not delete them as old.
        let params = || Params { keep_ms: 100 * 365 * 86_400_000, ..Params::default() };
        let archive = FindingArchive::open(&path, params(), errors()).expect("opens");
        let thread = archive.start().expect("a thread");
        let (one, two) = (finding("key_1", 0), finding("key_2", 5));
        archive.record(&one);
        archive.record(&two);
        archive.stop(&thread);
        thread.join().expect("ends");
        drop(archive);
        let archive = FindingArchive::open(&path, params(), errors()).expect("opens");
        assert_eq!(ids(&archive, None), ["key_2", "key_1"], "newest first");
        assert_eq!(ids(&archive, Some(&one.credential)), ["key_1"]);
        let read = archive.one(one.id).expect("reads").expect("is there");
        assert_eq!(read, Finding { closed: Some(one.updated), ..one.clone() });
        archive.record(&one);
        archive.write_down();
        assert_eq!(archive.one(one.id).expect("reads"), Some(one));
    }

    #[test]
    fn old_ones_are_forgotten_and_the_oldest_where_there_are_too_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("findings.db");
        let archive = FindingArchive::open(&path, Params::default(), errors()).expect("opens");
        for number in 0..2000 {
            archive.record(&finding(&format!("key_{number}"), number));
        }
        archive.write_down();
        let file = archive.0.file.lock();
        let count = || -> i64 {
            file.query_row("SELECT COUNT(*) FROM findings", [], |row| row.get(0)).expect("counts")
        };
        forget(&file, EventTime::from_ms(1_700_000_000_100), u64::MAX).expect("forgets");
        assert_eq!(count(), 1900);
        let size = || -> i64 {
            file.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("counts")
        };
        let before = size();
        let half = u64::try_from(before).expect("a size") * 4096 / 2;
        forget(&file, EventTime::MIN, half).expect("forgets");
        assert!((500..1200).contains(&count()), "about half is left: {}", count());
        assert!(size() < before, "it takes less room: {before} pages before, {} after", size());
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("findings.db");
        std::fs::write(&path, "no database at all, and long enough to be looked at".repeat(100))
            .expect("writes");
        let archive = FindingArchive::open(&path, Params::default(), errors()).expect("opens");
        assert!(ids(&archive, None).is_empty());
        let names = std::fs::read_dir(folder.path()).expect("a folder").flatten();
        let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert!(names.any(|name| name.starts_with("findings.db.damaged-")));
    }

    #[test]
    fn where_the_file_can_not_be_used_findings_are_kept_in_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("none").join("findings.db");
        let errors = errors();
        let archive =
            FindingArchive::open(&path, Params::default(), errors.clone()).expect("opens");
        archive.record(&finding("key_1", 0));
        archive.write_down();
        assert_eq!((ids(&archive, None), errors.get()), (vec!["key_1".to_owned()], 1));
    }
}
