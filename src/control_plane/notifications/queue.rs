//! The queue of one receiver: what it is reported, once each, in order, within its limit.
//!
//! **Invariants.** A receiver hears once of a finding, once of each more severe action, and once of its
//! end, and of an end only where it knows of the beginning. No more than [`WAITING_MAX`] messages
//! wait and no more than [`KNOWN_MAX`] findings are remembered. Whatever was put in leaves as
//! delivered, refused, expired, or dropped, and is counted.

use super::notice::{Message, News, NotifiedFinding, Params, Stage, Style};
use super::rate_limit::Limit;
use crate::model::decision::Decision;
use crate::model::finding::{Finding, FindingId};
use crate::model::signal::Change;
use crate::model::time::EventTime;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Messages that wait at most; beyond that the oldest is dropped. Chosen: a megabyte or two.
pub const WAITING_MAX: usize = 1000;
/// Findings remembered as open at most; further ones are reported as [`super::notice::Notice::More`]. Chosen.
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
/// another instance took over. Unit: milliseconds. Chosen: twice what a finding takes to close.
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

/// The outcome of messages since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Left out, as the limit was reached.
    pub limited: u64,
    /// Dropped, as too many waited.
    pub dropped: u64,
    /// Given up after 15 minutes.
    pub expired: u64,
}

#[derive(Debug)]
struct KnownFinding {
    known: NotifiedFinding,
    at: EventTime,
}

/// The queue.
#[derive(Debug)]
pub struct NotificationQueue {
    params: Params,
    style: Style,
    limit: Limit,
    known: BTreeMap<FindingId, KnownFinding>,
    /// Findings that were left out, as the limit was reached.
    missed: BTreeSet<FindingId>,
    waiting: VecDeque<Message>,
    /// Attempts at the first message, and when the next one is due.
    attempts: u32,
    due: EventTime,
    left_out: u64,
    again_at: Option<EventTime>,
    counters: Counters,
}

impl NotificationQueue {
    /// An empty one.
    pub fn new(params: Params, style: Style) -> Self {
        Self {
            params,
            style,
            limit: Limit::new(params.per_minute),
            known: BTreeMap::new(),
            missed: BTreeSet::new(),
            waiting: VecDeque::new(),
            attempts: 0,
            due: EventTime::default(),
            left_out: 0,
            again_at: None,
            counters: Counters::default(),
        }
    }

    /// Takes news.
    pub fn on_event(&mut self, news: News, now: EventTime) {
        match news {
            News::Finding(Change::Closed, finding) => self.close(finding, now),
            News::Finding(
                Change::Opened | Change::Escalated | Change::Updated | Change::Recalled,
                finding,
            ) => {
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
                // The receiver gets nothing: from here on it would get every update.
                heard.known.told = action;
                self.leave_out();
            }
            return;
        }
        if action < self.params.from {
            return;
        }
        // One that was left out is counted once, and reported by an update once there is room, if it
        // still lasts; so neither an escalation nor an end comes as a surprise.
        if self.known.len() >= KNOWN_MAX || !self.limit.take(now) {
            let is_new = self.missed.len() >= KNOWN_MAX || self.missed.insert(finding.id);
            if is_new {
                self.leave_out();
            }
            return;
        }
        self.missed.remove(&finding.id);
        let known = NotifiedFinding { told: action, finding, decision: None };
        self.known.insert(known.finding.id, KnownFinding { known: known.clone(), at: now });
        self.push(Message::finding(Stage::Opened, known, None, now));
    }

    fn close(&mut self, finding: Arc<Finding>, now: EventTime) {
        self.missed.remove(&finding.id);
        // An end is bounded by the beginnings, so it takes no token.
        if let Some(heard) = self.known.remove(&finding.id) {
            let known = NotifiedFinding { finding, ..heard.known };
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
        self.counters.limited += 1;
    }

    fn push(&mut self, message: Message) {
        if self.waiting.len() >= WAITING_MAX {
            // The first one may be under way; it is the oldest all the same.
            self.waiting.pop_front();
            self.attempts = 0;
            self.counters.dropped += 1;
        }
        self.waiting.push_back(message);
    }

    /// Lets time pass: gives up what is too old, says what was left out, ends what fell silent.
    pub fn tick(&mut self, now: EventTime) {
        while self.waiting.front().is_some_and(|first| now.ms_since(first.at) > TRIED_MS) {
            self.waiting.pop_front();
            self.attempts = 0;
            self.due = now;
            self.counters.expired += 1;
        }
        if self.left_out > 0 && self.limit.take(now) {
            let count = std::mem::take(&mut self.left_out);
            self.push(Message::more(count, now));
        }
        let silent = |heard: &KnownFinding| now.ms_since(heard.at) > SILENT_MS;
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

    /// The message to deliver at `now`; it stays the first until [`NotificationQueue::done`].
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
                // No one may ask for so much that the message could only expire.
                let pause = pause.min(PAUSE_MS_MAX).max(at_least.min(5 * PAUSE_MS_MAX));
                self.due = now.plus_ms(pause);
            }
        }
    }

    /// The alerts to say again at `now`, if it is time; none while a message waits, as that is
    /// tried first.
    pub fn again(&mut self, now: EventTime) -> Vec<NotifiedFinding> {
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

    /// The outcome of messages since this was last asked.
    pub fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }
}

