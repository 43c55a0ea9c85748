//! The index of a journal: where each decision stands, by id and by credential. `SQLite`.
//!
//! It holds nothing that the journal does not: where it is missing it is recreated. It is written
//! after the journal is durable, so it is never ahead of it; where it is, the journal was cut.

use crate::adapters::host::private_files;
use crate::adapters::storage::sqlite;
use crate::model::credential::Credential;
use crate::model::decision::DecisionId;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::Path;

/// The layout. An older one is thrown away and made again.
const VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE decisions (
        line INTEGER PRIMARY KEY, decision INTEGER NOT NULL, file INTEGER NOT NULL,
        offset INTEGER NOT NULL, length INTEGER NOT NULL, kind INTEGER NOT NULL, id TEXT NOT NULL
    );
    CREATE INDEX by_decision ON decisions (decision);
    CREATE INDEX by_credential ON decisions (kind, id, line);
    CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), line INTEGER, hash TEXT);
";

/// A line that is known to have been written, and its hash.
pub type Head = (u64, String);

/// A decision's row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) decision: DecisionId,
    pub(super) credential: Credential,
    pub(super) place: LogPosition,
}

/// The index.
#[derive(Debug)]
pub(super) struct Index(Connection);

fn signed(value: u64) -> i64 {
    value.cast_signed()
}

impl Index {
    /// Opens the index to write it; one that is damaged is set aside, and a new one made.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        match Self::try_open(path) {
            Ok(index) => Ok(index),
            Err(error) if sqlite::is_damaged(path, &error) => {
                // Should that fail, opening says why.
                let aside = sqlite::set_aside(path).ok();
                tracing::error!(
                    error = %error, aside = ?aside,
                    "the journal's index is damaged and is rebuilt; it no longer knows where the \
                     journal ended: `tripline journal verify --head` shows whether lines are missing"
                );
                Self::try_open(path)
            }
            Err(error) => Err(error),
        }
    }

    fn try_open(path: &Path) -> rusqlite::Result<Self> {
        // For the own user alone. Should that fail, opening says why.
        let _made = private_files::create_private(path);
        let mut connection = Connection::open(path)?;
        // Rows that a crash takes from it are recreated from the journal.
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
        if sqlite::version_up_to(VERSION, &connection)? < VERSION {
            let transaction = connection.transaction()?;
            transaction
                .execute_batch("DROP TABLE IF EXISTS decisions; DROP TABLE IF EXISTS head;")?;
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()?;
        }
        Ok(Self(connection))
    }

    /// Opens the index to read it only.
    pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags).map(Self)
    }

    /// The last line that it knows; none: it is new.
    pub(super) fn head(&self) -> rusqlite::Result<Option<Head>> {
        let read = "SELECT line, hash FROM head";
        let head = self
            .0
            .query_row(read, [], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)));
        head.optional()
    }

    /// Adds rows and moves the head, all or nothing.
    pub(super) fn add(&mut self, rows: &[Row], head: &Head) -> rusqlite::Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO decisions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for row in rows {
                let place = row.place;
                insert.execute(params![
                    signed(row.line),
                    signed(row.decision.bits()),
                    signed(place.file),
                    signed(place.offset),
                    place.length,
                    row.credential.kind() as u8,
                    row.credential.id(),
                ])?;
            }
            let set = "INSERT OR REPLACE INTO head VALUES (1, ?1, ?2)";
            transaction.prepare_cached(set)?.execute(params![signed(head.0), head.1])?;
        }
        transaction.commit()
    }

    /// Where a decision stands.
    pub(super) fn find(&self, decision: DecisionId) -> rusqlite::Result<Option<LogPosition>> {
        // One that was made again in knowledge of another instance's has two lines.
        let read = "SELECT file, offset, length FROM decisions WHERE decision = ?1
                    ORDER BY line DESC LIMIT 1";
        let mut statement = self.0.prepare_cached(read)?;
        statement.query_row([signed(decision.bits())], place).optional()
    }

    /// Where the newest decisions on a credential stand, newest first, at most `most`.
    pub(super) fn of(
        &self,
        credential: &Credential,
        most: u32,
    ) -> rusqlite::Result<Vec<LogPosition>> {
        let mut statement = self.0.prepare_cached(
            // SQLite takes the bare columns from the row of the MAX.
            "SELECT file, offset, length, MAX(line) AS newest FROM decisions
             WHERE kind = ?1 AND id = ?2 GROUP BY decision ORDER BY newest DESC LIMIT ?3",
        )?;
        let found =
            statement.query_map(params![credential.kind() as u8, credential.id(), most], place)?;
        found.collect()
    }
}

fn place(row: &rusqlite::Row<'_>) -> rusqlite::Result<LogPosition> {
    Ok(LogPosition {
        file: row.get::<_, i64>(0)?.cast_unsigned(),
        offset: row.get::<_, i64>(1)?.cast_unsigned(),
        length: row.get(2)?,
    })
}

/// Where a line stands: in the file that begins with line `file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogPosition {
    pub(super) file: u64,
    /// Unit: bytes.
    pub(super) offset: u64,
    /// Without the line break. Unit: bytes.
    pub(super) length: u32,
}
