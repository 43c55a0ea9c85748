//! A credential's entry in Redis, as tripline reads it.

use crate::formats::storage::provenance;
use crate::model::credential::Credential;
use crate::model::decision::DecisionId;
use crate::model::decision::Generation;
use crate::model::decision::Holding;
use crate::model::decision::Status;
use crate::model::finding::FindingId;
use crate::model::time::EventTime;
use std::sync::Arc;

/// Digits of the highest generation that is believed. Lua counts whole numbers exactly up to 2^53.
const GENERATION_DIGITS_MAX: usize = 15;

/// The fields of a hash.
pub(super) const FIELDS: [&str; 7] =
    ["generation", "decision", "status", "finding", "until", "reason", "origin"];

/// Bytes of each field; none where the hash lacks it.
pub(super) type Row = Vec<Option<Vec<u8>>>;

/// Stands for an entry that tripline didn't write: it is older than every decision.
pub(super) fn nothing_of_ours() -> Holding {
    Holding::from(Generation(0))
}

pub(super) fn read_row(row: &[Option<Vec<u8>>]) -> Option<Holding> {
    if row.iter().all(Option::is_none) {
        return None;
    }
    Some(read_fields(texts(row)).map_or_else(nothing_of_ours, |(held, _)| held))
}

/// The texts of a row; none where a field is missing, or no text.
pub(super) fn texts(row: &[Option<Vec<u8>>]) -> [Option<&str>; FIELDS.len()] {
    std::array::from_fn(|at| str::from_utf8(row.get(at)?.as_deref()?).ok())
}

/// Reads an entry by [`FIELDS`], and the credential that its origin names; none if tripline can't have
/// written that.
pub(super) fn read_fields(
    [generation, decision, status, finding, until, reason, origin]: [Option<&str>; 7],
) -> Option<(Holding, Option<Credential>)> {
    let generation = generation.filter(|text| {
        text.len() <= GENERATION_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    let status = status.map(|text| Status::parse(text).ok_or(()));
    let origin = origin.and_then(|origin| provenance::decode(origin, reason.unwrap_or_default()));
    let (credential, provenance) = origin.unzip();
    let held = Holding {
        generation: Generation(generation?.parse().ok()?),
        decision: Some(DecisionId::parse(decision?)?),
        status: status.transpose().ok()?,
        finding: finding.and_then(FindingId::parse),
        until: time(until)?,
        provenance: provenance.map(Arc::new),
    };
    Some((held, credential))
}

/// Reads seconds since 1970; none where there are none. Outer none: no decision ends then.
#[expect(clippy::option_option, reason = "no time, and none that can be")]
fn time(seconds: Option<&str>) -> Option<Option<EventTime>> {
    let Some(seconds) = seconds.filter(|seconds| !seconds.is_empty()) else { return Some(None) };
    let time = EventTime::from_s(seconds.parse().ok()?);
    provenance::is_possible(time).then_some(Some(time))
}

#[cfg(test)]
mod tests {
    use crate::adapters::enforce::redis::entry::{FIELDS, nothing_of_ours, read_row};
    use crate::model::decision::{Generation, Status};

    #[test]
    fn an_entry_that_tripline_cannot_have_written_holds_nothing() {
        let row = |fields: [&str; 5]| {
            let bytes = |text: &str| (text != "-").then(|| text.as_bytes().to_vec());
            let mut row = fields.map(bytes).to_vec();
            row.resize(FIELDS.len(), None);
            read_row(&row)
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
