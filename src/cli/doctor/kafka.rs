//! Kafka: whether it can be read, how far the group is, and whether records are keyed by credential.

use super::report::{Area, Check};
use crate::adapters::sources::kafka::consumer;
use crate::adapters::sources::kafka::probe::{self, KafkaProbe, Sample, TopicProbe};
use crate::adapters::sources::start::Start;
use crate::adapters::storage::key_material;
use crate::config::settings::Settings;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::time::EventTime;
use std::path::Path;

/// How far ahead events may be without a word. Unit: milliseconds. Chosen: what clocks that are kept
/// in time differ by, and some.
const EVENTS_AHEAD_MS_MAX: i64 = 2_000;
/// How far ahead brokers and senders may be. Unit: milliseconds. Chosen: as between daemon and here.
const AHEAD_MS_MAX: i64 = 1_000;

/// The expected state.
#[derive(Clone, Debug)]
struct Expected {
    config: String,
    group: String,
    start: Start,
    threads: usize,
    now: EventTime,
}

/// Looks at it; blocks for some seconds.
pub(super) fn check(settings: &Settings, params: &consumer::Params, now: EventTime) -> Vec<Check> {
    let area = Area::new("kafka");
    let looked = probe::probe(params, &fingerprinter(settings));
    let config = settings.file.as_deref().unwrap_or_else(|| Path::new("FILE"));
    let expected = Expected {
        config: config.display().to_string(),
        group: params.group.clone(),
        start: params.start,
        threads: settings.threads,
        now,
    };
    match looked {
        Ok(looked) => judge(&area, &looked, &expected),
        Err(error) => {
            let found = format!("no answer from {}: {error}", params.brokers);
            let remedy = "check its `brokers`, the network, and `security.protocol` in its `librdkafka` \
                          and sasl.*";
            vec![area.failed("brokers", found, remedy)]
        }
    }
}

/// By the daemon's key, where it may be read: which one it is matters to nothing here.
fn fingerprinter(settings: &Settings) -> Fingerprinter {
    let own = settings.data_dir.join("fingerprint.key");
    let path = settings.fingerprint_key_file.as_ref().unwrap_or(&own);
    let read = if path.exists() { key_material::fingerprint_key(path).ok() } else { None };
    let key = read.unwrap_or_else(|| b"tripline doctor without a key file".to_vec());
    Fingerprinter::new(key).with_random_ids(settings.random_ids)
}

fn judge(area: &Area, looked: &KafkaProbe, expected: &Expected) -> Vec<Check> {
    let mut checks = vec![area.ok("brokers", format!("{} answer", looked.brokers))];
    let partitions: usize = looked.topics.iter().map(|topic| topic.partitions).sum();
    for topic in &looked.topics {
        checks.extend(judge_topic(area, topic, expected));
    }
    if partitions > 0 {
        checks.push(judge_share(area, partitions, looked.members, expected));
    }
    checks
}

fn judge_share(
    area: &Area,
    partitions: usize,
    members: Option<usize>,
    expected: &Expected,
) -> Check {
    let threads = expected.threads;
    let Some(members) = members else {
        return area.ok(
            "instances",
            format!("{partitions} partitions for {threads} threads of each instance"),
        );
    };
    let found =
        format!("{members} instances in the group {}, {partitions} partitions", expected.group);
    if members > partitions {
        let idle = members - partitions;
        let remedy = "stop them, or `tripline rekey` into a topic with more partitions";
        return area.warning("instances", format!("{found}: {idle} are idle"), remedy);
    }
    if members * threads > partitions {
        let remark = format!("{found}; some of their {} threads are idle", members * threads);
        return area.ok("instances", remark);
    }
    area.ok("instances", found)
}

