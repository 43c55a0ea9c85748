//! The journal: what is appended is there, and whatever happened to the file is noticed.

use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tripline::adapters::journal::audit_log::{Journal, JournalScan, verify};
use tripline::adapters::journal::error::JournalError;
use tripline::formats::storage::journal::{Entry, StoreReceipt};
use tripline::model::credential::Credential;
use tripline::model::decision::{DecisionId, Generation, Order, Receipt};
use tripline::model::time::EventTime;

fn entry(number: u64) -> Entry {
    let credential = Credential::parse("key \"1\"\u{2028}ü").expect("valid");
    let at = EventTime::from_ms(1_795_460_040_123);
    Entry::Receipt(StoreReceipt {
        decision: DecisionId::of(&credential, Generation(number), at, (None, Order::Restore)),
        store: "redis".to_owned(),
        receipt: Receipt::Applied,
        at,
    })
}

fn open(path: &Path) -> Result<(Journal, JournalScan, Vec<Entry>), JournalError> {
    let mut seen = Vec::new();
    let (journal, found) = Journal::open(path, 1 << 30, |entry| seen.push(entry))?;
    Ok((journal, found, seen))
}

fn written(entries: u64) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.ndjson");
    let (mut journal, ..) = open(&path).expect("opens");
    journal.append(&(0..entries / 2).map(entry).collect::<Vec<_>>()).expect("appends");
    journal.append(&(entries / 2..entries).map(entry).collect::<Vec<_>>()).expect("appends");
    (folder, path)
}

#[test]
fn what_was_appended_is_there_after_a_restart_and_the_chain_goes_on() {
    let (_folder, path) = written(4);
    let (mut journal, found, seen) = open(&path).expect("opens");
    assert_eq!((found.lines, found.torn_bytes, found.files), (4, 0, 1));
    assert_eq!(seen, (0..4).map(entry).collect::<Vec<_>>());
    journal.append(&[entry(4)]).expect("appends");
    drop(journal);
    assert_eq!(verify(&path, None).expect("whole").lines, 5);
}

#[test]
fn a_last_line_torn_anywhere_is_cut_off_and_reported() {
    let (_folder, path) = written(3);
    let whole = std::fs::read(&path).expect("reads");
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').expect("lines") + 1;
    for cut in last..whole.len() {
        std::fs::write(&path, &whole[..cut]).expect("writes");
        // A line that was torn by a crash was never told to the index.
        std::fs::remove_file(path.with_extension("db")).expect("an index");
        let (mut journal, found, seen) = open(&path).expect("repairs");
        assert_eq!((found.lines, found.torn_bytes), (2, (cut - last) as u64));
        assert_eq!(seen.len(), 2);
        journal.append(&[entry(9)]).expect("goes on");
        drop(journal);
        assert_eq!(verify(&path, None).expect("whole").lines, 3);
    }
}

#[test]
fn a_line_that_was_changed_left_out_or_moved_is_named() {
    let (_folder, path) = written(4);
    let text = std::fs::read_to_string(&path).expect("reads");
    let lines: Vec<&str> = text.lines().collect();
    let changed = lines[1].replace("redis", "other");
    for (name, broken, at) in [
        ("changed", vec![lines[0], &changed, lines[2], lines[3]], 2),
        ("left out", vec![lines[0], lines[2], lines[3]], 2),
        ("moved", vec![lines[0], lines[2], lines[1], lines[3]], 2),
        ("first gone", vec![lines[1], lines[2]], 1),
        ("doubled", vec![lines[0], lines[0], lines[1]], 2),
    ] {
        std::fs::write(&path, format!("{}\n", broken.join("\n"))).expect("writes");
        let error = open(&path).expect_err(name);
        assert!(
            matches!(error, JournalError::Broken { line, .. } if line == at),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_journal_has_one_owner() {
    let (_folder, path) = written(1);
    let (_journal, ..) = open(&path).expect("opens");
    let error = open(&path).expect_err("is in use");
    assert!(error.to_string().contains("in use by another tripline"), "{error}");
}

#[test]
fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = written(1);
    let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn lines_that_were_cut_off_at_the_end_are_missed() {
    let (_folder, path) = written(4);
    let whole = std::fs::read(&path).expect("reads");
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').expect("lines") + 1;
    std::fs::write(&path, &whole[..last]).expect("writes");
    for error in [open(&path).expect_err("is cut"), verify(&path, None).expect_err("is cut")] {
        assert!(matches!(error, JournalError::Truncated { has: 3, knew: 4, .. }), "{error}");
    }
}

#[test]
fn a_journal_that_was_made_up_whole_is_known_by_its_index() {
    let (_folder, path) = written(4);
    let other = tempfile::tempdir().expect("a folder");
    let made_up = other.path().join("journal.ndjson");
    let (mut journal, ..) = open(&made_up).expect("opens");
    journal.append(&(5..10).map(entry).collect::<Vec<_>>()).expect("appends");
    std::fs::copy(&made_up, &path).expect("copies");
    let error = verify(&path, None).expect_err("is another");
    assert!(matches!(error, JournalError::Replaced { line: 4, .. }), "{error}");
}

#[test]
fn a_full_file_gives_way_to_the_next_and_the_chain_runs_through_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.ndjson");
    let (mut journal, _) = Journal::open(&path, 1000, |_| {}).expect("opens");
    for number in 0..20 {
        journal.append(&[entry(number)]).expect("appends");
    }
    drop(journal);
    let found = verify(&path, None).expect("whole");
    assert!(found.lines == 20 && found.files > 3, "{found:?}");
    let (_journal, found, seen) = open(&path).expect("opens");
    assert_eq!((found.lines, seen.len()), (20, 20));
    let full = std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|one| one.path());
    let full: Vec<PathBuf> = full
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().contains("-0000")))
        .collect();
    std::fs::remove_file(&full[0]).expect("removes");
    assert!(matches!(verify(&path, None), Err(JournalError::Broken { .. })), "a gap is found");
}
