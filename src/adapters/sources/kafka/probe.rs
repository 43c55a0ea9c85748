//! A look at Kafka that leaves no trace in it: what is there, how far the group has come, and what the
//! newest records are like.
//!
//! **Does not** join the group, commit anything, or make a topic: partitions are assigned by hand, under
//! a group id of its own. The content of records is counted, and never kept.

use super::consumer::Params;
use super::redaction::{self, Quiet, Redacted};
use crate::adapters::clock;
use crate::formats::events::refusal::{Limits, Refusal};
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::event::AuthEvent;
use crate::model::time::EventTime;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::{Offset, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a broker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long the newest records of a topic are read at most.
const READ_MAX: Duration = Duration::from_secs(4);
/// Records of a topic that are read at most, divided among its partitions.
const RECORDS_MAX: usize = 500;
/// Partitions of a topic that are read at most. Chosen: each is asked for its ends.
const PARTITIONS_MAX: usize = 64;

/// The result of the probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaProbe {
    /// Brokers of the cluster.
    pub brokers: usize,
    /// Members that the group has now; none if the brokers don't say.
    pub members: Option<usize>,
    /// The topics, in the order of the configuration.
    pub topics: Vec<TopicProbe>,
}

/// The probe of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicProbe {
    /// Its name.
    pub name: String,
    /// Its partitions; 0: there is no such topic.
    pub partitions: usize,
    /// Why not all could be looked at.
    pub trouble: Option<String>,
    /// Records that it holds, in the partitions looked at.
    pub stored: u64,
    /// Partitions of which the group has committed an offset.
    pub committed: usize,
    /// Records that the group has not committed; none if its offsets are not known.
    pub lag: Option<u64>,
    /// The newest records.
    pub newest: Sample,
}

/// Properties of some records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Records read.
    pub records: u64,
    /// Of these, such with a key.
    pub keyed: u64,
    /// Events in them.
    pub events: u64,
    /// Events whose credential was a raw secret.
    pub secrets: u64,
    /// Refused ones, by reason.
    pub refused: Vec<(Refusal, u64)>,
    /// Credentials seen.
    pub credentials: u64,
    /// Of these, such that were seen more than once.
    pub repeated: u64,
    /// Of these, such that lie in several partitions.
    pub spread: u64,
    /// The newest event time.
    pub newest: Option<EventTime>,
    /// How far the event that is furthest ahead is ahead of this machine's clock. Unit: milliseconds.
    pub ahead_ms: Option<i64>,
    /// The same of the times that brokers or producers gave to the records.
    pub written_ahead_ms: Option<i64>,
}

/// In which partitions a credential was seen, and how often.
type LagProbe = (BTreeSet<i32>, u64);

/// Counts what records are like.
#[derive(Debug, Default)]
struct Sampler {
    sample: Sample,
    refused: BTreeMap<&'static str, (Refusal, u64)>,
    credentials: BTreeMap<String, LagProbe>,
}

impl Sampler {
    fn record(&mut self, event: &AuthEvent<'_>, partition: i32, now: EventTime) {
        self.sample.events += 1;
        self.sample.secrets += u64::from(event.held_secret);
        let name = format!("{}:{}", event.kind.as_str(), event.credential);
        let seen = self.credentials.entry(name).or_default();
        seen.0.insert(partition);
        seen.1 += 1;
        self.sample.newest = self.sample.newest.max(Some(event.time));
        self.sample.ahead_ms = self.sample.ahead_ms.max(Some(event.time.ms_since(now)));
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refused.entry(refusal.as_str()).or_insert((refusal, 0)).1 += 1;
    }

    fn finish(self) -> Sample {
        let count = |is: &dyn Fn(&LagProbe) -> bool| {
            self.credentials.values().filter(|seen| is(seen)).count() as u64
        };
        Sample {
            credentials: count(&|_| true),
            repeated: count(&|(_, times)| *times > 1),
            spread: count(&|(partitions, _)| partitions.len() > 1),
            refused: self.refused.into_values().collect(),
            ..self.sample
        }
    }
}

type Reader = BaseConsumer<Quiet>;