fn judge_topic(area: &Area, topic: &TopicProbe, expected: &Expected) -> Vec<Check> {
    let name = &topic.name;
    if let (0, None) = (topic.partitions, &topic.trouble) {
        let remedy = format!(
            "create it (kafka-topics.sh --create --topic {name} --partitions N), or correct \
             its `topics`"
        );
        return vec![area.failed("topic", format!("{name} does not exist"), remedy)];
    }
    let found = format!("{name}: {} partitions, {} records", topic.partitions, topic.stored);
    if let Some(trouble) = &topic.trouble {
        let found = format!("{found}; not all could be read: {trouble}");
        let remedy = format!("let its user Describe and Read the topic {name} (kafka-acls.sh)");
        return vec![area.failed("topic", found, remedy)];
    }
    let mut checks = vec![area.ok("topic", found), judge_group(area, topic, expected)];
    let sample = &topic.newest;
    if sample.records == 0 {
        checks.push(area.skipped("keys", format!("{name} has no readable records")));
        return checks;
    }
    checks.push(judge_keys(area, topic, expected));
    checks.push(judge_records(area, name, sample));
    checks.push(judge_times(area, name, sample, expected));
    checks
}

fn judge_group(area: &Area, topic: &TopicProbe, expected: &Expected) -> Check {
    let (name, group) = (&topic.name, &expected.group);
    match topic.lag {
        None => area.warning(
            "group",
            format!("can't read the offsets of {group} in {name}"),
            format!("let its user Describe and Read the group {group} (kafka-acls.sh)"),
        ),
        Some(_) if topic.committed == 0 => area.ok(
            "group",
            format!(
                "{group} has committed nothing in {name}; it begins with the {} record",
                match expected.start {
                    Start::Earliest => "oldest",
                    Start::Latest => "next",
                }
            ),
        ),
        Some(lag) => area.ok("group", format!("{group} has {lag} records of {name} not committed")),
    }
}

fn judge_keys(area: &Area, topic: &TopicProbe, expected: &Expected) -> Check {
    let (name, sample) = (&topic.name, &topic.newest);
    let Sample { records, keyed, credentials, repeated, spread, .. } = *sample;
    let found = format!(
        "{name}: {keyed} of the {records} newest records have a key; {credentials} credentials, \
         {repeated} of them seen more than once, {spread} in several partitions"
    );
    let rekey = format!(
        "let senders set the key to `credential`, or: tripline rekey --config {} --from {name} --to \
         {name}-keyed, and read {name}-keyed by format = \"native\"",
        expected.config
    );
    if spread > 0 {
        let found = format!("{found}: each partition counts such a credential separately");
        return area.failed("keys", found, rekey);
    }
    if keyed < records && topic.partitions > 1 {
        return area.warning("keys", found, rekey);
    }
    area.ok("keys", found)
}

fn judge_records(area: &Area, name: &str, sample: &Sample) -> Check {
    let refused: u64 = sample.refused.iter().map(|(_, count)| count).sum();
    if refused > 0 {
        let each = sample.refused.iter().map(|(why, count)| format!("{count} {}", why.as_str()));
        let each: Vec<String> = each.collect();
        let found = format!(
            "{name}: of {} events {refused} are rejected: {}",
            sample.events + refused,
            each.join(", ")
        );
        let worst = sample.refused.iter().max_by_key(|(_, count)| *count);
        let remedy = worst.map_or("", |(why, _)| why.remedy());
        if sample.events == 0 {
            let remedy = format!("{remedy}; check its `format` against docs/events.md");
            return area.failed("records", found, remedy);
        }
        return area.warning("records", found, remedy);
    }
    if sample.secrets > 0 {
        let found = format!("{name}: {} events hold a raw secret as credential", sample.secrets);
        let remedy = "send ids or fingerprints: docs/runbooks/secrets-received.md";
        return area.warning("records", found, remedy);
    }
    area.ok("records", format!("{name}: {} events, none rejected", sample.events))
}

