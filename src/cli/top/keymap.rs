//! The keys that mean something here.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A character.
    Char(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Shift and tab.
    BackTab,
    /// Backspace.
    Backspace,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    Home,
    /// To the last.
    End,
    /// Control and u: the line is emptied.
    Clear,
    /// Control and c: the end.
    Interrupt,
}

/// The key of an event; none where it means nothing here.
#[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has many keys without a meaning")]
pub(super) fn key_of(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        // A letter with one of them must not be taken for the letter: it may order something.
        return match event.code {
            KeyCode::Char('c') if event.modifiers == KeyModifiers::CONTROL => Some(Key::Interrupt),
            KeyCode::Char('u') if event.modifiers == KeyModifiers::CONTROL => Some(Key::Clear),
            KeyCode::Char(char) if event.modifiers == ALT_GR => Some(Key::Char(char)),
            _ => None,
        };
    }
    Some(match event.code {
        KeyCode::Char(char) => Key::Char(char),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

/// How some keyboards write `@` and the like.
const ALT_GR: KeyModifiers = KeyModifiers::CONTROL.union(KeyModifiers::ALT);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_with_control_or_alt_is_not_the_letter() {
        let key = |char, with| key_of(KeyEvent::new(KeyCode::Char(char), with));
        assert_eq!(key('X', KeyModifiers::SHIFT), Some(Key::Char('X')));
        assert_eq!(key('c', KeyModifiers::CONTROL), Some(Key::Interrupt));
        assert_eq!(key('x', KeyModifiers::CONTROL), None);
        assert_eq!(key('x', KeyModifiers::ALT), None);
        assert_eq!(key('@', ALT_GR), Some(Key::Char('@')));
    }

    #[test]
    fn a_key_that_is_let_go_is_no_key() {
        let code = KeyCode::Char('q');
        let let_go = KeyEvent::new_with_kind(code, KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(key_of(let_go), None);
    }
}
