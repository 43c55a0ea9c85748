//! What Redis holds about credentials, each judged alone: a key of another type, or a hash that somebody
//! else wrote, says nothing about its neighbours.
//!
//! An entry whose generation, decision or status can't be one of tripline's is taken to hold nothing,
//! whatever its generation: it is written again. `transition.lua` judges by the same rules.

use super::{Live, READS_AT_ONCE, RedisStore, one};
use crate::edge::auth_store::Reading;
use crate::model::credential::Credential;
use crate::model::decision::{DecisionId, Generation, Holding, Standing, Status};
use crate::model::finding::FindingId;
use crate::model::time::EventTime;
use ::redis::{Cmd, RedisError};
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Digits of the highest generation that is believed. Lua counts whole numbers exactly up to 2^53.
const GENERATION_DIGITS_MAX: usize = 15;
/// Keys with a fault that are named at most. Chosen: as many as a person mends at a time.
const NAMED_MAX: usize = 100;

/// The fields of a hash: generation, decision, status, finding, until.
const FIELDS: [&str; 5] = ["generation", "decision", "status", "finding", "until"];

/// Bytes of each field; none where the hash lacks it.
type Row = Vec<Option<Vec<u8>>>;

/// What Redis last said that keeps decisions from it.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// About all that it is asked.
    pub(super) server: Mutex<Option<String>>,
    /// About the key of one credential.
    keys: Mutex<BTreeMap<Credential, String>>,
}

impl Faults {
    /// What a person should know, in words; none if all is well.
    pub(super) fn describe(&self) -> Option<String> {
        if let Some(server) = self.server.lock().clone() {
            return Some(server);
        }
        let keys = self.keys.lock();
        let (credential, error) = keys.first_key_value()?;
        let others = match keys.len() {
            1 => String::new(),
            many => format!(", and {} more", many - 1),
        };
        Some(format!("the key of {credential} can't be read ({error}){others}"))
    }

    /// Records what is wrong with the key of a credential, or that nothing is.
    pub(super) fn note(&self, credential: &Credential, fault: Option<&RedisError>) {
        let mut keys = self.keys.lock();
        let Some(error) = fault else {
            keys.remove(credential);
            return;
        };
        if keys.len() < NAMED_MAX && keys.insert(credential.clone(), error.to_string()).is_none() {
            tracing::error!(
                %credential, %error,
                "Redis can't read the key of this credential: remove it; tripline then writes it again"
            );
        }
    }
}

impl RedisStore {
    /// Returns what it holds about credentials, in their order.
    pub async fn read(&self, wanted: &[Standing]) -> Reading {
        match self.holdings(wanted).await {
            Ok(held) => Reading::Held(held),
            Err(error) => {
                tracing::debug!(%error, "Redis could not be read");
                self.faults.server.lock().replace(error.to_string());
                Reading::Unreachable
            }
        }
    }

    async fn holdings(&self, wanted: &[Standing]) -> Result<Vec<Option<Holding>>, RedisError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (live, number) = self.link.connection().await?;
        let asked: Vec<Cmd> =
            wanted.iter().map(|standing| self.ask_for(&standing.credential)).collect();
        let answers = self.noted(self.ask(live, asked).await, number).await?;
        let mut held = Vec::with_capacity(wanted.len());
        for (standing, answer) in wanted.iter().zip(answers) {
            let credential = &standing.credential;
            if let Err(error) = &answer
                && !is_of_one_key(error)
            {
                return self.noted(Err(error.clone()), number).await;
            }
            self.faults.note(credential, answer.as_ref().err());
            held.push(answer.map_or_else(|_| Some(nothing_of_ours()), |row| read_row(&row)));
        }
        Ok(held)
    }

    async fn ask(
        &self,
        mut live: Live,
        asked: Vec<Cmd>,
    ) -> Result<Vec<Result<Row, RedisError>>, RedisError> {
        if self.link.is_cluster() {
            let each = asked.into_iter().map(|command| one(live.clone(), command));
            return Ok(futures_util::stream::iter(each).buffered(READS_AT_ONCE).collect().await);
        }
        let mut pipeline = ::redis::Pipeline::with_capacity(asked.len());
        for command in asked {
            pipeline.add_command(command);
        }
        pipeline.ignore_errors();
        pipeline.query_async(&mut live).await
    }

    fn ask_for(&self, credential: &Credential) -> Cmd {
        let own = self.params.commands.contains_key(&credential.kind());
        let key = if own { &self.params.guard_key } else { &self.params.key };
        let mut command = ::redis::cmd("HMGET");
        command.arg(key.of(credential)).arg(&FIELDS);
        command
    }
}

/// Whether an error concerns one key alone: its type, or that the user may not touch it.
fn is_of_one_key(error: &RedisError) -> bool {
    matches!(error.code(), Some("WRONGTYPE" | "NOPERM"))
}

/// Stands for an entry that tripline didn't write: it is older than every decision.
fn nothing_of_ours() -> Holding {
    Holding::from(Generation(0))
}

fn read_row(row: &[Option<Vec<u8>>]) -> Option<Holding> {
    if row.iter().all(Option::is_none) {
        return None;
    }
    let text = |at: usize| str::from_utf8(row.get(at)?.as_deref()?).ok();
    let fields = [0, 1, 2, 3, 4].map(text);
    Some(read_fields(fields).unwrap_or_else(nothing_of_ours))
}

/// Reads generation, decision, status, finding and until; none if tripline can't have written that.
pub(super) fn read_fields(
    [generation, decision, status, finding, until]: [Option<&str>; 5],
) -> Option<Holding> {
    let generation = generation.filter(|text| {
        text.len() <= GENERATION_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    let status = status.map(|text| Status::parse(text).ok_or(()));
    Some(Holding {
        generation: Generation(generation?.parse().ok()?),
        decision: Some(DecisionId::parse(decision?)?),
        status: status.transpose().ok()?,
        finding: finding.and_then(FindingId::parse),
        until: until.and_then(|seconds| seconds.parse().ok()).map(EventTime::from_s),
    })
}

#[cfg(test)]
mod tests {
    use super::{nothing_of_ours, read_row};
    use crate::model::decision::{Generation, Status};

    #[test]
    fn an_entry_that_tripline_cannot_have_written_holds_nothing() {
        let row = |fields: [&str; 5]| {
            let bytes = |text: &str| (text != "-").then(|| text.as_bytes().to_vec());
            read_row(&fields.map(bytes))
        };
        let (id, good) = ("d_0123456789abcdef", "revoked");
        let held = row(["7", id, good, "", ""]).expect("held");
        assert_eq!((held.generation, held.status), (Generation(7), Some(Status::Revoked)));
        assert_eq!(row(["-", "-", "-", "-", "-"]), None);
        let nothing = Some(nothing_of_ours());
        for generation in ["", "-", "abc", "-1", "1.5", "0x7", " 7", "9007199254740993"] {
            assert_eq!(row([generation, id, good, "", ""]), nothing, "{generation}");
        }
        assert_eq!(row(["7", "-", good, "", ""]), nothing);
        assert_eq!(row(["7", "mine", good, "", ""]), nothing);
        assert_eq!(row(["7", id, "banned", "", ""]), nothing);
    }
}
