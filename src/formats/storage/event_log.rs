//! The event log as bytes: segments of records, each with its checksum. A record is what one request
//! brought, decoded and without secrets, by hash slot.
//!
//! ```text
//!  magic, version, mark of the hash seed, CRC-32 | record: length, CRC-32, body | …
//!  body: when it arrived, hash of its idempotency key, parts: slot, offset of its first event,
//!        events, bytes
//! ```
//! A segment may end anywhere: a crash tears its last record.

use crate::data_plane::batch::{Batch, HashSeed};
use crate::model::time::EventTime;
use crate::stats::codec::{Codec, Input, count};

const MAGIC: &[u8; 8] = b"TRIPLNEL";
/// Which version of the layout is written; older ones are read on.
const VERSION: u16 = 3;
/// How long the begin of a segment is. Unit: bytes.
pub const HEAD_BYTES: usize = 8 + 2 + 8 + 4;

/// Why a whole segment is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Useless {
    /// It does not begin as a segment does.
    #[error("it is no segment of an event log, or its begin is damaged")]
    Damaged,
    /// A newer tripline wrote it.
    #[error("a newer tripline wrote it (layout {0}, this one reads up to {VERSION})")]
    Newer(u16),
    /// It was written under another fingerprint key, so no credential would be found.
    #[error(
        "it was written under another fingerprint key; use that one (fingerprint_key_file, or data_dir/fingerprint.key), or move it away to learn again"
    )]
    OtherKey,
}

/// The begin of a segment.
pub fn head(seed: HashSeed) -> Vec<u8> {
    let mut out = Vec::from(MAGIC.as_slice());
    VERSION.encode(&mut out);
    seed.mark().encode(&mut out);
    crc32fast::hash(&out).encode(&mut out);
    out
}

/// A record whose events have no offsets yet.
#[derive(Debug)]
pub struct Draft {
    body: Vec<u8>,
    /// Where in the body the offset of each part stands.
    places: Vec<usize>,
}

impl Draft {
    /// Events that arrived at that time, by slot, in a request with an idempotency key of that hash.
    pub fn new((arrived, key): (EventTime, Option<u64>), batches: &[(usize, Batch)]) -> Self {
        let mut body = Vec::new();
        let mut places = Vec::with_capacity(batches.len());
        (arrived, key).encode(&mut body);
        count(batches.len()).encode(&mut body);
        for (slot, batch) in batches {
            count(*slot).encode(&mut body);
            places.push(body.len());
            0_i64.encode(&mut body);
            count(batch.len()).encode(&mut body);
            let length_at = body.len();
            0_u32.encode(&mut body);
            batch.encode(&mut body);
            let length = count(body.len() - length_at - 4);
            put(&mut body, length_at, &length.to_le_bytes());
        }
        Self { body, places }
    }

    /// The record, whose parts begin at these offsets.
    pub fn at(mut self, firsts: impl IntoIterator<Item = i64>) -> Vec<u8> {
        for (at, first) in self.places.iter().zip(firsts) {
            put(&mut self.body, *at, &first.to_le_bytes());
        }
        self.body
    }
}

fn put(body: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = body.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Appends a record as it is in a segment.
pub fn frame(body: &[u8], out: &mut Vec<u8>) {
    count(body.len()).encode(out);
    crc32fast::hash(body).encode(out);
    out.extend_from_slice(body);
}

/// The events of one slot in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which slot.
    pub slot: usize,
    /// The offset of its first event.
    pub first: i64,
    /// The offset after its last event.
    pub end: i64,
    bytes: &'a [u8],
    version: u16,
}

impl Part<'_> {
    /// Its events; none if these are not its bytes.
    pub fn batch(&self, seed: HashSeed) -> Option<Batch> {
        let mut input = Input::new(self.bytes, self.version);
        let batch = Batch::decode(&mut input, self.first, seed)?;
        input.is_empty().then_some(batch)
    }
}

/// An item of a record as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogItem<'a> {
    /// It came in a request with an idempotency key of that hash.
    Key(u64),
    /// Events that arrived then for one slot.
    Part(EventTime, Part<'a>),
}

/// How a segment was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogScan {
    /// Bytes that can't be read at its end: tripline, or the machine, ended while it was written.
    /// Unit: bytes.
    pub torn_bytes: usize,
    /// Records that were changed since they were written.
    pub damaged: u64,
}

