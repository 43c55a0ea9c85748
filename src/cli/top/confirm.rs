//! The question that comes before an order: about whom, and why.
//!
//! The credential is the one that stood under the cursor when the question came up; what moves
//! behind the question no longer matters.

use super::keymap::Key;
use super::text::{REPLACED, clean};

/// The longest reason that the daemon takes. Unit: bytes.
const REASON_BYTES_MAX: usize = 1000;
/// The lengths of a suspension to choose from. Unit: seconds.
const LASTS_S: [u32; 5] = [300, 900, 3600, 86_400, 7 * 86_400];
/// Which of them is offered first: a quarter of an hour.
const LASTS_FIRST: usize = 1;

/// The order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Out of service for a while.
    Suspend,
    /// Out of service for good.
    Revoke,
    /// Back into service.
    Restore,
}

impl Verb {
    /// The verb of the API.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Revoke => "revoke",
            Self::Restore => "restore",
        }
    }
}

/// An order that was confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// What.
    pub(super) verb: Verb,
    /// About whom, `kind:id`.
    pub(super) name: String,
    /// Why.
    pub(super) reason: String,
    /// For how long. Unit: seconds.
    pub(super) lasts_s: Option<u32>,
}

/// The effect of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The question stands.
    Open,
    /// Nothing is ordered.
    No,
    /// It is ordered.
    Yes(Order),
}

/// The question.
#[derive(Clone, Debug)]
pub(super) struct Confirm {
    /// The question.
    pub(super) verb: Verb,
    /// About whom, `kind:id`, as the daemon knows it.
    pub(super) name: String,
    /// Why, so far.
    pub(super) reason: String,
    /// The id as typed, so far.
    pub(super) typed: String,
    /// Whether the id is being typed, and not the reason.
    pub(super) at_id: bool,
    /// The mistake.
    pub(super) amiss: Option<&'static str>,
    lasts: usize,
}

impl Confirm {
    /// Asks.
    pub(super) fn new(verb: Verb, name: String) -> Self {
        Self {
            verb,
            name,
            reason: String::new(),
            typed: String::new(),
            at_id: false,
            amiss: None,
            lasts: LASTS_FIRST,
        }
    }

    /// The id alone, as people see it.
    pub(super) fn id(&self) -> String {
        clean(self.name.split_once(':').map_or(&*self.name, |(_, id)| id))
    }

    /// Whether the id has to be typed.
    pub(super) fn asks_for_id(&self) -> bool {
        self.verb == Verb::Revoke
    }

    /// For how long, where it is a suspension. Unit: seconds.
    pub(super) fn lasts_s(&self) -> Option<u32> {
        let lasts = LASTS_S.get(self.lasts).copied();
        lasts.filter(|_| self.verb == Verb::Suspend)
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: Key) -> Answer {
        self.amiss = None;
        match key {
            Key::Esc | Key::Interrupt => return Answer::No,
            Key::Enter => return self.enter(),
            Key::Tab | Key::BackTab => self.at_id = self.asks_for_id() && !self.at_id,
            Key::Up | Key::PageUp if self.verb == Verb::Suspend => {
                self.lasts = (self.lasts + 1).min(LASTS_S.len() - 1);
            }
            Key::Down | Key::PageDown if self.verb == Verb::Suspend => {
                self.lasts = self.lasts.saturating_sub(1);
            }
            Key::Up => self.at_id = false,
            Key::Down => self.at_id = self.asks_for_id(),
            Key::Char(char) => self.write(char),
            Key::Backspace => {
                self.field().pop();
            }
            Key::Clear => self.field().clear(),
            Key::PageUp | Key::PageDown | Key::Home | Key::End => {}
        }
        Answer::Open
    }

    /// Takes what was pasted.
    pub(super) fn paste(&mut self, text: &str) {
        text.trim().chars().for_each(|char| self.write(char));
    }

    fn field(&mut self) -> &mut String {
        if self.at_id { &mut self.typed } else { &mut self.reason }
    }

