//! The files of a journal: the one that is written, and those that were full.
//!
//! ```text
//! journal-00000000000000000001.ndjson   full: named after its first line
//! journal-00000000000000081920.ndjson   full
//! journal.ndjson                        written
//! journal.lock                          held by the process that writes
//! journal.db                            the index, recreated from the files where it is missing
//! ```
//! The chain of hashes runs through all of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file of a journal, and the number of its first line; none for the one that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) first: Option<u64>,
}

/// Where the index of the journal at `path` is.
pub(super) fn index_of(path: &Path) -> PathBuf {
    path.with_extension("db")
}

/// Where the lock of the journal at `path` is.
pub(super) fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

/// The name of the file at `path` once it is full.
pub(super) fn full(path: &Path, first: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{first:020}.ndjson"))
}

/// All files of the journal at `path`, oldest first; the one that is written comes last, whether
/// or not it is there.
pub(super) fn segments(path: &Path) -> io::Result<Vec<Segment>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let prefix = format!("{stem}-");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_prefix(&prefix).and_then(|name| name.strip_suffix(".ndjson"));
        if let Some(first) = number.and_then(|number| number.parse().ok()) {
            found.push(Segment { path, first: Some(first) });
        }
    }
    found.sort_by_key(|segment| segment.first);
    found.push(Segment { path: path.to_owned(), first: None });
    Ok(found)
}

/// Opens the file that is written, readable by its owner alone.
pub(super) fn open_active(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).append(true).create(true).mode(0o600).open(path)
}

/// Makes durable which files the folder of `path` has.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
