//! Streams of Redis, read as a consumer of a group.
//!
//! An entry is acknowledged once its event is durable, or watched where the disk is full. At most one batch of a
//! consumer is not: after a kill it is read again as the same batch, whose key the event log knows, and counts once.
//!
//! ```text
//!   begin (make the group) ── pending: own entries, and those of consumers that went away ── new entries
//!     ^ the stream or the group is gone, or the connection
//! ```

use super::decoded::Decoded;
use super::event_sink::{EventSink, Stopping};
use super::rejects::RecordPlace;
use super::start::Start;
use crate::adapters::clock;
use crate::adapters::redis_connection::{Link, Live, ServerAddress, ServerAddressError};
use crate::formats::events::decoder::Decoder;
use crate::formats::events::refusal::{Limits, Refusal};
use ::redis::streams::{StreamAutoClaimReply, StreamId, StreamReadReply};
use ::redis::{RedisError, Value, cmd};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Entries that are read at once. Chosen: one synchronization of the event log for all of them.
const BATCH_MAX: usize = 500;
/// How long Redis waits for new entries before it answers that there are none. Unit: milliseconds.
const BLOCK_MS: usize = 500;
/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long it is waited after a failure.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often a failure that lasts is in the log.
const REPORT_EVERY: Duration = Duration::from_mins(1);
/// How long an entry must not have been acknowledged by another consumer to be taken over, and how often such are
/// looked for. Unit: milliseconds. Chosen: longer than a restart takes.
const IDLE_MS: usize = 60_000;

/// A source.
#[derive(Clone, Debug)]
pub struct Params {
    /// Where Redis is.
    pub place: ServerAddress,
    /// The key of the stream.
    pub stream: String,
    /// The group of consumers.
    pub group: String,
    /// The name of this consumer in it.
    pub instance: String,
    /// The field of an entry that holds the record.
    pub field: String,
    /// Where a group that is new begins.
    pub start: Start,
    /// How records are read.
    pub decoder: Decoder,
}

/// One source, as it reads.
struct Reader {
    name: String,
    params: Params,
    link: Link,
    sink: EventSink,
    state: State,
    /// When entries of others were last looked for.
    claimed_at: Option<Instant>,
    reported_at: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begin,
    Pending,
    New,
}

/// All of them, ready to read.
pub(crate) struct Readers(Vec<Reader>);

impl Readers {
    /// Prepares them; nothing is connected to.
    ///
    /// # Errors
    /// When an address can't be used.
    pub(crate) fn new(
        sources: &BTreeMap<String, Params>,
        sink: &EventSink,
    ) -> Result<Self, ServerAddressError> {
        let reader = |(name, params): (&String, &Params)| {
            let place = ServerAddress { response_timeout: ANSWER_WITHIN, ..params.place.clone() };
            Ok(Reader {
                name: name.clone(),
                params: params.clone(),
                link: Link::new(&place)?,
                sink: sink.clone(),
                state: State::Begin,
                claimed_at: None,
                reported_at: None,
            })
        };
        sources.iter().map(reader).collect::<Result<_, _>>().map(Self)
    }

    /// Reads until tripline stops.
    pub(crate) async fn run(self) {
        futures_util::future::join_all(self.0.into_iter().map(Reader::run)).await;
    }
}

