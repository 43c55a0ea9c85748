//! The files of one source: which there are, and from where on each is read.
//!
//! | what happens to a file | what its source does |
//! |---|---|
//! | it is renamed | follows it under its new name, or, where that is none of the source's, until it is quiet |
//! | it is emptied, or overwritten | begins again; the rest of the old content is read from a copy, if there is one |
//! | it is copied or packed | knows the copy by its beginning, and reads only what was not read of the original |

use super::follower::{Follower, OpenFile};
use super::identity::FileNumber;
use super::params::Params;
use super::positions::Position;
use crate::adapters::sources::start::Start;
use crate::data_plane::batch::HashSeed;
use crate::model::time::EventTime;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The most files that one source follows at once. Chosen: each is looked at several times a second.
const FILES_MAX: usize = 1_000;
/// For how long a file that has no name of the source's any more is read on. Unit: milliseconds. Chosen: servers
/// reopen their logs within seconds of a rotation.
const QUIET_MS: i64 = 60_000;
/// How often one fault of one file is in the log. Unit: milliseconds.
const FAULT_EVERY_MS: i64 = 60_000;

/// The files of one source.
#[derive(Debug)]
pub struct SourceFiles {
    /// The source.
    pub name: String,
    /// Which files, and how their lines are read.
    pub params: Params,
    seed: HashSeed,
    /// Those that are followed.
    pub followers: Vec<Follower>,
    /// How far files were read that are not followed now, newest last.
    past: Vec<Position>,
    /// Whether nothing was known of any file.
    is_new: bool,
    /// When a fault of a file was last in the log.
    faults: HashMap<PathBuf, EventTime>,
    /// Packed files that were read, and files that are no files of records.
    done: BTreeMap<FileNumber, SystemTime>,
}

