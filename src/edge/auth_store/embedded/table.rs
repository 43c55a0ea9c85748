//! The table on disk: `SQLite`, what stands about each credential and the number of its last change.

use crate::edge::keys;
use crate::model::credential::{Credential, Kind};
use crate::model::decision::{
    Decision, DecisionId, Delivery, Generation, Holding, Receipt, Status,
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
    /// What gateways are to believe.
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
}

impl Table {
    /// Opens or creates it; `epoch` names a new one.
    pub(super) fn open(path: &Path, epoch: &str) -> rusqlite::Result<Self> {
        // It is made for the own user alone; what SQLite adds beside it has the same rights. Should
        // that fail, opening says why.
        let _made = keys::create_private(path);
        let mut connection = Connection::open(path)?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version < VERSION {
            let transaction = connection.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.execute("INSERT INTO epoch VALUES (?1)", [epoch])?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()?;
        }
        let last = "SELECT COALESCE(MAX(change), 0) FROM credentials";
        let changes: i64 = connection.query_row(last, [], |row| row.get(0))?;
        let epoch = connection.query_row("SELECT name FROM epoch", [], |row| row.get(0))?;
        Ok(Self { connection, changes: changes.cast_unsigned(), epoch })
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
            if let Some(changed) = changed(row)? {
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
            found.extend(changed(row)?);
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
        fail::fail_point!("embedded.before_commit", |_| std::process::abort());
        transaction.commit()?;
        fail::fail_point!("embedded.committed", |_| std::process::abort());
        self.changes = changes;
        Ok(deliveries)
    }
}

fn write(
    transaction: &Transaction<'_>,
    decision: &Decision,
    changes: &mut u64,
) -> rusqlite::Result<Delivery> {
    let Some(status) = decision.order.status() else { return Ok(Receipt::Already.into()) };
    let (kind, id) = (decision.credential.kind(), decision.credential.id());
    let mut read = transaction.prepare_cached(READ)?;
    let held = read.query_row(params![kind.as_str(), id], holding).optional()?;
    if let Some(held) = held {
        if held.decision == Some(decision.id) {
            return Ok(Receipt::Already.into());
        }
        if decision.generation <= held.generation {
            return Ok(Delivery { held: Some(held), ..Receipt::Stale.into() });
        }
    }
    *changes += 1;
    transaction.prepare_cached(WRITE)?.execute(params![
        kind.as_str(),
        id,
        status.as_str(),
        decision.generation.0.cast_signed(),
        decision.id.to_string(),
        decision.reason,
        decision.finding.map(|finding| finding.to_string()),
        decision.until.map(EventTime::ms),
        decision.at.ms(),
        changes.cast_signed(),
    ])?;
    Ok(Receipt::Applied.into())
}

fn holding(row: &Row<'_>) -> rusqlite::Result<Holding> {
    let finding: Option<String> = row.get(3)?;
    Ok(Holding {
        generation: Generation(row.get::<_, i64>(0)?.cast_unsigned()),
        decision: DecisionId::parse(&row.get::<_, String>(1)?),
        status: Status::parse(&row.get::<_, String>(2)?),
        finding: finding.as_deref().and_then(FindingId::parse),
        until: row.get::<_, Option<i64>>(4)?.map(EventTime::from_ms),
    })
}

/// A row as a change; none if a newer tripline wrote what this one does not know.
fn changed(row: &Row<'_>) -> rusqlite::Result<Option<Changed>> {
    let kind = Kind::parse(&row.get::<_, String>(0)?);
    let credential =
        kind.and_then(|kind| Credential::new(kind, row.get_ref(1).ok()?.as_str().ok()?).ok());
    let status = Status::parse(&row.get::<_, String>(2)?);
    let decision = DecisionId::parse(&row.get::<_, String>(4)?);
    let (Some(credential), Some(status), Some(decision)) = (credential, status, decision) else {
        return Ok(None);
    };
    let finding: Option<String> = row.get(6)?;
    Ok(Some(Changed {
        credential,
        status,
        generation: Generation(row.get::<_, i64>(3)?.cast_unsigned()),
        decision,
        reason: row.get(5)?,
        finding: finding.as_deref().and_then(FindingId::parse),
        until: row.get::<_, Option<i64>>(7)?.map(EventTime::from_ms),
        at: EventTime::from_ms(row.get(8)?),
        number: row.get::<_, i64>(9)?.cast_unsigned(),
    }))
}
