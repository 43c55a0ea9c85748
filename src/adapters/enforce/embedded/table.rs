//! The table on disk: `SQLite`, the enforcement state about each credential and the number of its last change.

use crate::adapters::host::private_files;
use crate::adapters::storage::sqlite;
use crate::model::credential::{Credential, Kind};
use crate::model::decision::{
    Decision, DecisionId, Delivery, EnforcementState, Generation, Holding, Receipt, Status,
};
use crate::model::finding::FindingId;
use crate::model::time::EventTime;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use std::path::Path;

const VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS credentials (
        kind TEXT NOT NULL, id TEXT NOT NULL, status TEXT NOT NULL, generation INTEGER NOT NULL,
        decision TEXT NOT NULL, reason TEXT NOT NULL, finding TEXT, until_ms INTEGER,
        at_ms INTEGER NOT NULL, PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
    ALTER TABLE credentials ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
    UPDATE credentials SET change = ordered.number FROM (
        SELECT kind, id, ROW_NUMBER() OVER (ORDER BY at_ms) AS number FROM credentials
    ) AS ordered WHERE credentials.kind = ordered.kind AND credentials.id = ordered.id;
    CREATE INDEX by_change ON credentials (change);
    CREATE TABLE epoch (name TEXT NOT NULL);
";

const READ: &str = "SELECT generation, decision, status, finding, until_ms FROM credentials
    WHERE kind = ?1 AND id = ?2";

const WRITE: &str = "
    INSERT INTO credentials
        (kind, id, status, generation, decision, reason, finding, until_ms, at_ms, change)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT (kind, id) DO UPDATE SET status = ?3, generation = ?4, decision = ?5, reason = ?6,
        finding = ?7, until_ms = ?8, at_ms = ?9, change = ?10
";

const CHANGES: &str = "
    SELECT kind, id, status, generation, decision, reason, finding, until_ms, at_ms, change
    FROM credentials WHERE change > ?1 ORDER BY change LIMIT ?2
";

/// The newest change of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The credential.
    pub credential: Credential,
    /// The status that gateways see.
    pub status: Status,
    /// The rank of the decision.
    pub generation: Generation,
    /// The decision.
    pub decision: DecisionId,
    /// Why, in words.
    pub reason: String,
    /// The finding behind it.
    pub finding: Option<FindingId>,
    /// When it ends by itself.
    pub until: Option<EventTime>,
    /// When it was ordered.
    pub at: EventTime,
    /// Its number: each change has a higher one than those before.
    pub number: u64,
}

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    connection: Connection,
    /// The number of the last change.
    changes: u64,
    epoch: String,
    /// Counts commits of other processes, as `SQLite` sees them.
    foreign: i64,
}

impl Table {
    /// Opens or creates it; `epoch` names a new one. A damaged file is set aside, and an empty one
    /// made: the journal has everything that stood in it.
    pub(super) fn open(path: &Path, epoch: &str) -> rusqlite::Result<Self> {
        match Self::try_open(path, epoch) {
            Err(error) if sqlite::is_damaged(path, &error) => {
                // Should that fail, opening says why.
                let aside = sqlite::set_aside(path).ok();
                tracing::error!(
                    file = %path.display(), %error, aside = ?aside,
                    "the embedded store is damaged; it is set aside and rebuilt from the journal"
                );
                Self::try_open(path, epoch)
            }
            opened => opened,
        }
    }

    fn try_open(path: &Path, epoch: &str) -> rusqlite::Result<Self> {
        // It is made for the own user alone; what SQLite adds to it has the same rights. Should
        // that fail, opening says why.
        let _made = private_files::create_private(path);
        let mut connection = Connection::open(path)?;
        let version = sqlite::version_up_to(VERSION, &connection)?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        if version < VERSION {
            let transaction = connection.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.execute("INSERT INTO epoch VALUES (?1)", [epoch])?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()?;
        } else {
            check_whole(&connection)?;
        }
        let last = "SELECT COALESCE(MAX(change), 0) FROM credentials";
        let changes: i64 = connection.query_row(last, [], |row| row.get(0))?;
        let epoch = connection.query_row("SELECT name FROM epoch", [], |row| row.get(0))?;
        let foreign = foreign_writes(&connection)?;
        Ok(Self { connection, changes: changes.cast_unsigned(), epoch, foreign })
    }

    /// Whether another process wrote into the file since this was last asked.
    pub(super) fn was_written_by_another(&mut self) -> rusqlite::Result<bool> {
        let foreign = foreign_writes(&self.connection)?;
        Ok(std::mem::replace(&mut self.foreign, foreign) != foreign)
    }

    /// Returns what the file says about credentials, in their order.
    pub(super) fn read(
        &self,
        wanted: &[EnforcementState],
    ) -> rusqlite::Result<Vec<Option<Holding>>> {
        let mut read = self.connection.prepare_cached(READ)?;
        let mut of = |credential: &Credential| {
            read.query_row(params![credential.kind().as_str(), credential.id()], |row| {
                Ok(holding(row))
            })
            .optional()
        };
        wanted.iter().map(|in_force| of(&in_force.credential)).collect()
    }

    /// Returns how decisions would be answered if they could be written.
    pub(super) fn judge(&self, decisions: &[Decision]) -> rusqlite::Result<Vec<Delivery>> {
        decisions.iter().map(|decision| judge(&self.connection, decision)).collect()
    }

