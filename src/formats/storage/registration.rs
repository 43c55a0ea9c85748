//! Registrations of instances, as JSON.
//!
//! `{"instance":"00c0ffee00c0ffee","name":"tripline-1","url":"http://10.0.0.7:7878","version":"0.1.0",
//! "mode":"shadow","key":"1f2e3d4c5b6a7988","lag":12,
//! "topics":{"auth":{"partitions":20,"owned":[0,5],"seen":{"0":["1a2b"]}}}}`

use crate::model::decision::InstanceId;
use crate::model::registration::{Registration, TopicShare};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most partitions of which hashes of credentials are written. Chosen: a registration stays below some kilobytes.
const SEEN_MAX: usize = 64;
/// The most partitions, topics and hashes of one partition that are read.
const PARTITIONS_MAX: usize = 10_000;
const TOPICS_MAX: usize = 1_000;
const HASHES_MAX: usize = 64;
/// The longest text that is read. Unit: bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// A registration, as it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct RegistrationFields {
    instance: String,
    #[serde(default)]
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default)]
    version: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    lag: u64,
    #[serde(default)]
    topics: BTreeMap<String, TopicFields>,
}

#[derive(Serialize, Deserialize)]
struct TopicFields {
    partitions: u32,
    owned: Vec<u32>,
    #[serde(default)]
    seen: BTreeMap<u32, Vec<String>>,
}

fn hex(number: u64) -> String {
    format!("{number:x}")
}

impl RegistrationFields {
    /// A registration, with hashes of credentials of at most [`SEEN_MAX`] partitions.
    pub(super) fn of(one: &Registration) -> Self {
        let mut left = SEEN_MAX;
        let topic = |(name, share): (&String, &TopicShare)| {
            let seen = share.owned.iter().filter(|(_, hashes)| !hashes.is_empty()).take(left);
            let seen = seen
                .map(|(number, hashes)| (*number, hashes.iter().copied().map(hex).collect()))
                .collect::<BTreeMap<u32, Vec<String>>>();
            left -= seen.len();
            let (partitions, owned) = (share.partitions, share.owned.keys().copied().collect());
            (name.clone(), TopicFields { partitions, owned, seen })
        };
        Self {
            topics: one.topics.iter().map(topic).collect(),
            instance: one.instance.to_string(),
            name: one.name.clone(),
            url: one.url.clone(),
            version: one.version.clone(),
            mode: one.mode.clone(),
            key: hex(one.key),
            lag: one.lag,
        }
    }
}

/// Reads a registration; of none, or of one without an instance, there is nothing to know.
pub(super) fn read(fields: RegistrationFields) -> Option<Registration> {
    let short = |text: String| if text.len() <= TEXT_BYTES_MAX { text } else { String::new() };
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let topic = |(name, fields): (String, TopicFields)| {
        let mut seen = fields.seen;
        let owned = fields.owned.into_iter().take(PARTITIONS_MAX).map(|partition| {
            let hashes = seen.remove(&partition).unwrap_or_default();
            let hashes = hashes.iter().take(HASHES_MAX).filter_map(|hash| number(hash));
            (partition, hashes.collect())
        });
        let owned = owned.collect();
        (short(name), TopicShare { partitions: fields.partitions, owned })
    };
    Some(Registration {
        instance: InstanceId::parse(&fields.instance)?,
        name: short(fields.name),
        url: fields.url.filter(|url| url.len() <= TEXT_BYTES_MAX),
        version: short(fields.version),
        mode: short(fields.mode),
        key: number(&fields.key).unwrap_or_default(),
        topics: fields.topics.into_iter().take(TOPICS_MAX).map(topic).collect(),
        lag: fields.lag,
    })
}
