//! `tripline journal`: whether it is whole.

use super::exit::Exit;
use super::output::{print_error, print_out, print_problem};
use crate::adapters::journal::audit_log;
use clap::Subcommand;
use std::path::{Path, PathBuf};

/// Actions on the journal.
#[derive(Debug, Subcommand)]
pub enum Journal {
    /// Verify the hash chain of the whole journal: report lines that were changed, removed,
    /// inserted or cut off. Needs no daemon, and works while one runs. Exit code 1 if the journal
    /// is not intact.
    Verify {
        /// The data folder, or the journal's newest file in it.
        #[arg(default_value = "tripline-data")]
        path: PathBuf,
        /// `LINES:HASH` of an earlier run of this command, kept elsewhere: detects lines that were
        /// cut off since then, even if the whole folder was replaced.
        #[arg(long)]
        head: Option<String>,
    },
}

/// Runs `tripline journal …`.
pub fn run(command: &Journal) -> Exit {
    match command {
        Journal::Verify { path, head } => verify(path, head.as_deref()),
    }
}

fn verify(named: &Path, head: Option<&str>) -> Exit {
    let path = if named.is_dir() { named.join("journal.ndjson") } else { named.to_owned() };
    let head = match head.map(audit_log::parse_head) {
        Some(None) => {
            print_problem("--head is LINES:HASH, as an earlier run of this command printed");
            return Exit::Usage;
        }
        Some(Some(head)) => Some(head),
        None => None,
    };
    match audit_log::verify(&path, head.as_ref()) {
        Ok(found) => {
            if found.torn_bytes > 0 {
                print_problem(&format!(
                    "the last line is torn ({} bytes), as after a crash or while it is written; \
                     it has no effect, and the next start cuts it off",
                    found.torn_bytes
                ));
            }
            let lines = counted(found.lines, "line");
            let files = counted(found.files as u64, "file");
            print_out(&format!(
                "{}: {lines} in {files}, each chained to the one before; head {}:{}",
                named.display(),
                found.lines,
                found.head
            ));
            Exit::Good
        }
        Err(error) => {
            print_error(&error);
            Exit::Findings
        }
    }
}

/// A count with its word: `1 file`, `2 files`.
fn counted(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