impl Reader {
    async fn run(mut self) {
        while !self.sink.is_stopping() {
            let failed = match self.link.connection().await {
                Ok((mut live, number)) => match self.turn(&mut live).await {
                    Ok(Ok(())) => {
                        self.reported_at = None;
                        continue;
                    }
                    Ok(Err(Stopping)) => return,
                    Err(error) => {
                        self.link.record(&error, number).await;
                        error
                    }
                },
                Err(error) => error,
            };
            self.sink.records.count_read_error(&self.name);
            // A stream that was deleted takes its group along.
            self.state = State::Begin;
            if self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
                self.reported_at = Some(Instant::now());
                tracing::warn!(
                    source = self.name,
                    stream = self.params.stream,
                    error = failed.category(),
                    code = failed.code(),
                    "can't read a stream of Redis"
                );
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Reads and hands over one batch, or makes the group.
    async fn turn(&mut self, live: &mut Live) -> Result<Result<(), Stopping>, RedisError> {
        let Params { stream, group, instance, .. } = &self.params;
        match self.state {
            State::Begin => {
                let from = if self.params.start == Start::Earliest { "0" } else { "$" };
                let mut create = cmd("XGROUP");
                create.arg("CREATE").arg(stream).arg(group).arg(from).arg("MKSTREAM");
                let made: Result<(), RedisError> = create.query_async(live).await;
                // Who may not make a group can read one that is there.
                if let Err(error) = made
                    && !matches!(error.code(), Some("BUSYGROUP" | "NOPERM"))
                {
                    return Err(error);
                }
                self.state = State::Pending;
                Ok(Ok(()))
            }
            State::Pending | State::New => {
                // Before it is read: another consumer would take over what waits here for long.
                if self.sink.wait_for_rate(&self.name).await.is_err() {
                    return Ok(Err(Stopping));
                }
                let is_due = |at: Instant| at.elapsed().as_millis() >= IDLE_MS as u128;
                if self.state == State::New && self.claimed_at.is_none_or(is_due) {
                    self.claimed_at = Some(Instant::now());
                    let mut claim = cmd("XAUTOCLAIM");
                    claim.arg(stream).arg(group).arg(instance).arg(IDLE_MS).arg("0-0");
                    claim.arg("COUNT").arg(BATCH_MAX);
                    let claimed: StreamAutoClaimReply = claim.query_async(live).await?;
                    return self.take(live, claimed.claimed).await;
                }
                let mut read = cmd("XREADGROUP");
                read.arg("GROUP").arg(group).arg(instance).arg("COUNT").arg(BATCH_MAX);
                if self.state == State::New {
                    read.arg("BLOCK").arg(BLOCK_MS);
                }
                let from = if self.state == State::New { ">" } else { "0" };
                read.arg("STREAMS").arg(stream).arg(from);
                let reply: Option<StreamReadReply> = read.query_async(live).await?;
                let entries: Vec<StreamId> = reply
                    .into_iter()
                    .flat_map(|reply| reply.keys)
                    .flat_map(|key| key.ids)
                    .collect();
                if self.state == State::Pending && entries.is_empty() {
                    self.state = State::New;
                }
                self.take(live, entries).await
            }
        }
    }

    /// Hands over entries, and acknowledges them.
    async fn take(
        &self,
        live: &mut Live,
        entries: Vec<StreamId>,
    ) -> Result<Result<(), Stopping>, RedisError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(Ok(()));
        };
        let Params { stream, group, field, decoder, .. } = &self.params;
        let count = (entries.len() as u64).to_le_bytes();
        let batch = [first.id.as_bytes(), last.id.as_bytes(), &count];
        let of = [b"redis_stream", self.name.as_bytes(), stream.as_bytes()];
        let key = self.sink.seed.hash_all(&[of.as_slice(), &batch].concat());
        let limits = Limits::at(clock::now());
        let mut decoded = Decoded::default();
        for (number, entry) in (0..).zip(&entries) {
            let record = match entry.map.get(field) {
                Some(Value::BulkString(bytes)) => Ok(bytes.as_slice()),
                Some(_) => Err(Refusal::WrongType),
                None => Err(Refusal::InvalidEnvelope),
            };
            self.sink.decode(decoder, (number, record), &limits, &mut decoded);
        }
        let place = |number: u64| {
            let entry = usize::try_from(number).ok().and_then(|number| entries.get(number));
            RecordPlace::Entry { source: &self.name, entry: entry.map_or("", |entry| &entry.id) }
        };
        // Where the disk is full they are watched all the same, and a crash would lose them: read again they would count
        // twice.
        if let Err(stopping) = self.sink.take(&self.name, Some(key), decoded, place).await {
            return Ok(Err(stopping));
        }
        let mut acknowledge = cmd("XACK");
        acknowledge.arg(stream).arg(group);
        for entry in &entries {
            acknowledge.arg(&entry.id);
        }
        acknowledge.query_async::<()>(live).await?;
        Ok(Ok(()))
    }
}