#[cfg(test)]
mod tests {
    use super::{NotificationQueue, Outcome, WAITING_MAX};
    use crate::control_plane::notifications::notice::{
        Message, News, Notice, Params, Stage, Style,
    };
    use crate::model::credential::Credential;
    use crate::model::finding::{Action, Detector, Finding, FindingId, Gates, Reached};
    use crate::model::signal::Change;
    use crate::model::time::EventTime;
    use std::sync::Arc;

    fn at(ms: i64) -> EventTime {
        EventTime::from_ms(1_700_000_000_000 + ms)
    }

    fn news(name: &str, action: Action, change: Change) -> News {
        let credential = Credential::parse(name).expect("valid");
        News::Finding(
            change,
            Arc::new(Finding {
                id: FindingId::of(&credential, Detector::Burst, at(0)),
                credential,
                tenant: None,
                detector: Detector::Burst,
                action,
                opened: at(0),
                reached: Reached::default(),
                gates: Gates::default(),
                updated: at(0),
                closed: None,
                evidence_nats: 1.0,
                summary: String::new(),
                evidence: vec![],
                place: None,
                expires: None,
            }),
        )
    }

    fn queue(per_minute: u32, style: Style) -> NotificationQueue {
        NotificationQueue::new(Params { from: Action::Alert, per_minute }, style)
    }

    /// Delivers everything that is due.
    fn delivered(queue: &mut NotificationQueue, now: EventTime) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(message) = queue.next(now) {
            queue.done(&message.id, Outcome::Delivered, now);
            all.push(message);
        }
        all
    }

    fn stages(messages: &[Message]) -> Vec<Option<Stage>> {
        let stage = |message: &Message| match message.notice {
            Notice::Finding { stage, .. } => Some(stage),
            Notice::Decision(_) | Notice::More(_) => None,
        };
        messages.iter().map(stage).collect()
    }

    #[test]
    fn a_finding_is_told_once_worse_once_and_over_once() {
        let mut queue = queue(100, Style::Feed);
        let changes = [
            (Action::Observe, Change::Opened),
            (Action::Alert, Change::Escalated),
            (Action::Alert, Change::Updated),
            (Action::Throttle, Change::Escalated),
            (Action::Throttle, Change::Updated),
            (Action::Alert, Change::Updated),
            (Action::Throttle, Change::Closed),
            (Action::Throttle, Change::Closed),
        ];
        for (action, change) in changes {
            queue.on_event(news("k", action, change), at(0));
        }
        let told = delivered(&mut queue, at(0));
        let wanted = [Stage::Opened, Stage::Escalated, Stage::Closed].map(Some);
        assert_eq!(stages(&told), wanted);
        queue.on_event(news("mild", Action::Observe, Change::Opened), at(0));
        queue.on_event(news("mild", Action::Observe, Change::Closed), at(0));
        assert!(queue.is_empty(), "who heard of no beginning hears of no end");
    }

    #[test]
    fn beyond_the_limit_each_finding_counts_once_and_is_told_once_there_is_room() {
        let mut queue = queue(2, Style::Feed);
        for _ in 0..10 {
            for name in ["a", "b", "c", "d"] {
                queue.on_event(news(name, Action::Alert, Change::Updated), at(0));
            }
        }
        assert_eq!(queue.take_counters().limited, 2);
        assert_eq!(delivered(&mut queue, at(0)).len(), 2);
        queue.tick(at(30_000));
        let more = delivered(&mut queue, at(30_000));
        assert_eq!(more.first().map(|one| one.notice.clone()), Some(Notice::More(2)));
        queue.on_event(news("c", Action::Alert, Change::Updated), at(60_000));
        assert_eq!(stages(&delivered(&mut queue, at(60_000))), [Some(Stage::Opened)]);
    }

    #[test]
    fn what_fails_is_tried_ever_more_rarely_and_given_up_after_a_quarter_of_an_hour() {
        let mut queue = queue(100, Style::Feed);
        queue.on_event(news("k", Action::Alert, Change::Opened), at(0));
        let (mut now, mut attempts) = (0, Vec::new());
        while now < 20 * 60_000 {
            queue.on_event(news("k", Action::Alert, Change::Updated), at(now));
            queue.tick(at(now));
            if let Some(message) = queue.next(at(now)) {
                attempts.push(now);
                queue.done(&message.id, Outcome::Later(0), at(now));
            }
            now += 1000;
        }
        let pauses: Vec<i64> =
            attempts.iter().zip(attempts.iter().skip(1)).map(|(one, next)| next - one).collect();
        assert!(pauses.is_sorted() && pauses.last() == Some(&60_000), "{pauses:?}");
        assert_eq!(queue.take_counters().expired, 1);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let mut queue = queue(100_000, Style::Feed);
        for n in 0..WAITING_MAX + 5 {
            queue.on_event(news(&format!("k{n}"), Action::Alert, Change::Opened), at(0));
        }
        assert_eq!((queue.len(), queue.take_counters().dropped), (WAITING_MAX, 5));
    }

    #[test]
    fn an_alert_is_said_again_each_minute_until_it_is_over_or_silent() {
        let mut queue = queue(100, Style::Alert);
        queue.on_event(news("k", Action::Alert, Change::Opened), at(0));
        assert_eq!(delivered(&mut queue, at(0)).len(), 1);
        let mut said = 0;
        for second in 0..=300 {
            queue.tick(at(second * 1000));
            said += queue.again(at(second * 1000)).len();
        }
        assert_eq!(said, 5);
        queue.tick(at(11 * 60_000));
        assert_eq!(stages(&delivered(&mut queue, at(11 * 60_000))), [Some(Stage::Closed)]);
        assert!(queue.again(at(20 * 60_000)).is_empty());
    }
}
