//! Output of commands: results on standard output, errors on standard error.

use super::exit::Exit;
use crate::adapters::host::error_chain::error_chain;
use crate::formats::printable::printed;
use std::error::Error;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a result could not be written, so that a command must not end as if it had been.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Says a result on standard output. A reader that went away is no fault.
pub(super) fn print_out(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{}", printed(text.trim_end())).and_then(|()| out.flush());
    record_written(written);
}

/// Notes what became of a result on standard output.
pub fn record_written(written: std::io::Result<()>) {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            if !UNWRITTEN.swap(true, Ordering::Relaxed) {
                print_problem(&format!("standard output can't be written: {error}"));
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
pub(super) fn print_err(text: &str) {
    let mut out = std::io::stderr().lock();
    let _gone = writeln!(out, "{}", printed(text.trim_end()));
}

/// Says what went wrong on standard error.
pub(super) fn print_problem(text: &str) {
    print_err(&format!("tripline: {text}"));
}

/// Says an error and what caused it.
pub(super) fn print_error(error: &dyn Error) {
    print_problem(&error_chain(error));
}
