//! The mailbox of one receiver: what it is told, once each, in order, within its limit.
//!
//! **Invariants.** A receiver hears once of a finding, once of each graver action, and once of its
//! end, and of an end only where it knows of the beginning. No more than [`WAITING_MAX`] messages
//! wait and no more than [`KNOWN_MAX`] findings are remembered. Whatever was put in leaves as
//! delivered, refused, expired, or dropped, and is counted.

use super::limit::Limit;
use super::{Known, Message, News, Params, Stage, Style};
use crate::detect::episode::Change;
use crate::model::decision::Decision;
use crate::model::finding::{Finding, FindingId};
use crate::model::time::EventTime;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Messages that wait at most; beyond that the oldest is dropped. Chosen: a megabyte or two.
pub const WAITING_MAX: usize = 1000;
/// Findings remembered as open at most; further ones are told as [`super::Notice::More`]. Chosen.
pub const KNOWN_MAX: usize = 10_000;
/// How long a message is tried. Unit: milliseconds. Default: 15 min.
const TRIED_MS: i64 = 15 * 60_000;
/// The first and the longest pause before an attempt. Unit: milliseconds. Chosen.
const PAUSE_MS_MIN: i64 = 1_000;
const PAUSE_MS_MAX: i64 = 60_000;
/// How often alerts that last are said again. Unit: milliseconds. Chosen: Alertmanager forgets
/// after 5 minutes.
const AGAIN_MS: i64 = 60_000;
/// After how long without a word an open finding is taken to be over: its state was lost, as when
/// another member took over. Unit: milliseconds. Chosen: twice what an episode takes to close.
const SILENT_MS: i64 = 10 * 60_000;

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// The receiver will never take it.
    Refused,
    /// It may be taken later, not before so many milliseconds have passed.
    Later(i64),
}

/// What became of messages since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Left out, as the limit was reached.
    pub limited: u64,
    /// Dropped, as too many waited.
    pub dropped: u64,
    /// Given up after 15 minutes.
    pub expired: u64,
}

#[derive(Debug)]
struct Heard {
    known: Known,
    at: EventTime,
}

/// The mailbox.
#[derive(Debug)]
pub struct Mailbox {
    params: Params,
    style: Style,
    limit: Limit,
    known: BTreeMap<FindingId, Heard>,
    waiting: VecDeque<Message>,
    /// Attempts at the first message, and when the next one is due.
    attempts: u32,
    due: EventTime,
    left_out: u64,
    again_at: Option<EventTime>,
    tally: Tally,
}

impl Mailbox {
    /// An empty one.
    pub fn new(params: Params, style: Style) -> Self {
        Self {
            params,
            style,
            limit: Limit::new(params.per_minute),
            known: BTreeMap::new(),
            waiting: VecDeque::new(),
            attempts: 0,
            due: EventTime::default(),
            left_out: 0,
            again_at: None,
            tally: Tally::default(),
        }
    }

    /// Takes news.
    pub fn hear(&mut self, news: News, now: EventTime) {
        match news {
            News::Finding(Change::Closed, finding) => self.close(finding, now),
            News::Finding(Change::Opened | Change::Escalated | Change::Updated, finding) => {
                self.open(finding, now);
            }
            News::Decision(decision) => self.decide(decision, now),
        }
    }

    fn open(&mut self, finding: Arc<Finding>, now: EventTime) {
        let action = finding.action;
        if let Some(heard) = self.known.get_mut(&finding.id) {
            heard.at = now;
            heard.known.finding = finding;
            let before = heard.known.told;
            if action > before && self.limit.take(now) {
                heard.known.told = action;
                let known = heard.known.clone();
                self.push(Message::finding(Stage::Escalated, known, Some(before), now));
            } else if action > before {
                // The receiver is not told: from here on it would be told at every update.
                heard.known.told = action;
                self.leave_out();
            }
            return;
        }
        if action < self.params.from {
            return;
        }
        if self.known.len() >= KNOWN_MAX {
            return self.leave_out();
        }
        let known = Known { told: action, finding, decision: None };
        let told = self.limit.take(now);
        // One that was left out is not remembered, so its next escalation or end is not a surprise;
        // an update tells it anew once there is room, if it still lasts.
        if told {
            self.known.insert(known.finding.id, Heard { known: known.clone(), at: now });
            self.push(Message::finding(Stage::Opened, known, None, now));
        } else {
            self.leave_out();
        }
    }

