//! What members tell each other of their parts of the fleet, as JSON.
//!
//! `{"active":12,"bursts":{"api_key":[[1700000000,3]]}}`: credentials in use, and by kind how many bursts
//! opened in which second.

use crate::judge::fleet::{Openings, Summary};
use crate::model::credential::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most seconds of a kind that a member may tell of: twice the window, and one.
const SECONDS_MAX: usize = 121;
/// The longest that one may be. Unit: bytes.
const BYTES_MAX: usize = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Written {
    active: u64,
    bursts: BTreeMap<String, Vec<(i64, u32)>>,
}

/// Writes a summary.
pub fn encode(summary: &Summary) -> String {
    let bursts = Kind::ALL.into_iter().zip(&summary.bursts);
    let bursts = bursts.filter(|(_, openings)| !openings.is_empty()).map(|(kind, openings)| {
        let newest = openings.iter().rev().take(SECONDS_MAX);
        (kind.as_str().to_owned(), newest.map(|(second, count)| (*second, *count)).collect())
    });
    let written = Written { active: summary.active, bursts: bursts.collect() };
    serde_json::to_string(&written).unwrap_or_default()
}

/// Reads a summary; none if it is none. Kinds that are not known are left out.
pub fn decode(text: &str) -> Option<Summary> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let mut written: Written = serde_json::from_str(text).ok()?;
    let openings = |kind: Kind| -> Openings {
        let told = written.bursts.remove(kind.as_str()).unwrap_or_default();
        told.into_iter().take(SECONDS_MAX).collect()
    };
    Some(Summary { bursts: Kind::ALL.map(openings), active: written.active })
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::judge::fleet::Summary;

    #[test]
    fn a_summary_is_read_as_it_was_written_and_nonsense_is_none() {
        let mut summary = Summary { active: 12, ..Summary::default() };
        summary.bursts[0] = [(1_700_000_000, 3), (1_700_000_001, 1)].into();
        summary.bursts[2] = [(5, 1)].into();
        assert_eq!(decode(&encode(&summary)), Some(summary));
        for text in ["", "{}", "[]", "{\"active\":-1,\"bursts\":{}}", &"x".repeat(70_000)] {
            assert_eq!(decode(text), None, "{}", text.get(..20).unwrap_or(text));
        }
        let of_newer = "{\"active\":1,\"bursts\":{\"badge\":[[1,1]]},\"more\":1}";
        assert_eq!(decode(of_newer).map(|one| one.active), Some(1));
    }
}