    /// The number of the last change.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// The name of this table: numbers of another one mean nothing here.
    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Gives everything that is not active to `each`.
    pub(super) fn out_of_service(&self, mut each: impl FnMut(Changed)) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT kind, id, status, generation, decision, '', finding, until_ms, at_ms, change
             FROM credentials WHERE status <> 'active'",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(changed) = changed(row) {
                each(changed);
            }
        }
        Ok(())
    }

    /// The newest change of each credential that changed after `since`, in the order of numbers.
    pub(super) fn since(&self, since: u64, most: u32) -> rusqlite::Result<Vec<Changed>> {
        let mut statement = self.connection.prepare_cached(CHANGES)?;
        let mut rows = statement.query(params![since.cast_signed(), most])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.extend(changed(row));
        }
        Ok(found)
    }

    /// Carries out decisions, all in one transaction: on disk when it returns.
    pub(super) fn write(&mut self, decisions: &[Decision]) -> rusqlite::Result<Vec<Delivery>> {
        let mut changes = self.changes;
        let transaction = self.connection.transaction()?;
        let mut deliveries = Vec::with_capacity(decisions.len());
        for decision in decisions {
            deliveries.push(write(&transaction, decision, &mut changes)?);
        }
        #[cfg(feature = "failpoints")]
        fail::fail_point!("embedded.before_commit", |_| std::process::abort());
        transaction.commit()?;
        #[cfg(feature = "failpoints")]
        fail::fail_point!("embedded.committed", |_| std::process::abort());
        self.changes = changes;
        Ok(deliveries)
    }
}

/// Looks through all pages; the first thing that is wrong with them is an error.
fn check_whole(connection: &Connection) -> rusqlite::Result<()> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(corrupt, Some(found)))
}

fn foreign_writes(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// Compares a decision with the row; [`Receipt::Applied`]: it has to be written.
fn judge(connection: &Connection, decision: &Decision) -> rusqlite::Result<Delivery> {
    let Some(status) = decision.order.status() else { return Ok(Receipt::Already.into()) };
    let (kind, id) = (decision.credential.kind(), decision.credential.id());
    let mut read = connection.prepare_cached(READ)?;
    let held = read.query_row(params![kind.as_str(), id], |row| Ok(holding(row))).optional()?;
    let Some(held) = held else { return Ok(Receipt::Applied.into()) };
    // The same decision with anything else in it was changed by someone else.
    if held.decision == Some(decision.id) {
        let whole = held.generation == decision.generation
            && held.status == Some(status)
            && held.until == decision.until;
        return Ok(if whole { Receipt::Already } else { Receipt::Applied }.into());
    }
    if decision.generation <= held.generation {
        return Ok(Delivery { held: Some(held), ..Receipt::Stale.into() });
    }
    Ok(Receipt::Applied.into())
}

fn write(
    transaction: &Transaction<'_>,
    decision: &Decision,
    changes: &mut u64,
) -> rusqlite::Result<Delivery> {
    let delivery = judge(transaction, decision)?;
    let Some(status) = decision.order.status() else { return Ok(delivery) };
    if delivery.receipt != Receipt::Applied {
        return Ok(delivery);
    }
    *changes += 1;
    transaction.prepare_cached(WRITE)?.execute(params![
        decision.credential.kind().as_str(),
        decision.credential.id(),
        status.as_str(),
        decision.generation.0.cast_signed(),
        decision.id.to_string(),
        decision.reason,
        decision.finding.map(|finding| finding.to_string()),
        decision.until.map(EventTime::ms),
        decision.at.ms(),
        changes.cast_signed(),
    ])?;
    Ok(delivery)
}

fn text(row: &Row<'_>, at: usize) -> Option<String> {
    row.get(at).ok()
}

fn time(row: &Row<'_>, at: usize) -> Option<EventTime> {
    row.get(at).ok().map(EventTime::from_ms)
}

fn generation(row: &Row<'_>, at: usize) -> Option<Generation> {
    row.get(at).ok().filter(|rank: &i64| *rank >= 0).map(|rank| Generation(rank.cast_unsigned()))
}

/// The entry of a row; one that tripline can't have written is older than every decision.
fn holding(row: &Row<'_>) -> Holding {
    let read = || {
        Some(Holding {
            generation: generation(row, 0)?,
            decision: Some(DecisionId::parse(&text(row, 1)?)?),
            status: Some(Status::parse(&text(row, 2)?)?),
            finding: text(row, 3).as_deref().and_then(FindingId::parse),
            until: time(row, 4),
            provenance: None,
        })
    };
    read().unwrap_or_else(|| Holding::from(Generation(0)))
}

/// A row as a change; none if tripline can't have written it, or a newer one did.
fn changed(row: &Row<'_>) -> Option<Changed> {
    Some(Changed {
        credential: Credential::new(Kind::parse(&text(row, 0)?)?, &text(row, 1)?).ok()?,
        status: Status::parse(&text(row, 2)?)?,
        generation: generation(row, 3)?,
        decision: DecisionId::parse(&text(row, 4)?)?,
        reason: text(row, 5)?,
        finding: text(row, 6).as_deref().and_then(FindingId::parse),
        until: time(row, 7),
        at: time(row, 8)?,
        number: row.get::<_, i64>(9).ok()?.cast_unsigned(),
    })
}