    fn close(&mut self, finding: Arc<Finding>, now: EventTime) {
        // An end is bounded by the beginnings, so it takes no token.
        if let Some(heard) = self.known.remove(&finding.id) {
            let known = Known { finding, ..heard.known };
            self.push(Message::finding(Stage::Closed, known, None, now));
        }
    }

    fn decide(&mut self, decision: Arc<Decision>, now: EventTime) {
        let held = !decision.held_by.is_empty() && decision.wanted >= self.params.from;
        if !decision.carried_out && !held {
            return;
        }
        let heard = decision.finding.and_then(|id| self.known.get_mut(&id));
        let is_open = heard.is_some();
        if let Some(heard) = heard {
            heard.known.decision = Some(Arc::clone(&decision));
        }
        match self.style {
            Style::Alert => {
                if is_open {
                    self.again_at = Some(now);
                }
            }
            Style::Incident if !is_open => {}
            Style::Feed | Style::Incident => {
                if self.limit.take(now) {
                    self.push(Message::decision(decision, now));
                } else {
                    self.leave_out();
                }
            }
        }
    }

    fn leave_out(&mut self) {
        self.left_out += 1;
        self.tally.limited += 1;
    }

    fn push(&mut self, message: Message) {
        if self.waiting.len() >= WAITING_MAX {
            // The first one may be under way; it is the oldest all the same.
            self.waiting.pop_front();
            self.attempts = 0;
            self.tally.dropped += 1;
        }
        self.waiting.push_back(message);
    }

    /// Lets time pass: gives up what is too old, says what was left out, ends what fell silent.
    pub fn tick(&mut self, now: EventTime) {
        while self.waiting.front().is_some_and(|first| now.ms_since(first.at) > TRIED_MS) {
            self.waiting.pop_front();
            self.attempts = 0;
            self.due = now;
            self.tally.expired += 1;
        }
        if self.left_out > 0 && self.limit.take(now) {
            let count = std::mem::take(&mut self.left_out);
            self.push(Message::more(count, now));
        }
        let silent = |heard: &Heard| now.ms_since(heard.at) > SILENT_MS;
        let over: Vec<Arc<Finding>> = self
            .known
            .values()
            .filter(|heard| silent(heard))
            .map(|heard| Arc::clone(&heard.known.finding))
            .collect();
        for finding in over {
            let closed = finding.closed.or(Some(now));
            self.close(Arc::new(Finding { closed, ..(*finding).clone() }), now);
        }
    }

    /// The message to deliver at `now`; it stays the first until [`Mailbox::done`].
    pub fn next(&self, now: EventTime) -> Option<Message> {
        self.waiting.front().filter(|_| self.due <= now).cloned()
    }

    /// Takes the outcome of an attempt at the message `id`.
    pub fn done(&mut self, id: &str, outcome: Outcome, now: EventTime) {
        if self.waiting.front().is_none_or(|first| first.id != id) {
            return;
        }
        match outcome {
            Outcome::Delivered | Outcome::Refused => {
                self.waiting.pop_front();
                self.attempts = 0;
                self.due = now;
            }
            Outcome::Later(at_least) => {
                let pause = PAUSE_MS_MIN << self.attempts.min(6);
                self.attempts = self.attempts.saturating_add(1);
                // Nobody may ask for so much that the message could only expire.
                let pause = pause.min(PAUSE_MS_MAX).max(at_least.min(5 * PAUSE_MS_MAX));
                self.due = now.plus_ms(pause);
            }
        }
    }

    /// The alerts to say again at `now`, if it is time; none while a message waits, as that is
    /// tried first.
    pub fn again(&mut self, now: EventTime) -> Vec<Known> {
        if self.style != Style::Alert || !self.waiting.is_empty() || self.known.is_empty() {
            return Vec::new();
        }
        let at = *self.again_at.get_or_insert(now.plus_ms(AGAIN_MS));
        if at > now {
            return Vec::new();
        }
        self.again_at = Some(now.plus_ms(AGAIN_MS));
        self.known.values().map(|heard| heard.known.clone()).collect()
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What became of messages since this was last asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}
