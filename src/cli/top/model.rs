//! The state of the screen, and how each message changes it. It reads no clock, draws nothing,
//! and asks no one: what is to be done outside it gives back as an effect.

use super::confirm::{Answer, Confirm, Order, Verb};
use super::keymap::Key;
use super::rates::Rates;
use super::rows::{Pane, Row, SortKey, rows};
use super::snapshot::Snapshot;
use super::theme::Theme;
use crate::model::time::EventTime;

/// How long an answer to an order is shown. Unit: milliseconds.
const NOTICE_MS: i64 = 30_000;
/// The longest filter. Unit: characters.
const FILTER_MAX: usize = 100;
/// Lines that are no rows.
const AROUND_ROWS: u16 = 8;
/// Keys that mean the same in the lists and in the detail.
const COMMON: &str = "q? xXr123";

/// The event.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// Time went by.
    Tick(EventTime),
    /// The daemon answered.
    Answered(Box<Snapshot>, EventTime),
    /// It did not.
    Failed(String, EventTime),
    /// An order came to this.
    Ordered(String, EventTime),
    /// A key was pressed.
    Key(Key),
    /// A text was pasted.
    Pasted(String),
    /// The terminal has that many lines now.
    Resized(u16),
    /// It was drawn; the detail can be scrolled by so many lines.
    Drawn(u16),
}

/// An effect outside of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The end.
    Quit,
    /// More of this credential is wanted from now on, or of none.
    LookAt(Option<String>),
    /// This is ordered.
    Order(Order),
}

/// Where one is in a list.
#[derive(Clone, Debug)]
pub(super) struct List {
    /// The row, by what it is known by: it stays the same when others come before it. None: the
    /// first, whichever that is.
    chosen: Option<String>,
    /// Where it was last.
    at: usize,
    /// The sort key of the rows.
    pub(super) by: SortKey,
    /// Whether the order is turned around.
    pub(super) reversed: bool,
}

impl List {
    const fn new(by: SortKey) -> Self {
        Self { chosen: None, at: 0, by, reversed: false }
    }

    /// The place of the chosen row.
    pub(super) fn place(&self, rows: &[Row<'_>]) -> usize {
        let found = self.chosen.as_ref().and_then(|key| rows.iter().position(|r| r.key == *key));
        found.unwrap_or(self.at).min(rows.len().saturating_sub(1))
    }
}

/// An overlay.
#[derive(Clone, Debug, Default)]
pub(super) enum Overlay {
    /// Nothing.
    #[default]
    Nothing,
    /// The keys and their effects.
    Help,
    /// A question.
    Confirm(Confirm),
}

/// The state of the screen.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The daemon's last answer.
    pub(super) snapshot: Snapshot,
    /// When that was, by the clock here.
    pub(super) heard: EventTime,
    /// The time, by the clock here.
    pub(super) now: EventTime,
    /// How fast events come.
    pub(super) rates: Rates,
    /// Why the daemon can't be reached, while it can't.
    pub(super) lost: Option<String>,
    /// Whether what is shown stalls.
    pub(super) paused: bool,
    /// Whether orders may be given.
    pub(super) operate: bool,
    /// How things look.
    pub(super) look: Theme,
    /// The pane in front.
    pub(super) pane: Pane,
    /// The filter of the rows.
    pub(super) filter: String,
    /// Whether the filter is being typed.
    pub(super) filtering: bool,
    /// The credential that is looked at.
    pub(super) detail: Option<String>,
    /// How far the detail is scrolled.
    pub(super) scroll: u16,
    /// The overlay.
    pub(super) over: Overlay,
    /// The message in the last line.
    pub(super) notice: Option<(String, EventTime)>,
    credentials: List,
    incidents: List,
    decisions: List,
    scroll_max: u16,
    lines: u16,
}

impl Model {
    /// Begins with a first answer.
    pub(super) fn new(snapshot: Snapshot, now: EventTime) -> Self {
        let mut rates = Rates::default();
        rates.take(&snapshot.status);
        Self {
            snapshot,
            heard: now,
            now,
            rates,
            lost: None,
            paused: false,
            operate: false,
            look: Theme { colour: true },
            pane: Pane::Credentials,
            filter: String::new(),
            filtering: false,
            detail: None,
            scroll: 0,
            over: Overlay::Nothing,
            notice: None,
            credentials: List::new(SortKey::Attention),
            incidents: List::new(SortKey::Action),
            decisions: List::new(SortKey::Newest),
            scroll_max: 0,
            lines: 24,
        }
    }

