//! A batch: auth events laid out for the machine, without an allocation per event.

use super::feature_extraction::{Seed, facts_of};
use crate::model::credential::{Kind, NAME_BYTES_MAX};
use crate::model::event::{AuthEvent, Outcome, Reason};
use crate::model::features::{CostUnit, Facts, RequestCost};
use crate::model::proof::{Claims, Country, Family};
use crate::model::time::EventTime;
use crate::stats::codec::{Codec, Input, count};
use compact_str::CompactString;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::IpAddr;
use std::ops::Range;

/// The seed of the hash by which credentials are found: secret, so that no one can choose ids
/// that collide.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashSeed(pub u64, pub u64);

impl std::fmt::Debug for HashSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashSeed(..)")
    }
}

impl HashSeed {
    /// The hash of a credential.
    pub fn hash(self, kind: Kind, id: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0 ^ kind as u64, self.1);
        hasher.write(id.as_bytes());
        hasher.finish()
    }

    /// The hash of several texts, one after the other.
    pub fn hash_all(self, texts: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        for text in texts {
            hasher.write_u64(text.len() as u64);
            hasher.write(text);
        }
        hasher.finish()
    }

    /// The seed of the hashes of features.
    pub(crate) const fn features(self) -> Seed {
        Seed(self.0, self.1)
    }

    /// The family of an event, within its tenant: ids of grants are chosen by issuers, and one tenant's ends
    /// no token of another.
    pub fn family(self, event: &AuthEvent<'_>) -> Family {
        let tenant = event.tenant.as_deref().unwrap_or("").as_bytes();
        let family = event.family.as_deref().map(str::as_bytes);
        family.map_or(Family::NONE, |family| Family::new(self.hash_all(&[tenant, family])))
    }

    /// The hash by which an event finds its shard: the tokens of one grant share one.
    pub fn shard(self, event: &AuthEvent<'_>) -> u64 {
        match event.family.as_deref() {
            Some(family) => self.hash_all(&[family.as_bytes()]),
            None => self.hash(event.kind, &event.credential),
        }
    }

    /// Reports what was written under one seed from what was under another.
    pub fn mark(self) -> u64 {
        self.hash(Kind::ApiKey, "the mark of a checkpoint")
    }
}

impl Codec for Facts {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.values, (self.prefix, self.cost.to_bits())).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (values, (prefix, cost)) = Codec::decode(input)?;
        // The event log of layout 1 knew tokens alone.
        let cost = if input.version() < 2 {
            RequestCost::new(u64::from(cost), CostUnit::Tokens)
        } else {
            RequestCost::from_bits(cost)
        };
        Some(Self { values, prefix, cost })
    }
}

/// The first layout of the event log that knows claims.
const CLAIMS_SINCE: u16 = 3;

crate::codec!(each Reason);
crate::codec!(Stretch { start, length });

/// A stretch of the batch's text.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    start: u32,
    length: u16,
}

/// One event of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// When it happened.
    pub time: EventTime,
    /// Its offset in the partition.
    pub offset: i64,
    /// The hash of its credential.
    pub hash: u64,
    /// The fields that can be proof.
    pub claims: Claims,
    /// Where the request came from; not kept over a restart.
    pub address: Option<IpAddr>,
    /// Who, from where, to what.
    pub facts: Facts,
    credential: Stretch,
    tenant: Option<Stretch>,
    gateway: Option<Stretch>,
    issuer: Option<Stretch>,
    /// The credential's kind.
    pub kind: Kind,
    /// The gateway's outcome.
    pub outcome: Outcome,
    /// Whether the caller proved that it holds the credential.
    pub verified: bool,
}

impl Row {
    /// Whether it says that a refresh token was handed out, which is no use of it.
    pub fn is_issue(&self) -> bool {
        self.kind == Kind::RefreshToken
            && self.claims.reason == Some(Reason::Issued)
            && self.outcome == Outcome::Accepted
            && !self.claims.family.is_none()
    }
}

/// An outcome, and whether the caller was verified, as one byte: 0 to 2 for the outcome where it
/// implies that, 3 to 5 where the event states the contrary.
struct Use(Outcome, bool);

impl Codec for Use {
    fn encode(&self, out: &mut Vec<u8>) {
        let contrary = if self.1 == self.0.implies_verified() { 0 } else { 3 };
        (self.0 as u8 + contrary).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let byte = usize::from(u8::decode(input)?);
        let outcome = *Outcome::ALL.get(byte % 3)?;
        (byte < 6).then_some(Self(outcome, outcome.implies_verified() != (byte >= 3)))
    }
}

/// Auth events of one partition, in order. Emptied and used again.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    text: String,
    rows: Vec<Row>,
}

impl Batch {
    /// Adds an event that is at `offset`.
    pub fn push(&mut self, event: &AuthEvent<'_>, offset: i64, seed: HashSeed) {
        let hash = seed.hash(event.kind, &event.credential);
        let credential = self.keep(&event.credential);
        let tenant = event.tenant.as_deref().filter(|tenant| tenant.len() <= NAME_BYTES_MAX);
        let tenant = tenant.map(|tenant| self.keep(tenant));
        let gateway = event.gateway.as_deref().map(|gateway| self.keep(gateway));
        let issuer = event.issuer.as_deref().map(|issuer| self.keep(issuer));
        self.rows.push(Row {
            time: event.time,
            offset,
            hash,
            claims: Claims {
                issued: event.issued,
                expires: event.expires,
                reason: event.known_reason(),
                family: seed.family(event),
                country: Country::of(event.country),
            },
            address: event.ip,
            facts: facts_of(event, seed.features()),
            credential,
            tenant,
            gateway,
            issuer,
            kind: event.kind,
            outcome: event.outcome,
            verified: event.verified,
        });
    }

