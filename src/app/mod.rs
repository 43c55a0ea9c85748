//! Assembly: settings, the daemon, and one file a command.
//!
//! **Does not** decide or detect anything itself.
#![expect(clippy::disallowed_methods, reason = "commands read files, the clock, the environment")]

pub mod budget;
pub mod cli;
pub mod client;
pub mod credentials;
pub mod daemon;
pub mod decisions;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod findings;
pub mod format;
pub mod generate;
pub mod health;
pub mod journal;
pub mod notify;
pub mod rekey;
pub mod reload;
pub mod replay;
pub mod run;
pub mod scenario;
pub mod settings;
pub mod support;
pub mod tenants;
pub mod top;
pub mod trial;

mod words;

use crate::wire::plain::printed;
use exit::Exit;
use std::error::Error;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a result could not be written, so that a command must not end as if it had been.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Says a result on standard output. A reader that went away is no fault.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{}", printed(text.trim_end())).and_then(|()| out.flush());
    note_written(written);
}

/// Notes what became of a result on standard output.
pub fn note_written(written: std::io::Result<()>) {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            if !UNWRITTEN.swap(true, Ordering::Relaxed) {
                say_problem(&format!("standard output can't be written: {error}"));
            }
        }
        Ok(()) | Err(_) => {}
    }
}

/// How a command ends: not well, if its result could not be written.
pub fn ended(exit: Exit) -> Exit {
    let is_unwritten = UNWRITTEN.load(Ordering::Relaxed);
    if is_unwritten && exit == Exit::Good { Exit::Findings } else { exit }
}

/// Writes to standard error, next to the result.
fn say_aside(text: &str) {
    let mut out = std::io::stderr().lock();
    let _gone = writeln!(out, "{}", printed(text.trim_end()));
}

/// Says what went wrong on standard error.
fn say_problem(text: &str) {
    say_aside(&format!("tripline: {text}"));
}

/// Says an error and what caused it.
fn say_error(error: &dyn Error) {
    say_problem(&in_full(error));
}

/// An error and what caused it.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
