//! The file of the ledger: what was counted survives a restart.
//!
//! It is replaced whole, so that a crash leaves the old one or the new one. A damaged file proves
//! nothing: tripline says so, keeps it aside, and counts again, which fails towards not acting.

use crate::control_plane::policy::false_alarms::Cohorts;
use crate::control_plane::policy::ledger::Ledger;
use crate::formats::storage::budget::{self, LedgerError};
use crate::model::time::EventTime;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How often it is written where something changed. Unit: milliseconds. Chosen: what a crash costs
/// is at most the proof of a minute.
const EVERY_MS: i64 = 60_000;

/// An error of reading the budget counts.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("can't be read")]
    Io(#[from] std::io::Error),
    #[error("is damaged")]
    Damaged(#[from] LedgerError),
}

/// The file of the ledger, and what it holds.
#[derive(Debug)]
pub struct BudgetStore {
    path: PathBuf,
    written: u64,
    due: Option<EventTime>,
    failed: bool,
}

impl BudgetStore {
    /// Reads the ledger at `path`; an empty one where there is none or it is damaged.
    pub fn open(path: &Path) -> (Self, Ledger) {
        let ledger = match read(path) {
            Ok(cohorts) => Ledger::of(cohorts.unwrap_or_default()),
            Err(error) => {
                let aside = path.with_extension("json.damaged");
                let kept = std::fs::rename(path, &aside).is_ok();
                tracing::error!(
                    path = %path.display(), error = %error,
                    cause = ?std::error::Error::source(&error),
                    kept_as = kept.then(|| aside.display().to_string()),
                    "the budget ledger is unusable; a new one begins, so nothing is proven yet \
                     and actions above alert are held back"
                );
                Ledger::default()
            }
        };
        let file =
            Self { path: path.to_owned(), written: ledger.revision(), due: None, failed: false };
        (file, ledger)
    }

    /// Writes the ledger if it changed and its minute is over; false if that failed.
    pub fn keep(&mut self, ledger: &Ledger, now: EventTime) -> bool {
        if ledger.revision() == self.written {
            return true;
        }
        let due = *self.due.get_or_insert(now.plus_ms(EVERY_MS));
        now < due || self.write(ledger)
    }

    /// Writes the ledger if it changed; false if that failed.
    pub fn write(&mut self, ledger: &Ledger) -> bool {
        if ledger.revision() == self.written {
            return true;
        }
        self.due = None;
        let replaced = replace(&self.path, &budget::encode(&ledger.to_write_down()));
        match &replaced {
            Ok(()) => self.written = ledger.revision(),
            Err(error) if !self.failed => tracing::error!(
                path = %self.path.display(), error = %error,
                "can't write the budget ledger; a restart would lose what was proven since"
            ),
            Err(_) => {}
        }
        self.failed = replaced.is_err();
        !self.failed
    }
}

fn read(path: &Path) -> Result<Option<Cohorts>, ReadError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(budget::decode(&text)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts `text` in the place of what the file held; on disk when it returns.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("json.new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{BudgetStore, EVERY_MS};
    use crate::control_plane::policy::ledger::Ledger;
    use crate::model::credential::Kind;
    use crate::model::signal::HoursOfUse;
    use crate::model::time::EventTime;

    fn used(hours: u64) -> HoursOfUse {
        HoursOfUse::from([((Kind::ApiKey, None), hours)])
    }

    fn hours(ledger: &Ledger) -> u64 {
        ledger.cohort(Kind::ApiKey).untenanted.hours
    }

    #[test]
    fn a_ledger_is_written_once_a_minute_and_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.json");
        let (mut file, mut ledger) = BudgetStore::open(&path);
        let at = |ms| EventTime::from_ms(1_700_000_000_000 + ms);
        assert!(file.keep(&ledger, at(0)) && !path.exists(), "nothing changed");
        ledger.add_hours(&used(7));
        assert!(file.keep(&ledger, at(0)) && file.keep(&ledger, at(EVERY_MS - 1)));
        assert!(!path.exists(), "its minute is not over");
        assert!(file.keep(&ledger, at(EVERY_MS)));
        assert_eq!(hours(&BudgetStore::open(&path).1), 7);
        ledger.add_hours(&used(1));
        assert!(file.write(&ledger));
        assert_eq!(hours(&BudgetStore::open(&path).1), 8);
    }

    #[test]
    fn a_damaged_ledger_is_kept_aside_and_proves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.json");
        std::fs::write(&path, "{\"version\":1,\"coh").expect("writes");
        let (mut file, mut ledger) = BudgetStore::open(&path);
        assert_eq!(hours(&ledger), 0);
        assert!(folder.path().join("ledger.json.damaged").exists());
        ledger.add_hours(&used(1));
        assert!(file.write(&ledger));
        assert_eq!(hours(&BudgetStore::open(&path).1), 1);
    }

    #[test]
    fn a_disk_that_fails_is_told_and_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gone").join("ledger.json");
        let (mut file, mut ledger) = BudgetStore::open(&path);
        ledger.add_hours(&used(1));
        assert!(!file.write(&ledger));
        std::fs::create_dir(folder.path().join("gone")).expect("a folder");
        assert!(file.write(&ledger));
    }
}
