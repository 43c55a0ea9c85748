//! Colours and weights. Words repeat the meaning of each colour; without colours only weights
//! are left.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    /// Whether there are colours.
    pub(super) colour: bool,
}

impl Theme {
    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// An issue for a person.
    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A value that differs from the usual.
    pub(super) fn odd(self) -> Style {
        self.coloured(Color::Yellow)
    }

    /// An anchor for the eye: keys, names of tabs.
    pub(super) fn lead(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Secondary text: dim rather than grey, which some colour schemes make invisible.
    pub(super) fn quiet() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// A finding that has ended.
    pub(super) fn banner(self) -> Style {
        self.bad().add_modifier(Modifier::REVERSED)
    }

    /// The row under the cursor.
    pub(super) fn cursor() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A status, or an action.
    pub(super) fn of_status(self, status: &str) -> Style {
        match status {
            "revoked" | "suspended" | "revoke" | "suspend" => self.bad(),
            "throttled" | "throttle" | "alert" => self.odd(),
            _ => Style::new(),
        }
    }
}