fn reader(mut config: ClientConfig, group: &str) -> KafkaResult<Reader> {
    // Joining the group would make it a member.
    config.remove("group.protocol");
    config.remove("group.instance.id");
    config.set("group.id", group);
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true");
    config.set("auto.offset.reset", "earliest");
    config.set("fetch.wait.max.ms", "50");
    config.create_with_context(Quiet)
}

/// A group id that no one else has.
fn own_group() -> String {
    let chance = getrandom::u64().unwrap_or(u64::from(std::process::id()));
    format!("tripline-doctor-{chance:016x}")
}

/// Looks at brokers, topics, the group and the newest records. Blocks for some seconds at most.
///
/// # Errors
/// When no broker answers, or a setting of librdkafka is refused.
pub fn probe(params: &Params, fingerprints: &Fingerprinter) -> Result<KafkaProbe, Redacted> {
    let own = reader(params.client(), &own_group())?;
    let brokers = own.fetch_metadata(params.topics.first().map(String::as_str), ANSWER_MAX)?;
    let group = reader(params.client(), &params.group)?;
    let listed = own.client().fetch_group_list(Some(&params.group), ANSWER_MAX).ok();
    let members = listed.and_then(|list| list.groups().first().map(|one| one.members().len()));
    // Brokers describe groups of the newer protocol by a request that the client does not have.
    let is_newer =
        params.librdkafka.get("group.protocol").is_some_and(|protocol| protocol == "consumer");
    let members = members.filter(|_| !is_newer);
    let topics = params.topics.iter();
    let topics = topics.map(|topic| look_at(&own, &group, topic, (params, fingerprints)));
    Ok(KafkaProbe { brokers: brokers.brokers().len(), members, topics: topics.collect() })
}

/// Whether a topic is there; none where no broker answers.
///
/// # Errors
/// When no broker answers, or a setting of librdkafka is refused.
pub fn partitions_of(
    brokers: &str,
    librdkafka: &BTreeMap<String, String>,
    topic: &str,
) -> Result<usize, Redacted> {
    redaction::hide(librdkafka);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    // A producer's settings mean nothing to a client that only asks.
    let of_way = |name: &str| {
        ["security.", "sasl.", "ssl.", "client.", "broker."].iter().any(|one| name.starts_with(one))
    };
    for (name, value) in librdkafka.iter().filter(|(name, _)| of_way(name)) {
        config.set(name, value);
    }
    super::capabilities::trust(&mut config);
    Ok(partitions(&reader(config, &own_group())?, topic)?)
}

fn partitions(reader: &Reader, topic: &str) -> KafkaResult<usize> {
    let found = reader.fetch_metadata(Some(topic), ANSWER_MAX)?;
    let of_topic = found.topics().iter().find(|one| one.name() == topic);
    Ok(of_topic.map_or(0, |one| one.partitions().len()))
}

fn look_at(
    own: &Reader,
    group: &Reader,
    topic: &str,
    (params, fingerprints): (&Params, &Fingerprinter),
) -> TopicProbe {
    let mut found = TopicProbe { name: topic.to_owned(), ..TopicProbe::default() };
    match partitions(own, topic) {
        Ok(count) => found.partitions = count,
        Err(error) => found.trouble = Some(Redacted::of(error).to_string()),
    }
    let count = i32::try_from(found.partitions.min(PARTITIONS_MAX)).unwrap_or(0);
    let mut ends = BTreeMap::new();
    for partition in 0..count {
        match own.fetch_watermarks(topic, partition, ANSWER_MAX) {
            Ok((low, high)) => {
                ends.insert(partition, (low, high));
                found.stored += (high - low).max(0).unsigned_abs();
            }
            Err(error) => {
                found.trouble = Some(format!("partition {partition}: {}", Redacted::of(error)));
                // Each further one would be waited for as well.
                break;
            }
        }
    }
    measure(group, &mut found, &ends);
    match newest(own, topic, &ends, (params, fingerprints)) {
        Ok(sample) => found.newest = sample,
        Err(error) => found.trouble = Some(Redacted::of(error).to_string()),
    }
    found
}