impl SourceFiles {
    /// The files of that source, of which these positions are known.
    pub fn new(name: &str, params: Params, known: &[Position], seed: HashSeed) -> Self {
        Self {
            name: name.to_owned(),
            params,
            seed,
            followers: Vec::new(),
            past: known.to_vec(),
            is_new: known.is_empty(),
            faults: HashMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// Looks which files there are; returns how many can't be read.
    pub fn discover(&mut self, now: EventTime) -> u64 {
        let mut faults = 0;
        let mut seen = Vec::new();
        let mut found = Vec::new();
        for pattern in self.params.paths.clone() {
            let (names, fault) = match list(pattern.folder(), |name| pattern.has(name)) {
                Ok(names) => (names, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            if let Some(error) = fault {
                faults += 1;
                self.report(pattern.folder(), &error, now);
            } else if names.is_empty() {
                let none = io::Error::new(io::ErrorKind::NotFound, "there is no such file yet");
                self.report(Path::new(pattern.as_str()), &none, now);
            }
            found.extend(names);
        }
        // The oldest first, so that rotated files come in the order of their times.
        found.sort_by_key(|(modified, path, _)| (*modified, path.clone()));
        for (modified, path, number) in found {
            seen.push(number);
            if let Some(follower) =
                self.followers.iter_mut().find(|one| one.position.file == number)
            {
                (follower.path, follower.gone_since) = (path, None);
                continue;
            }
            if self.done.get(&number) == Some(&modified) || self.followers.len() >= FILES_MAX {
                continue;
            }
            if let Err(error) = self.follow(&path, (number, modified)) {
                faults += 1;
                self.report(&path, &error, now);
            }
        }
        self.is_new = false;
        for follower in &mut self.followers {
            if !seen.contains(&follower.position.file) {
                follower.gone_since.get_or_insert(now);
            }
        }
        faults
    }

    /// Begins to follow a file, unless it is a copy of one that is followed.
    fn follow(
        &mut self,
        path: &Path,
        (number, modified): (FileNumber, SystemTime),
    ) -> io::Result<()> {
        let file = OpenFile::open(path)?;
        let position = match self.known(&file) {
            Known::Copy => return Ok(()),
            Known::At(position) => position,
            Known::Not => {
                let at = if self.is_new && self.params.start == Start::Latest && !file.is_packed() {
                    file.bytes()?
                } else {
                    0
                };
                let generation = self.generation(file.number);
                Position { file: file.number, generation, head: file.head(self.seed), at, to: None }
            }
        };
        if file.number != number {
            // Another one took its name meanwhile.
            return Ok(());
        }
        if file.is_packed() {
            self.done.insert(number, modified);
        }
        self.followers.push(Follower::new(path.to_owned(), file, position));
        Ok(())
    }

    /// A generation that the file of that number did not have yet.
    fn generation(&self, number: FileNumber) -> u32 {
        let of_number = self.past.iter().filter(|position| position.file == number);
        of_number.map(|position| position.generation.wrapping_add(1)).max().unwrap_or(0)
    }

    /// What is known of a file's content.
    fn known(&mut self, file: &OpenFile) -> Known {
        let is_same = |position: &Position, seed| {
            file.begins_as(position.head, seed)
                && (position.file == file.number || position.head.knows_copies())
        };
        let is_followed = self.followers.iter().any(|one| {
            one.position.head.knows_copies() && file.begins_as(one.position.head, self.seed)
        });
        if is_followed {
            return Known::Copy;
        }
        let Some(at) = self.past.iter().rposition(|position| is_same(position, self.seed)) else {
            return Known::Not;
        };
        let position = self.past.remove(at);
        if position.file == file.number {
            return Known::At(position);
        }
        // What is read of it is that file's from now on.
        let generation = self.generation(file.number);
        Known::At(Position { file: file.number, generation, ..position })
    }

    /// Finds the files that were read before a restart and have another name since.
    pub fn find_renamed(&mut self) {
        let folders: BTreeSet<PathBuf> =
            self.params.paths.iter().map(|pattern| pattern.folder().to_owned()).collect();
        for folder in folders {
            for (modified, path, number) in list(&folder, |_| true).unwrap_or_default() {
                let was_read = self.past.iter().any(|position| position.file == number);
                let is_followed = self.followers.iter().any(|one| one.position.file == number);
                if was_read && !is_followed {
                    // One that can't be read is as one that is gone.
                    let _gone = self.follow(&path, (number, modified));
                }
            }
        }
    }

    /// Follows a file no longer; what was read of it is remembered.
    pub fn end(&mut self, at: usize) {
        let follower = self.followers.swap_remove(at);
        self.remember(follower.position);
    }

    /// Remembers how far a file was read that is not followed now.
    pub fn remember(&mut self, position: Position) {
        self.past.push(position);
        if self.past.len() > FILES_MAX {
            self.past.remove(0);
        }
    }

    /// Whether a file has been quiet for so long, without a name of the source's, that it is done with.
    pub fn is_quiet(follower: &Follower, now: EventTime) -> bool {
        follower.gone_since.is_some_and(|since| now.ms_since(since) >= QUIET_MS)
    }

    /// Says in the log that a file can't be read, once a minute.
    pub fn report(&mut self, path: &Path, error: &io::Error, now: EventTime) {
        let last = self.faults.get(path);
        if last.is_some_and(|last| now.ms_since(*last) < FAULT_EVERY_MS) {
            return;
        }
        if self.faults.len() >= FILES_MAX {
            self.faults.clear();
        }
        self.faults.insert(path.to_owned(), now);
        tracing::warn!(source = %self.name, file = %path.display(), %error, "can't read a file of events");
    }
}

enum Known {
    /// A file that is followed has the same content.
    Copy,
    /// It was read up to there.
    At(Position),
    /// Nothing.
    Not,
}

/// The regular files of a folder whose names fit.
fn list(
    folder: &Path,
    fits: impl Fn(&str) -> bool,
) -> io::Result<Vec<(SystemTime, PathBuf, FileNumber)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(&fits) {
            continue;
        }
        // One that vanished meanwhile is no fault.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        files.push((metadata.modified()?, entry.path(), FileNumber::of(&metadata)));
    }
    Ok(files)
}
