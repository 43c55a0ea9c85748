//! Faults of the fleet, as an instance sees them.

use crate::control_plane::roster::{Roster, Unowned};
use crate::model::decision::InstanceId;

/// Faults of the fleet, in words; empty or none: there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetFaults {
    /// The names of instances that neither left nor registered lately.
    pub silent: Vec<String>,
    /// The partitions that no instance owns.
    pub unowned: Option<String>,
    /// A topic of which the records are not keyed by credential.
    pub not_keyed: Option<String>,
    /// Instances that differ in what is to be alike.
    pub different: Option<String>,
}

impl FleetFaults {
    /// Those that the instance `me` sees.
    pub fn of(roster: &Roster, me: InstanceId) -> Self {
        let silent = roster.instances().iter().filter(|known| known.is_silent());
        let unowned = roster.unowned().into_iter().map(|(topic, Unowned { number, first })| {
            let shown: Vec<String> = first.iter().map(ToString::to_string).collect();
            let more = if number as usize > shown.len() { ", …" } else { "" };
            format!("{number} of {topic} ({}{more})", shown.join(", "))
        });
        let not_keyed = roster.not_keyed().into_iter().map(|(topic, [one, other])| {
            format!("one credential in partitions {one} and {other} of {topic}")
        });
        let different = roster.different(me).into_iter();
        let different = different.map(|(name, what)| format!("{name} has {what}"));
        Self {
            silent: silent.map(|known| known.registration.name.clone()).collect(),
            unowned: joined(unowned),
            not_keyed: joined(not_keyed),
            different: joined(different),
        }
    }
}

fn joined(texts: impl Iterator<Item = String>) -> Option<String> {
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}
