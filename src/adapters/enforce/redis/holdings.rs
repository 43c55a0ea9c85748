//! Entries of credentials in Redis, each judged alone: a key of another type, or a hash that someone
//! else wrote, says nothing about its neighbours.
//!
//! An entry whose generation, decision or status can't be one of tripline's is taken to hold nothing,
//! whatever its generation: it is written again. `transition.lua` judges by the same rules.

use super::store::{READS_AT_ONCE, RedisStore, one};
use crate::adapters::enforce::answer::Reading;
use crate::adapters::enforce::redis::entry::FIELDS;
use crate::adapters::enforce::redis::entry::Row;
use crate::adapters::enforce::redis::entry::nothing_of_ours;
use crate::adapters::enforce::redis::entry::read_row;
use crate::adapters::redis_connection::Live;
use crate::model::credential::Credential;
use crate::model::decision::{EnforcementState, Holding};
use ::redis::{Cmd, RedisError};
use futures_util::StreamExt;

impl RedisStore {
    /// Returns what it holds about credentials, in their order.
    pub async fn read(&self, wanted: &[EnforcementState]) -> Reading {
        match self.holdings(wanted).await {
            Ok(held) => Reading::Held(held),
            Err(error) => {
                tracing::debug!(%error, "Redis could not be read");
                self.faults.server.lock().replace(error.to_string());
                Reading::Unreachable
            }
        }
    }

    async fn holdings(
        &self,
        wanted: &[EnforcementState],
    ) -> Result<Vec<Option<Holding>>, RedisError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (live, number) = self.link.connection().await?;
        let asked: Vec<Cmd> =
            wanted.iter().map(|in_force| self.ask_for(&in_force.credential)).collect();
        let answers = self.noted(self.ask(live, asked).await, number).await?;
        let mut held = Vec::with_capacity(wanted.len());
        for (in_force, answer) in wanted.iter().zip(answers) {
            let credential = &in_force.credential;
            if let Err(error) = &answer
                && !is_of_one_key(error)
            {
                return self.noted(Err(error.clone()), number).await;
            }
            self.faults.record(credential, answer.as_ref().err());
            held.push(answer.map_or_else(|_| Some(nothing_of_ours()), |row| read_row(&row)));
        }
        Ok(held)
    }

    pub(super) async fn ask(
        &self,
        mut live: Live,
        asked: Vec<Cmd>,
    ) -> Result<Vec<Result<Row, RedisError>>, RedisError> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
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

/// Whether an error issues one key alone: its type, or that the user may not touch it.
fn is_of_one_key(error: &RedisError) -> bool {
    matches!(error.code(), Some("WRONGTYPE" | "NOPERM"))
}