fn judge_times(area: &Area, name: &str, sample: &Sample, expected: &Expected) -> Check {
    let late = |ms: i64| format!("{:.1} s", ms as f64 / 1000.0);
    let newest = sample.newest.map_or_else(
        || "no event".to_owned(),
        |at| format!("the newest event is {} old", late(expected.now.ms_since(at).max(0))),
    );
    let ahead_ms = sample.ahead_ms.unwrap_or(i64::MIN);
    if ahead_ms > EVENTS_AHEAD_MS_MAX {
        return area.warning(
            "clocks",
            format!("{name}: events up to {} ahead of this machine's clock", late(ahead_ms)),
            "synchronize the clocks of the senders (chronyc tracking); events further ahead than \
             [engine] skew_max don't count",
        );
    }
    let written_ms = sample.written_ahead_ms.unwrap_or(i64::MIN);
    if written_ms > AHEAD_MS_MAX {
        return area.warning(
            "clocks",
            format!(
                "{name}: records written up to {} ahead of this machine's clock",
                late(written_ms)
            ),
            "synchronize the clocks of brokers, senders and this machine: timedatectl set-ntp true",
        );
    }
    area.ok("clocks", format!("{name}: {newest}"))
}

#[cfg(test)]
mod tests {
    use super::{Area, Expected, judge};
    use crate::adapters::sources::kafka::probe::{KafkaProbe, Sample, TopicProbe};
    use crate::adapters::sources::start::Start;
    use crate::cli::doctor::report::State;
    use crate::formats::events::refusal::Refusal;
    use crate::model::time::EventTime;

    fn told(change: impl FnOnce(&mut KafkaProbe)) -> Vec<(&'static str, State)> {
        let now = EventTime::from_s(1_800_000_000);
        let newest = Sample {
            records: 100,
            keyed: 100,
            events: 100,
            credentials: 10,
            repeated: 10,
            newest: Some(now),
            ahead_ms: Some(0),
            written_ahead_ms: Some(0),
            ..Sample::default()
        };
        let topic = TopicProbe {
            name: "auth".into(),
            partitions: 4,
            stored: 1000,
            committed: 4,
            lag: Some(7),
            newest,
            trouble: None,
        };
        let mut looked = KafkaProbe { brokers: 3, members: Some(2), topics: vec![topic] };
        change(&mut looked);
        let expected = Expected {
            config: "FILE".into(),
            group: "tripline".into(),
            start: Start::Earliest,
            threads: 2,
            now,
        };
        let checks = judge(&Area::new("kafka"), &looked, &expected).into_iter();
        checks.filter(|one| one.state != State::Ok).map(|one| (one.check, one.state)).collect()
    }

    #[test]
    fn each_fault_of_a_topic_is_told_by_itself() {
        assert_eq!(told(|_| {}), []);
        let newest = |change: fn(&mut Sample)| told(|found| change(&mut found.topics[0].newest));
        assert_eq!(newest(|one| one.spread = 1), [("keys", State::Failed)]);
        assert_eq!(newest(|one| one.keyed = 99), [("keys", State::Warning)]);
        assert_eq!(newest(|one| one.records = 0), [("keys", State::Skipped)]);
        assert_eq!(newest(|one| one.ahead_ms = Some(2001)), [("clocks", State::Warning)]);
        assert_eq!(newest(|one| one.written_ahead_ms = Some(5000)), [("clocks", State::Warning)]);
        assert_eq!(newest(|one| one.secrets = 1), [("records", State::Warning)]);
        let refused = |one: &mut Sample| one.refused = vec![(Refusal::InvalidJson, 3)];
        assert_eq!(newest(refused), [("records", State::Warning)]);
        let all = |one: &mut Sample| {
            one.refused = vec![(Refusal::InvalidJson, 3)];
            one.events = 0;
        };
        assert_eq!(newest(all), [("records", State::Failed)]);
        assert_eq!(told(|found| found.members = Some(5)), [("instances", State::Warning)]);
        assert_eq!(told(|found| found.topics[0].lag = None), [("group", State::Warning)]);
        let gone = |found: &mut KafkaProbe| found.topics[0].partitions = 0;
        assert_eq!(told(gone), [("topic", State::Failed)]);
    }
}
