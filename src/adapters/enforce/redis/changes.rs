//! Decisions and votes of other instances in Redis: first all that are in force, then each change as it comes.
//!
//! ```text
//!  begin: the id of the newest change -> scan: every entry -> next: the changes after that id
//! ```
//! Where the change that was read last is gone (a stream that was cut, emptied, or lost with a failed master),
//! changes may be missing, and it begins again.
//!
//! **Invariant.** A change that is in the stream when a reader begins, or comes later, is in the scan or
//! among the changes, or [`ChangeReader::next`] says that some may be missing.

use super::entry::{FIELDS, read_fields, texts};
use super::store::{RedisStore, one};
use crate::adapters::redis_connection::{Link, Live, ServerAddress, ServerAddressError};
use crate::formats::storage::journal::{decode_vote, encode_vote};
use crate::model::credential::Credential;
use crate::model::decision::{Holding, Vote};
use ::redis::streams::{StreamId, StreamRangeReply, StreamReadReply};
use ::redis::{FromRedisValue, RedisError, cmd};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long the server keeps the question open while nothing changes. Unit: milliseconds. Chosen.
const BLOCK_MS: usize = 1_000;
/// How long an answer may take beyond that. Chosen.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Changes of one answer at most, and keys that one step of a scan looks at. Chosen: some milliseconds.
const CHANGES_MAX: usize = 1_000;
const SCANNED: usize = 1_000;
/// The field of a vote.
const VOTE: &str = "vote";
/// Stands for a stream without entries.
const NOTHING: &str = "0-0";

/// The length at which the stream of votes is cut, roughly. Chosen: more than can wait.
const VOTES_MAX: usize = 10_000;

/// An entry about a credential.
pub type Entry = (Credential, Holding);

/// Entries and votes that were read together.
#[derive(Debug, Default)]
pub struct News {
    /// Entries about credentials.
    pub entries: Vec<Entry>,
    /// Votes.
    pub votes: Vec<Vote>,
}

/// Reads the decisions of other instances.
#[derive(Debug)]
pub struct ChangeReader {
    store: RedisStore,
    /// The ids of the newest change and the newest vote that were read.
    last: String,
    last_vote: String,
    /// Whether votes are read by a request of their own, so that changes are read without them.
    reads_apart: bool,
}

/// Where a scan goes on: at that cursor of that node; of one server there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPlace {
    node: usize,
    cursor: u64,
    guards: bool,
}

impl RedisStore {
    /// A reader of changes, with a connection of its own: it waits there.
    ///
    /// # Errors
    /// When the place can't be used.
    pub fn change_reader(&self) -> Result<ChangeReader, ServerAddressError> {
        let response_timeout = self.params.place.response_timeout.max(ANSWER_WITHIN);
        let place = ServerAddress { response_timeout, ..self.params.place.clone() };
        let link = Arc::new(Link::new(&place)?);
        let (last, last_vote) = (NOTHING.to_owned(), NOTHING.to_owned());
        Ok(ChangeReader { store: self.over(link), last, last_vote, reads_apart: false })
    }

    /// Lets other instances hear of a vote.
    ///
    /// # Errors
    /// An error of Redis or the network.
    pub async fn share_vote(&self, vote: &Vote) -> Result<(), RedisError> {
        let (live, number) = self.link.connection().await?;
        let mut add = cmd("XADD");
        add.arg(self.votes_key()).arg("MAXLEN").arg("~").arg(VOTES_MAX).arg("*");
        add.arg(VOTE).arg(encode_vote(vote));
        self.noted(one::<String>(live, add).await, number).await.map(|_| ())
    }

    /// The stream of votes, which is for instances alone.
    fn votes_key(&self) -> String {
        format!("{}:votes", self.params.stream)
    }
}

impl ChangeReader {
    /// Begins behind the newest change there is now.
    ///
    /// # Errors
    /// An error of Redis or the network.
    pub async fn begin(&mut self) -> Result<(), RedisError> {
        let (live, number) = self.store.link.connection().await?;
        let mut newest = cmd("XREVRANGE");
        newest.arg(&self.store.params.stream).arg("+").arg("-").arg("COUNT").arg(1);
        let newest: StreamRangeReply = self.store.noted(one(live, newest).await, number).await?;
        let newest = newest.ids.first().map_or(NOTHING, |newest| newest.id.as_str());
        newest.clone_into(&mut self.last);
        Ok(())
    }

    /// Whether the change that was read last is still there, so that none can be missing.
    ///
    /// # Errors
    /// An error of Redis or the network.
    pub async fn is_whole(&self) -> Result<bool, RedisError> {
        self.has(&self.last).await
    }

    /// Whether the stream has a change. Before the first one it lacks none.
    async fn has(&self, id: &str) -> Result<bool, RedisError> {
        if id == NOTHING {
            return Ok(true);
        }
        let (live, number) = self.store.link.connection().await?;
        let mut asked = cmd("XRANGE");
        asked.arg(&self.store.params.stream).arg(id).arg(id);
        let found: StreamRangeReply = self.store.noted(one(live, asked).await, number).await?;
        Ok(!found.ids.is_empty())
    }

