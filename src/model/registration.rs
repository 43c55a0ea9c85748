//! Registrations: an instance in its own words, for the others.

use super::decision::InstanceId;
use std::collections::BTreeMap;

/// An instance, as the others know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// Which.
    pub instance: InstanceId,
    /// Its name for people.
    pub name: String,
    /// Where its API is reached; none: nowhere.
    pub url: Option<String>,
    /// The version that it runs.
    pub version: String,
    /// Its default mode, which is to be that of all.
    pub mode: String,
    /// Tells keys of fingerprints apart: they are to be alike, or one secret has two names.
    pub key: u64,
    /// The topics that it reads.
    pub topics: BTreeMap<String, TopicShare>,
    /// Records that wait in its partitions.
    pub lag: u64,
}

/// The part of a topic that an instance owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicShare {
    /// How many partitions the topic has, as far as known; 0: it is not.
    pub partitions: u32,
    /// Those that it owns, each with hashes of credentials that were seen in it lately: the smallest ones, so
    /// that two partitions with the same credentials show the same.
    pub owned: BTreeMap<u32, Vec<u64>>,
}