    fn keep(&mut self, text: &str) -> Stretch {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.push_str(text);
        Stretch { start, length: u16::try_from(text.len()).unwrap_or(u16::MAX) }
    }

    fn read(&self, stretch: Stretch) -> &str {
        let start = stretch.start as usize;
        self.text.get(start..start + usize::from(stretch.length)).unwrap_or("")
    }

    /// The events in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The credential's id.
    pub fn credential(&self, row: &Row) -> &str {
        self.read(row.credential)
    }

    /// The tenant.
    pub fn tenant(&self, row: &Row) -> Option<&str> {
        row.tenant.map(|tenant| self.read(tenant))
    }

    /// The gateway that answered.
    pub fn gateway(&self, row: &Row) -> Option<&str> {
        row.gateway.map(|gateway| self.read(gateway))
    }

    /// The issuer of the credential.
    pub fn issuer(&self, row: &Row) -> Option<&str> {
        row.issuer.map(|issuer| self.read(issuer))
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
    }

    /// Puts its events in order of event time; those of one time keep their order.
    pub fn sort_by_time(&mut self) {
        self.rows.sort_by_key(|row| row.time);
    }

    /// The same events in batches of at most `most` each.
    pub fn pieces(&self, most: usize) -> impl Iterator<Item = Self> {
        self.pieces_of(0..self.rows.len(), most)
    }

    /// The events of that range, in batches of at most `most` each.
    pub fn pieces_of(&self, range: Range<usize>, most: usize) -> impl Iterator<Item = Self> {
        let rows = self.rows.get(range).unwrap_or_default();
        rows.chunks(most.max(1)).map(|rows| {
            let mut piece = Self::default();
            for row in rows {
                let credential = piece.keep(self.credential(row));
                let tenant = self.tenant(row).map(|tenant| piece.keep(tenant));
                let gateway = self.gateway(row).map(|gateway| piece.keep(gateway));
                let issuer = self.issuer(row).map(|issuer| piece.keep(issuer));
                piece.rows.push(Row { credential, tenant, gateway, issuer, ..*row });
            }
            piece
        })
    }

    /// The newest event time in it.
    pub fn newest(&self) -> Option<EventTime> {
        self.rows.iter().map(|row| row.time).max()
    }

    /// The hashes of its events' credentials.
    pub fn hashes(&self) -> impl Iterator<Item = u64> {
        self.rows.iter().map(|row| row.hash)
    }

    /// Appends its events as bytes, without their offsets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        count(self.text.len()).encode(out);
        out.extend_from_slice(self.text.as_bytes());
        count(self.rows.len()).encode(out);
        for row in &self.rows {
            (row.time, row.claims.expires).encode(out);
            row.facts.encode(out);
            (row.credential, row.tenant).encode(out);
            (row.kind, Use(row.outcome, row.verified)).encode(out);
            (row.claims.issued, row.claims.reason).encode(out);
            (row.claims.family.to_bytes(), row.claims.country).encode(out);
            (row.gateway, row.issuer).encode(out);
        }
    }

    /// Reads back what [`Batch::encode`] wrote under the same seed, with offsets from `first` on;
    /// none if these are not its bytes.
    pub fn decode(input: &mut Input<'_>, first: i64, seed: HashSeed) -> Option<Self> {
        let text: CompactString = Codec::decode(input)?;
        let mut batch = Self { text: text.into(), rows: Vec::new() };
        for offset in (first..).take(input.count()?) {
            let (time, expires) = Codec::decode(input)?;
            let facts = Codec::decode(input)?;
            let (credential, tenant): (Stretch, Option<Stretch>) = Codec::decode(input)?;
            let (kind, Use(outcome, verified)) = Codec::decode(input)?;
            let id = batch.read(credential);
            let hash = seed.hash(kind, (!id.is_empty()).then_some(id)?);
            let mut claims = Claims { expires, ..Claims::default() };
            let (mut gateway, mut issuer) = (None, None);
            if input.version() >= CLAIMS_SINCE {
                (claims.issued, claims.reason) = Codec::decode(input)?;
                let (family, country) = Codec::decode(input)?;
                (claims.family, claims.country) = (Family::from_bytes(family), country);
                (gateway, issuer) = Codec::decode(input)?;
            }
            batch.rows.push(Row {
                time,
                offset,
                hash,
                claims,
                address: None,
                facts,
                credential,
                tenant,
                gateway,
                issuer,
                kind,
                outcome,
                verified,
            });
        }
        Some(batch)
    }

    /// Gives its events offsets from `first` on, as a source does that hands out its own; gives
    /// the offset after the last one.
    pub fn number_from(&mut self, first: i64) -> i64 {
        let mut next = first;
        for row in &mut self.rows {
            row.offset = next;
            next += 1;
        }
        next
    }
}