/// How far the group has come.
fn measure(group: &Reader, found: &mut TopicProbe, ends: &BTreeMap<i32, (i64, i64)>) {
    let mut list = TopicPartitionList::new();
    for partition in ends.keys() {
        list.add_partition(&found.name, *partition);
    }
    if ends.is_empty() {
        return;
    }
    let Ok(committed) = group.committed_offsets(list, ANSWER_MAX) else { return };
    let mut lag = 0;
    for (partition, (low, high)) in ends {
        let place = committed.find_partition(&found.name, *partition);
        let next = match place.map(|place| place.offset()) {
            Some(Offset::Offset(next)) => {
                found.committed += 1;
                next.max(*low)
            }
            _ => *low,
        };
        lag += (high - next).max(0).unsigned_abs();
    }
    found.lag = Some(lag);
}

/// Reads the newest records of each partition, up to their ends.
fn newest(
    own: &Reader,
    topic: &str,
    ends: &BTreeMap<i32, (i64, i64)>,
    (params, fingerprints): (&Params, &Fingerprinter),
) -> KafkaResult<Sample> {
    let each = i64::try_from((RECORDS_MAX / ends.len().max(1)).max(8)).unwrap_or(8);
    let mut open = BTreeSet::new();
    let mut list = TopicPartitionList::new();
    for (partition, (low, high)) in ends.iter().filter(|(_, (low, high))| high > low) {
        list.add_partition_offset(topic, *partition, Offset::Offset((high - each).max(*low)))?;
        open.insert(*partition);
    }
    let mut sampler = Sampler::default();
    if open.is_empty() {
        return Ok(sampler.finish());
    }
    own.assign(&list)?;
    let deadline = Instant::now() + READ_MAX;
    let mut trouble = None;
    while !open.is_empty() && Instant::now() < deadline {
        match own.poll(Duration::from_millis(50)) {
            None => {}
            Some(Ok(record)) => {
                sample(&record, &mut sampler, params, fingerprints);
                // Records written meanwhile are left alone.
                let end = ends.get(&record.partition()).map_or(0, |(_, high)| *high);
                if record.offset() + 1 >= end {
                    open.remove(&record.partition());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => trouble = Some(error),
        }
    }
    own.unassign()?;
    match trouble {
        Some(error) if sampler.sample.records == 0 => Err(error),
        _ => Ok(sampler.finish()),
    }
}

fn sample(
    record: &BorrowedMessage<'_>,
    sampler: &mut Sampler,
    params: &Params,
    fingerprints: &Fingerprinter,
) {
    let now = clock::now();
    let limits = Limits::at(now);
    sampler.sample.records += 1;
    sampler.sample.keyed += u64::from(record.key().is_some_and(|key| !key.is_empty()));
    if let Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) = record.timestamp() {
        let ahead = EventTime::from_ms(ms).ms_since(now);
        sampler.sample.written_ahead_ms = sampler.sample.written_ahead_ms.max(Some(ahead));
    }
    let Some(bytes) = record.payload() else { return };
    params.decoder.decode(bytes, &limits, fingerprints, &mut |answer| match answer {
        Ok(event) => sampler.record(&event, record.partition(), now),
        Err(refusal) => sampler.refuse(refusal),
    });
}

#[cfg(test)]
mod tests {
    use super::Sampler;
    use crate::formats::events::refusal::Refusal;
    use crate::model::event::AuthEvent;
    use crate::model::time::EventTime;

    #[test]
    fn a_credential_in_two_partitions_is_counted_once_and_by_kind() {
        let now = EventTime::from_s(1_800_000_000);
        let mut sampler = Sampler::default();
        for (credential, partition, ahead_ms) in
            [("a", 0, -5), ("a", 1, 70), ("b", 0, 0), ("b", 0, 1), ("c", 2, 2)]
        {
            let event = AuthEvent::new(now.plus_ms(ahead_ms), credential.into());
            sampler.record(&event, partition, now);
        }
        sampler.refuse(Refusal::InvalidJson);
        sampler.refuse(Refusal::InvalidJson);
        let sample = sampler.finish();
        assert_eq!((sample.credentials, sample.repeated, sample.spread), (3, 2, 1));
        assert_eq!(sample.refused, [(Refusal::InvalidJson, 2)]);
        assert_eq!((sample.ahead_ms, sample.newest), (Some(70), Some(now.plus_ms(70))));
    }
}
