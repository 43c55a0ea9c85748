//! Logs: pretty on a terminal, JSON otherwise; what is logged by `TRIPLINE_LOG`. Names and reasons of
//! others are in it, so what turns a line or hides is written out.

use crate::formats::printable::logged;
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that says what is logged, `info` or `tripline=debug` say.
pub const VARIABLE: &str = "TRIPLINE_LOG";

/// Starts logging to standard error; does nothing if it has begun.
pub fn start(default: &str) {
    let filter = |text: &str| text.parse::<Targets>().ok();
    let named = std::env::var(VARIABLE).ok().and_then(|text| filter(&text));
    let filter = named.or_else(|| filter(default)).unwrap_or_default();
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(|| Plain(io::stderr()));
    let terminal = io::stderr().is_terminal();
    // A second start in one process, as in tests, keeps the first.
    let _kept = if terminal {
        builder.with_target(false).compact().finish().with(filter).try_init()
    } else {
        builder.json().flatten_event(true).finish().with(filter).try_init()
    };
}

/// Writes plain text alone. A line comes as one piece.
struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(logged(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::Plain;
    use std::io::Write;

    #[test]
    fn a_log_shows_what_turns_its_lines() {
        let mut out = Plain(Vec::new());
        out.write_all("{\"by\":\"ed\u{202e}\u{9b}\"}\n".as_bytes()).expect("writes");
        assert_eq!(String::from_utf8_lossy(&out.0), "{\"by\":\"ed\\u202e\\u009b\"}\n");
    }
}
