//! A line of the journal: JSON, chained by SHA-256 to the line before it.
//!
//! ```text
//! {"seq":7,"prev":"9f2c…","decision":{…},"hash":"51ab…"}
//! ```
//! `hash` is SHA-256 over the line up to it; as the line holds `prev`, the hash of the line before,
//! no line can be changed, left out or moved without breaking the chain.

use crate::formats::api::decision::DecisionJson;
use crate::formats::api::finding::{known, read_time};
use crate::model::decision::{
    ApprovalTerms, Decision, DecisionId, Receipt, TokenAnswer, TokenGrant, Vote,
};
use crate::model::finding::FindingId;
use crate::model::time::EventTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A decision was made.
    Decision(Box<Decision>),
    /// A store answered.
    Receipt(StoreReceipt),
    /// A person agreed to a decision that waits, or did not.
    Vote(Vote),
    /// A decision began to wait for people, under these settings.
    Terms(ApprovalTerms),
    /// The store that counts for all instances answered a revocation; the decision follows.
    Token(TokenAnswer),
}

/// A store's answer to a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreReceipt {
    /// Which decision.
    pub decision: DecisionId,
    /// Which store.
    pub store: String,
    /// Its answer.
    pub receipt: Receipt,
    /// When it came.
    pub at: EventTime,
}

/// The hash that links one line to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    /// The link of the first line.
    pub fn first() -> Self {
        Self("0".repeat(64))
    }

    /// Its 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(text: &str) -> Self {
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(text.as_bytes()) {
            // Writing to a string can't fail.
            let _written = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    seq: u64,
    prev: String,
    #[serde(flatten)]
    entry: EntryJson,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntryJson {
    Decision(Box<DecisionJson>),
    Receipt(Answer),
    Vote(Ballot),
    Terms(Terms),
    Token(Token),
}

#[derive(Serialize, Deserialize)]
struct Token {
    finding: String,
    grant: String,
    at: String,
}

#[derive(Serialize, Deserialize)]
struct Terms {
    decision: String,
    people: u8,
    until: String,
}

#[derive(Serialize, Deserialize)]
struct Ballot {
    decision: String,
    agrees: bool,
    account: String,
    by: String,
    reason: String,
    at: String,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    decision: String,
    store: String,
    receipt: String,
    at: String,
}

/// The longest vote of another instance that is read. Unit: bytes. Chosen: a reason is a few thousand at most.
const VOTE_BYTES_MAX: usize = 65_536;

const HASH_FIELD: &str = ",\"hash\":\"";

/// Writes the line number `seq` (from 1) that follows `prev`, without a line break; gives the link
/// for the next one.
pub fn encode(entry: &Entry, seq: u64, prev: &Link) -> (String, Link) {
    let entry = EntryJson::from(entry);
    let line = Line { seq, prev: prev.0.clone(), entry };
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.pop();
    let link = Link::of(&text);
    text.push_str(HASH_FIELD);
    text.push_str(&link.0);
    text.push_str("\"}");
    (text, link)
}

/// The fault of a line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line has no hash at its end, as when it was cut off.
    #[error("the line is not complete")]
    Incomplete,
    /// The line was changed after it was written.
    #[error("the line was changed after it was written")]
    Changed,
    /// The line does not follow the one before it.
    #[error("a line is missing before this one, or was changed")]
    Unlinked,
    /// The line is whole, but can't be understood, as when a newer tripline wrote it.
    #[error("the line can't be understood; a newer tripline may have written it")]
    Unknown(#[source] serde_json::Error),
}

/// Reads the line number `seq` that follows `prev`.
///
/// # Errors
/// When the line isn't whole, or isn't the one that was written there.
pub fn decode(text: &str, seq: u64, prev: &Link) -> Result<(Entry, Link), LineError> {
    let (line, link) = parse(text)?;
    if line.seq != seq || line.prev != prev.0 {
        return Err(LineError::Unlinked);
    }
    Ok((line.entry.read().map_err(LineError::Unknown)?, link))
}

/// Reads a line for itself, wherever it stands.
///
/// # Errors
/// When the line isn't whole, or was changed.
pub fn read_line(text: &str) -> Result<Entry, LineError> {
    parse(text)?.0.entry.read().map_err(LineError::Unknown)
}

fn parse(text: &str) -> Result<(Line, Link), LineError> {
    let (hashed, tail) = text.rsplit_once(HASH_FIELD).ok_or(LineError::Incomplete)?;
    let hash = tail.strip_suffix("\"}").ok_or(LineError::Incomplete)?;
    let link = Link::of(hashed);
    if link.0 != hash {
        return Err(LineError::Changed);
    }
    let line = serde_json::from_str(&format!("{hashed}}}")).map_err(LineError::Unknown)?;
    Ok((line, link))
}

impl From<&Entry> for EntryJson {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Decision(decision) => {
                Self::Decision(Box::new(DecisionJson((**decision).clone())))
            }
            Entry::Receipt(answer) => Self::Receipt(Answer {
                decision: answer.decision.to_string(),
                store: answer.store.clone(),
                receipt: answer.receipt.as_str().to_owned(),
                at: answer.at.to_string(),
            }),
            Entry::Vote(vote) => Self::Vote(Ballot::from(vote)),
            Entry::Terms(terms) => Self::Terms(Terms {
                decision: terms.decision.to_string(),
                people: terms.people,
                until: terms.until.to_string(),
            }),
            Entry::Token(answer) => Self::Token(Token {
                finding: answer.finding.to_string(),
                grant: answer.grant.as_str().to_owned(),
                at: answer.at.to_string(),
            }),
        }
    }
}