    fn write(&mut self, char: char) {
        let char = if char.is_whitespace() { ' ' } else { char };
        let field = self.field();
        // The daemon takes no reason in which a character is not to be seen.
        let seen = clean(char.encode_utf8(&mut [0; 4])) != REPLACED.to_string();
        if seen && field.len() + char.len_utf8() <= REASON_BYTES_MAX {
            field.push(char);
        }
    }

    fn enter(&mut self) -> Answer {
        if self.reason.trim().is_empty() {
            (self.at_id, self.amiss) =
                (false, Some("give a reason: it is recorded in the audit log"));
            return Answer::Open;
        }
        if self.asks_for_id() && !self.at_id && self.typed.is_empty() {
            self.at_id = true;
            return Answer::Open;
        }
        // Characters that can't be shown can't be typed either; `?` stands for them.
        let wanted = self.id().replace(REPLACED, "?");
        if self.asks_for_id() && self.typed.trim() != wanted.trim() {
            (self.at_id, self.amiss) = (true, Some("that is not its id: nothing was ordered"));
            return Answer::Open;
        }
        Answer::Yes(Order {
            verb: self.verb,
            name: self.name.clone(),
            reason: self.reason.trim().to_owned(),
            lasts_s: self.lasts_s(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(confirm: &mut Confirm, text: &str) {
        for char in text.chars() {
            assert_eq!(confirm.key(Key::Char(char)), Answer::Open);
        }
    }

    #[test]
    fn a_revocation_needs_a_reason_and_the_id_typed() {
        let mut confirm = Confirm::new(Verb::Revoke, "api_key:key_1".to_owned());
        assert_eq!(confirm.key(Key::Enter), Answer::Open);
        assert!(confirm.amiss.is_some_and(|amiss| amiss.contains("give a reason")));
        write(&mut confirm, "leaked ");
        assert_eq!(confirm.key(Key::Enter), Answer::Open);
        assert!(confirm.at_id);
        write(&mut confirm, "key_2");
        assert_eq!(confirm.key(Key::Enter), Answer::Open);
        assert!(confirm.amiss.is_some_and(|amiss| amiss.contains("not its id")));
        confirm.key(Key::Backspace);
        write(&mut confirm, "1");
        let Answer::Yes(order) = confirm.key(Key::Enter) else { panic!("not confirmed") };
        assert_eq!((&*order.name, &*order.reason), ("api_key:key_1", "leaked"));
        assert_eq!((order.verb, order.lasts_s), (Verb::Revoke, None));
    }

    #[test]
    fn a_suspension_lasts_a_quarter_of_an_hour_unless_chosen_otherwise() {
        let mut confirm = Confirm::new(Verb::Suspend, "jwt:j".to_owned());
        assert_eq!(confirm.lasts_s(), Some(900));
        confirm.key(Key::Up);
        assert_eq!(confirm.lasts_s(), Some(3600));
        for _ in 0..9 {
            confirm.key(Key::Down);
        }
        assert_eq!(confirm.lasts_s(), Some(300));
        confirm.paste(" why\nnot\u{1b}\u{202e} ");
        let Answer::Yes(order) = confirm.key(Key::Enter) else { panic!("not confirmed") };
        assert_eq!((&*order.reason, order.lasts_s), ("why not", Some(300)));
    }

    #[test]
    fn a_character_of_the_id_that_is_not_shown_is_typed_as_a_question_mark() {
        let mut confirm = Confirm::new(Verb::Revoke, "api_key:a\u{202e}b".to_owned());
        confirm.paste("why");
        confirm.key(Key::Tab);
        confirm.paste("a?b");
        assert!(
            matches!(confirm.key(Key::Enter), Answer::Yes(order) if order.name == "api_key:a\u{202e}b")
        );
    }

    #[test]
    fn escape_orders_nothing() {
        let mut confirm = Confirm::new(Verb::Restore, "jwt:j".to_owned());
        confirm.paste("why");
        assert_eq!(confirm.key(Key::Esc), Answer::No);
    }
}