    /// The next changes and votes, for which it waits for up to a second; none if changes may be missing, as
    /// where the stream was cut, emptied or lost since it was read last.
    ///
    /// # Errors
    /// An error of Redis or the network.
    pub async fn next(&mut self) -> Result<Option<News>, RedisError> {
        let before = self.last.clone();
        let news = self.read().await?;
        Ok(self.has(&before).await?.then_some(news))
    }

    async fn read(&mut self) -> Result<News, RedisError> {
        let (live, number) = self.store.link.connection().await?;
        let (changes, votes) = (&self.store.params.stream, self.store.votes_key());
        let read = |streams: &[(&str, &str)], block: bool| {
            let mut read = cmd("XREAD");
            read.arg("COUNT").arg(CHANGES_MAX);
            if block {
                read.arg("BLOCK").arg(BLOCK_MS);
            }
            read.arg("STREAMS");
            let keys: Vec<&str> = streams.iter().map(|(key, _)| *key).collect();
            let ids: Vec<&str> = streams.iter().map(|(_, last)| *last).collect();
            read.arg(keys).arg(ids);
            one::<Option<StreamReadReply>>(live.clone(), read)
        };
        let after =
            [(changes.as_str(), self.last.as_str()), (votes.as_str(), self.last_vote.as_str())];
        let found = if self.store.link.is_cluster() || self.reads_apart {
            // They lie in different slots, or one of them is no stream.
            let [first, second] = after;
            match read(&[first], true).await {
                Ok(found) => {
                    let votes = read(&[second], false).await.inspect_err(|error| {
                        tracing::debug!(%error, "votes of other instances can't be read");
                    });
                    Ok([found, votes.unwrap_or_default()])
                }
                Err(error) => Err(error),
            }
        } else {
            read(&after, true).await.map(|found| [found, None])
        };
        if found.as_ref().is_err_and(|error| !self.reads_apart && error.code() == Some("WRONGTYPE"))
        {
            tracing::error!(
                changes = self.store.params.stream,
                votes,
                "a key in the place of a stream of tripline is none; rename it or name another stream"
            );
            self.reads_apart = true;
        }
        let found = self.store.noted(found, number).await?;
        let mut news = News::default();
        for key in found.into_iter().flatten().flat_map(|reply| reply.keys) {
            let Some(newest) = key.ids.last().map(|newest| newest.id.clone()) else { continue };
            if key.key == votes {
                self.last_vote = newest;
                news.votes.extend(key.ids.iter().filter_map(vote_of));
            } else {
                self.last = newest;
                news.entries.extend(key.ids.iter().filter_map(entry_of));
            }
        }
        Ok(news)
    }

    /// The entries of some keys, and where the scan goes on; none at its end. An entry may come twice.
    ///
    /// # Errors
    /// An error of Redis or the network.
    pub async fn scan(
        &self,
        place: ScanPlace,
    ) -> Result<(Vec<Entry>, Option<ScanPlace>), RedisError> {
        let (live, number) = self.store.link.connection().await?;
        let found = self.scan_with(&live, place).await;
        self.store.noted(found, number).await
    }

    async fn scan_with(
        &self,
        live: &Live,
        place: ScanPlace,
    ) -> Result<(Vec<Entry>, Option<ScanPlace>), RedisError> {
        let params = &self.store.params;
        let template = if place.guards { &params.guard_key } else { &params.key };
        let mut scan = cmd("SCAN");
        scan.arg(place.cursor).arg("MATCH").arg(template.pattern()).arg("COUNT").arg(SCANNED);
        let nodes = live.masters().await?;
        let answer = live.ask_node(nodes.get(place.node), scan).await?;
        let (cursor, keys) = <(u64, Vec<Vec<u8>>)>::from_redis_value(answer)?;
        let keys: BTreeSet<Vec<u8>> = keys.into_iter().collect();
        let asked = keys.iter().map(|key| {
            let mut ask = cmd("HMGET");
            ask.arg(key).arg(&FIELDS);
            ask
        });
        let rows = self.store.ask(live.clone(), asked.collect()).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for (key, row) in keys.iter().zip(rows) {
            // A key of another type or form is none of tripline's.
            let Ok(row) = row else { continue };
            let Some((held, Some(credential))) = read_fields(texts(&row)) else { continue };
            // The name within is believed only where it leads to this key.
            if template.of(&credential).as_bytes() == key.as_slice() {
                entries.push((credential, held));
            }
        }
        let next = if cursor != 0 {
            Some(ScanPlace { cursor, ..place })
        } else if place.node + 1 < nodes.len() {
            Some(ScanPlace { node: place.node + 1, cursor: 0, ..place })
        } else if !place.guards && !params.commands.is_empty() {
            Some(ScanPlace { node: 0, cursor: 0, guards: true })
        } else {
            None
        };
        Ok((entries, next))
    }
}

/// The entry of a change; none if tripline can't have written it.
fn entry_of(change: &StreamId) -> Option<Entry> {
    let texts = FIELDS.map(|name| change.get::<String>(name));
    let texts = texts.each_ref().map(Option::as_deref);
    let (held, credential) = read_fields(texts)?;
    Some((credential?, held))
}

/// The vote of an entry; none if tripline can't have written it.
fn vote_of(entry: &StreamId) -> Option<Vote> {
    decode_vote(&entry.get::<String>(VOTE)?)
}