impl From<&Vote> for Ballot {
    fn from(vote: &Vote) -> Self {
        Self {
            decision: vote.decision.to_string(),
            agrees: vote.agrees,
            account: vote.account.to_string(),
            by: vote.by.to_string(),
            reason: vote.reason.clone(),
            at: vote.at.to_string(),
        }
    }
}

/// Writes a vote as other instances read it: as in a line of the journal.
pub fn encode_vote(vote: &Vote) -> String {
    serde_json::to_string(&Ballot::from(vote)).unwrap_or_default()
}

/// Reads a vote of another instance; none if tripline can't have written it.
pub fn decode_vote(text: &str) -> Option<Vote> {
    if text.len() > VOTE_BYTES_MAX {
        return None;
    }
    serde_json::from_str::<Ballot>(text).ok()?.read().ok()
}

impl EntryJson {
    fn read(self) -> Result<Entry, serde_json::Error> {
        Ok(match self {
            Self::Decision(decision) => Entry::Decision(Box::new(decision.0)),
            Self::Receipt(answer) => Entry::Receipt(answer.read()?),
            Self::Vote(ballot) => Entry::Vote(ballot.read()?),
            Self::Terms(terms) => Entry::Terms(terms.read()?),
            Self::Token(token) => Entry::Token(token.read()?),
        })
    }
}

impl Token {
    fn read(self) -> Result<TokenAnswer, serde_json::Error> {
        Ok(TokenAnswer {
            finding: known(FindingId::parse(&self.finding), "finding id")?,
            grant: known(TokenGrant::parse(&self.grant), "answer")?,
            at: read_time(&self.at)?,
        })
    }
}

impl Terms {
    fn read(self) -> Result<ApprovalTerms, serde_json::Error> {
        Ok(ApprovalTerms {
            decision: known(DecisionId::parse(&self.decision), "decision id")?,
            people: self.people,
            until: read_time(&self.until)?,
        })
    }
}

impl Ballot {
    fn read(self) -> Result<Vote, serde_json::Error> {
        Ok(Vote {
            decision: known(DecisionId::parse(&self.decision), "decision id")?,
            agrees: self.agrees,
            account: self.account.into(),
            by: self.by.into(),
            reason: self.reason,
            at: read_time(&self.at)?,
        })
    }
}

impl Answer {
    fn read(self) -> Result<StoreReceipt, serde_json::Error> {
        Ok(StoreReceipt {
            decision: known(DecisionId::parse(&self.decision), "decision id")?,
            store: self.store,
            receipt: known(Receipt::parse(&self.receipt), "receipt")?,
            at: read_time(&self.at)?,
        })
    }
}