    /// The list of the pane in front.
    pub(super) const fn list(&self) -> &List {
        match self.pane {
            Pane::Credentials => &self.credentials,
            Pane::Incidents => &self.incidents,
            Pane::Decisions => &self.decisions,
        }
    }

    const fn list_mut(&mut self) -> &mut List {
        match self.pane {
            Pane::Credentials => &mut self.credentials,
            Pane::Incidents => &mut self.incidents,
            Pane::Decisions => &mut self.decisions,
        }
    }

    /// The rows of the pane in front.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let list = self.list();
        rows(&self.snapshot, self.pane, (list.by, list.reversed), &self.filter)
    }

    /// How old what is shown is. Unit: milliseconds.
    pub(super) fn age_ms(&self) -> i64 {
        self.now.ms_since(self.heard).max(0)
    }

    /// The daemon's clock now.
    pub(super) fn daemon_now(&self) -> EventTime {
        self.snapshot.now().plus_ms(self.age_ms())
    }

    /// Takes a message.
    pub(super) fn update(&mut self, message: Message) -> Option<Effect> {
        match message {
            Message::Tick(now) => self.pass(now),
            Message::Answered(snapshot, now) => {
                self.pass(now);
                self.lost = None;
                self.rates.take(&snapshot.status);
                if !self.paused {
                    (self.snapshot, self.heard) = (*snapshot, now);
                    self.settle();
                }
            }
            Message::Failed(why, now) => {
                self.pass(now);
                self.lost = Some(why);
            }
            Message::Ordered(told, now) => {
                self.pass(now);
                self.tell(told);
            }
            Message::Resized(lines) => self.lines = lines,
            Message::Drawn(scroll_max) => {
                self.scroll_max = scroll_max;
                self.scroll = self.scroll.min(scroll_max);
            }
            Message::Pasted(text) => self.paste(&text),
            Message::Key(key) => return self.key(key),
        }
        None
    }

    fn pass(&mut self, now: EventTime) {
        self.now = now;
        self.notice.take_if(|(_, since)| now.ms_since(*since) > NOTICE_MS);
    }

    fn tell(&mut self, told: impl Into<String>) {
        self.notice = Some((told.into(), self.now));
    }

    /// Keeps the place of each list, for the time when its row is gone.
    fn settle(&mut self) {
        let front = self.pane;
        for pane in Pane::ALL {
            self.pane = pane;
            let at = self.list().place(&self.rows());
            self.list_mut().at = at;
        }
        self.pane = front;
    }

    fn paste(&mut self, text: &str) {
        if let Overlay::Confirm(confirm) = &mut self.over {
            confirm.paste(text);
        } else if self.filtering {
            text.chars().for_each(|char| self.filter_key(Key::Char(char)));
        }
    }

    fn key(&mut self, key: Key) -> Option<Effect> {
        match &mut self.over {
            Overlay::Confirm(confirm) => match confirm.key(key) {
                Answer::Open => return None,
                Answer::No => {
                    self.over = Overlay::Nothing;
                    self.tell("nothing was ordered");
                    return None;
                }
                Answer::Yes(order) => {
                    self.over = Overlay::Nothing;
                    self.tell(format!("{} {}: ordering …", order.verb.as_str(), order.name));
                    return Some(Effect::Order(order));
                }
            },
            Overlay::Help => {
                self.over = Overlay::Nothing;
                return (key == Key::Interrupt).then_some(Effect::Quit);
            }
            Overlay::Nothing => {}
        }
        if key == Key::Interrupt {
            return Some(Effect::Quit);
        }
        if self.filtering {
            self.filter_key(key);
            return None;
        }
        match (key, &self.detail) {
            (Key::Char(char), _) if COMMON.contains(char) => self.common_key(char),
            (key, None) => self.board_key(key),
            (key, Some(_)) => self.detail_key(key),
        }
    }

    fn common_key(&mut self, char: char) -> Option<Effect> {
        match char {
            'q' => return Some(Effect::Quit),
            '?' => self.over = Overlay::Help,
            ' ' => self.paused = !self.paused,
            'x' => self.ask(Verb::Suspend),
            'X' => self.ask(Verb::Revoke),
            'r' => self.ask(Verb::Restore),
            '1' => return self.show(Pane::Credentials),
            '2' => return self.show(Pane::Incidents),
            '3' => return self.show(Pane::Decisions),
            _ => {}
        }
        None
    }

    fn board_key(&mut self, key: Key) -> Option<Effect> {
        let page = isize::try_from(self.lines.saturating_sub(AROUND_ROWS).max(1)).unwrap_or(1);
        let turn = |pane: Pane, by: usize| {
            let at = Pane::ALL.iter().position(|one| *one == pane).unwrap_or(0);
            Pane::ALL.into_iter().cycle().nth(at + by).unwrap_or(pane)
        };
        match key {
            Key::Tab => return self.show(turn(self.pane, 1)),
            Key::BackTab => return self.show(turn(self.pane, Pane::ALL.len() - 1)),
            Key::Char('j') | Key::Down => self.step(1),
            Key::Char('k') | Key::Up => self.step(-1),
            Key::PageDown => self.step(page),
            Key::PageUp => self.step(-page),
            Key::Char('g') | Key::Home => self.step(isize::MIN),
            Key::Char('G') | Key::End => self.step(isize::MAX),
            Key::Char('/') => self.filtering = true,
            Key::Char('s') => self.sort(),
            Key::Char('S') => {
                let list = self.list_mut();
                list.reversed = !list.reversed;
            }
            Key::Enter => {
                let name = self.chosen()?;
                (self.detail, self.scroll) = (Some(name.clone()), 0);
                return Some(Effect::LookAt(Some(name)));
            }
            Key::Esc if self.filter.is_empty() => return Some(Effect::Quit),
            Key::Esc => self.filter.clear(),
            Key::Char(_) | Key::Backspace | Key::Clear | Key::Interrupt => {}
        }
        None
    }

    fn detail_key(&mut self, key: Key) -> Option<Effect> {
        let page = self.lines.saturating_sub(AROUND_ROWS).max(1);
        let scroll = match key {
            Key::Char('j') | Key::Down => self.scroll.saturating_add(1),
            Key::Char('k') | Key::Up => self.scroll.saturating_sub(1),
            Key::PageDown => self.scroll.saturating_add(page),
            Key::PageUp => self.scroll.saturating_sub(page),
            Key::Char('g') | Key::Home => 0,
            Key::Char('G') | Key::End => self.scroll_max,
            Key::Esc | Key::Enter | Key::Backspace | Key::Tab | Key::BackTab => {
                return self.show(self.pane);
            }
            Key::Char(_) | Key::Clear | Key::Interrupt => self.scroll,
        };
        self.scroll = scroll.min(self.scroll_max);
        None
    }

    /// Shows a list; where a detail lay over it, no more of that is asked for.
    fn show(&mut self, pane: Pane) -> Option<Effect> {
        self.pane = pane;
        self.detail.take().map(|_| Effect::LookAt(None))
    }

    fn filter_key(&mut self, key: Key) {
        match key {
            Key::Enter => self.filtering = false,
            Key::Esc => {
                self.filter.clear();
                self.filtering = false;
            }
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Clear => self.filter.clear(),
            Key::Char(char) if !char.is_control() && self.filter.chars().count() < FILTER_MAX => {
                self.filter.push(char);
            }
            Key::Up => self.step(-1),
            Key::Down => self.step(1),
            Key::Char(_)
            | Key::Tab
            | Key::BackTab
            | Key::PageUp
            | Key::PageDown
            | Key::Home
            | Key::End
            | Key::Interrupt => {}
        }
    }

    fn step(&mut self, by: isize) {
        let rows = self.rows();
        let at = self.list().place(&rows);
        let to = at.saturating_add_signed(by).min(rows.len().saturating_sub(1));
        // At the top the first is meant, whichever that is.
        let chosen = rows.get(to).filter(|_| by != isize::MIN).map(|row| row.key.clone());
        let list = self.list_mut();
        (list.at, list.chosen) = (to, chosen);
    }

    fn sort(&mut self) {
        let sorts = self.pane.sorts();
        let list = self.list_mut();
        let at = sorts.iter().position(|by| *by == list.by).unwrap_or(0);
        list.by = sorts.iter().copied().cycle().nth(at + 1).unwrap_or(list.by);
    }

    /// The credential under the cursor, or the one that is looked at.
    fn chosen(&self) -> Option<String> {
        let under = || {
            let rows = self.rows();
            Some(rows.get(self.list().place(&rows))?.name.clone())
        };
        self.detail.clone().or_else(under)
    }

    fn ask(&mut self, verb: Verb) {
        let may = self.snapshot.status.roles.iter().any(|role| role == "operate");
        match self.chosen() {
            _ if !self.operate => {
                self.tell(format!("read-only; to {}: tripline top --operate", verb.as_str()));
            }
            _ if !may => self.tell(format!(
                "{} may not {}: use the daemon's socket, or with a token of the role operate",
                self.snapshot.status.account,
                verb.as_str()
            )),
            Some(name) => self.over = Overlay::Confirm(Confirm::new(verb, name)),
            None => self.tell("there is no credential under the cursor"),
        }
    }
}