/// Reads a segment, record by record.
///
/// # Errors
/// Why all of it is of no use.
pub fn read(
    segment: &[u8],
    seed: HashSeed,
    mut each: impl FnMut(LogItem<'_>),
) -> Result<LogScan, Useless> {
    let (head, mut rest) = segment.split_at_checked(HEAD_BYTES).ok_or(Useless::Damaged)?;
    let version = version_of(head, seed)?;
    let mut found = LogScan::default();
    while !rest.is_empty() {
        let mut input = Input::new(rest, version);
        let frame = u32::decode(&mut input).zip(u32::decode(&mut input));
        let body = frame.and_then(|(length, checksum)| {
            let end = 8_usize.checked_add(usize::try_from(length).ok()?)?;
            Some((rest.get(8..end)?, rest.get(end..)?, checksum))
        });
        // Space that was allotted but never written is read as zeros.
        let Some((body, after, checksum)) = body.filter(|(body, ..)| !body.is_empty()) else {
            found.torn_bytes = rest.len();
            break;
        };
        if crc32fast::hash(body) == checksum && record(body, version, &mut each).is_some() {
            rest = after;
            continue;
        }
        if after.is_empty() {
            found.torn_bytes = rest.len();
        } else {
            found.damaged += 1;
        }
        rest = after;
    }
    Ok(found)
}

/// Whether a segment that begins so can be read.
///
/// # Errors
/// Why not.
pub fn check(begin: &[u8], seed: HashSeed) -> Result<(), Useless> {
    let head = begin.get(..HEAD_BYTES).ok_or(Useless::Damaged)?;
    version_of(head, seed).map(|_| ())
}

fn version_of(head: &[u8], seed: HashSeed) -> Result<u16, Useless> {
    let (begin, checksum) = head.split_last_chunk().ok_or(Useless::Damaged)?;
    if crc32fast::hash(begin) != u32::from_le_bytes(*checksum) {
        return Err(Useless::Damaged);
    }
    let rest = begin.strip_prefix(MAGIC).ok_or(Useless::Damaged)?;
    let mut input = Input::new(rest, 0);
    let version = u16::decode(&mut input).ok_or(Useless::Damaged)?;
    if version > VERSION {
        return Err(Useless::Newer(version));
    }
    let mark = u64::decode(&mut input);
    if mark == Some(seed.mark()) { Ok(version) } else { Err(Useless::OtherKey) }
}

fn record(body: &[u8], version: u16, each: &mut impl FnMut(LogItem<'_>)) -> Option<()> {
    let mut input = Input::new(body, version);
    let (arrived, key): (EventTime, Option<u64>) = Codec::decode(&mut input)?;
    if let Some(key) = key {
        each(LogItem::Key(key));
    }
    for _ in 0..input.count()? {
        let slot = usize::try_from(u32::decode(&mut input)?).ok()?;
        let first = i64::decode(&mut input)?;
        let events = u32::decode(&mut input)?;
        let length = input.count()?;
        let bytes = input.take(length)?;
        let end = first.saturating_add(events.into());
        each(LogItem::Part(arrived, Part { slot, first, end, bytes, version }));
    }
    input.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::{Draft, HEAD_BYTES, LogItem, LogScan, frame, head, read};
    use crate::data_plane::batch::{Batch, HashSeed};
    use crate::model::event::AuthEvent;
    use crate::model::time::EventTime;
    use proptest::prelude::*;

    const SEED: HashSeed = HashSeed(1, 2);

    /// Key, arrival, slot, offset, and the events.
    type Read = (Option<u64>, EventTime, usize, i64, Vec<(String, i64, EventTime)>);

    fn batch(events: &[(String, i64)]) -> Batch {
        let mut batch = Batch::default();
        for (id, ms) in events {
            let event = AuthEvent::new(EventTime::from_ms(*ms), id.as_str().into());
            batch.push(&event, 0, SEED);
        }
        batch
    }

    fn all(segment: &[u8]) -> (Vec<Read>, LogScan) {
        let (mut parts, mut key) = (Vec::new(), None);
        let found = read(segment, SEED, |told| {
            let (arrived, part) = match told {
                LogItem::Key(hash) => {
                    key = Some(hash);
                    return;
                }
                LogItem::Part(arrived, part) => (arrived, part),
            };
            let batch = part.batch(SEED).expect("its bytes");
            let events = batch.rows().iter();
            let events = events.map(|row| (batch.credential(row).to_owned(), row.offset, row.time));
            parts.push((key.take(), arrived, part.slot, part.first, events.collect()));
        });
        (parts, found.expect("a segment"))
    }

    proptest! {
        #[test]
        fn what_was_appended_is_read_up_to_where_it_was_cut_or_changed(
            requests in prop::collection::vec(
                prop::collection::vec(("[a-z]{1,9}", 1_i64..1_000_000), 1..5), 1..6),
            (place, bit, cut) in (any::<prop::sample::Index>(), 0_u8..8, any::<bool>()),
        ) {
            let mut segment = head(SEED);
            let mut written: Vec<Read> = Vec::new();
            let mut ends = vec![segment.len()];
            for (first, events) in (100..).step_by(10).zip(&requests) {
                let (key, arrived) = ((first % 20 == 0).then_some(7), EventTime::from_ms(first));
                let draft = Draft::new((arrived, key), &[(3, batch(events))]);
                frame(&draft.at([first]), &mut segment);
                ends.push(segment.len());
                let events = (first..).zip(events);
                let events = events.map(|(at, (id, ms))| (id.clone(), at, EventTime::from_ms(*ms)));
                written.push((key, arrived, 3, first, events.collect()));
            }
            prop_assert_eq!(all(&segment), (written.clone(), LogScan::default()));

            let at = HEAD_BYTES + place.index(segment.len() - HEAD_BYTES);
            let whole = ends.iter().filter(|end| **end <= at).count() - 1;
            if cut { segment.truncate(at) } else { segment[at] ^= 1 << bit }
            let (parts, found) = all(&segment);
            prop_assert_eq!(&parts[..whole], &written[..whole], "all before it");
            prop_assert!(parts.iter().all(|part| written.contains(part)), "and nothing else");
            let is_between = cut && ends.contains(&at);
            prop_assert_eq!(found == LogScan::default(), is_between);
        }
    }
}
