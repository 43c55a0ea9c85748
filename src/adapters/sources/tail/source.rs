//! The files of one source: which there are, and from where on each is read.
//!
//! | what happens to a file | what its source does |
//! |---|---|
//! | it is renamed | follows it under its new name, or, where that is none of the source's, until it is quiet |
//! | it is emptied, or overwritten | begins again; the rest of the old content is read from a copy, if there is one |
//! | it is copied or packed | knows the copy, and reads only what was not read of the original |

use super::follower::{Follower, OpenFile};
use super::identity::FileNumber;
use super::params::Params;
use super::positions::{self, Position};
use crate::adapters::sources::start::Start;
use crate::data_plane::batch::HashSeed;
use crate::model::time::EventTime;
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The most files that one source follows at once, the newest ones. Chosen: each is looked at several times a second.
const FILES_MAX: usize = 1_000;
/// For how long a file that has no name of the source's any more must not have grown. Unit: milliseconds. Chosen:
/// servers reopen their logs within seconds of a rotation.
const QUIET_MS: i64 = 60_000;
/// How often one fault of one file is in the log. Unit: milliseconds.
const FAULT_EVERY_MS: i64 = 60_000;

/// When a file was last written to, and how long it was.
type FileState = (SystemTime, u64);

/// A file of a folder.
struct Entry {
    path: PathBuf,
    number: FileNumber,
    state: FileState,
}

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
    /// Files that are not to be opened again until they change: packed ones that were read, or could not be.
    done: HashMap<FileNumber, FileState>,
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
            done: HashMap::new(),
        }
    }

    /// Looks which files there are, and which were emptied; returns the positions of those that are followed from now
    /// on or begin again, and how many can't be read.
    pub fn discover(&mut self, now: EventTime) -> (Vec<Position>, u64) {
        // Before their copies are looked at.
        let mut begun = self.begin_emptied_again(now);
        let (mut entries, mut faults) = (Vec::new(), 0);
        for pattern in self.params.paths.clone() {
            match list(pattern.folder(), |name| pattern.has(name)) {
                Ok(found) => entries.extend(found),
                Err(error) => {
                    faults += 1;
                    self.report(pattern.folder(), &error, now);
                }
            }
        }
        if entries.is_empty() && faults == 0 {
            faults += 1;
            let none = io::Error::new(io::ErrorKind::NotFound, "no file has such a name yet");
            let first = self.params.paths.first().map_or("", |pattern| pattern.as_str()).to_owned();
            self.report(Path::new(&first), &none, now);
        }
        // The oldest first, so that rotated files come in the order of their times.
        entries.sort_by(|a, b| (a.state.0, &a.path).cmp(&(b.state.0, &b.path)));
        if entries.len() > FILES_MAX {
            faults += 1;
            let left_out = entries.len() - FILES_MAX;
            let many = io::Error::other(format!("{left_out} older files are left out: too many"));
            self.report(Path::new("*"), &many, now);
            entries.drain(..left_out);
        }
        let followed: HashMap<FileNumber, usize> =
            self.followers.iter().map(|one| one.position.file).zip(0..).collect();
        let mut named = HashSet::new();
        for entry in entries {
            named.insert(entry.number);
            if let Some(follower) =
                followed.get(&entry.number).and_then(|at| self.followers.get_mut(*at))
            {
                (follower.path, follower.is_named) = (entry.path, true);
                continue;
            }
            if self.done.get(&entry.number) == Some(&entry.state) {
                continue;
            }
            match self.follow(&entry, now) {
                Ok(position) => begun.extend(position),
                Err(error) => {
                    faults += 1;
                    self.report(&entry.path, &error, now);
                }
            }
        }
        self.is_new = false;
        for follower in &mut self.followers {
            if follower.is_named && !named.contains(&follower.position.file) {
                (follower.is_named, follower.grew_at) = (false, now);
            }
        }
        (begun, faults)
    }

    /// Finds the files that were read before a restart and have another name since; returns the positions of those
    /// that are followed from now on.
    pub fn find_renamed(&mut self, now: EventTime) -> Vec<Position> {
        let folders: BTreeSet<PathBuf> =
            self.params.paths.iter().map(|pattern| pattern.folder().to_owned()).collect();
        let mut begun = Vec::new();
        for folder in folders {
            for entry in list(&folder, |_| true).unwrap_or_default() {
                let was_read = self.past.iter().any(|position| position.file == entry.number);
                let is_followed =
                    self.followers.iter().any(|one| one.position.file == entry.number);
                if was_read && !is_followed {
                    // One that can't be read is as one that is gone.
                    begun.extend(self.follow(&entry, now).ok().flatten());
                }
            }
        }
        begun
    }

    /// Begins to follow a file, unless it is a copy of one that is followed.
    fn follow(&mut self, entry: &Entry, now: EventTime) -> io::Result<Option<Position>> {
        let file = OpenFile::open(&entry.path)?;
        if file.number != entry.number {
            // Another one took its name meanwhile.
            return Ok(None);
        }
        let is_latest = self.is_new && self.params.start == Start::Latest;
        let mut position = self.known(&file, true);
        if position.is_none() {
            let shared = self.followers.iter().map(|one| one.shared_with(&file, self.seed)).max();
            position = match shared.unwrap_or(0) {
                u64::MAX => return Ok(None),
                0 => self.known(&file, false),
                shared => Some(self.begin(&file, shared, now)),
            };
        }
        if position.is_none() && is_latest && file.is_packed() {
            self.done.insert(file.number, file.state);
            return Ok(None);
        }
        let at = if is_latest { file.bytes()? } else { 0 };
        let position = position.unwrap_or_else(|| self.begin(&file, at, now));
        if file.is_packed() {
            self.done.insert(file.number, file.state);
        }
        self.followers.push(Follower::new(entry.path.clone(), file, position, now));
        Ok(Some(position))
    }

    /// The first position of a file of which nothing is known.
    fn begin(&self, file: &OpenFile, at: u64, now: EventTime) -> Position {
        let generation = self.generation(file.number);
        let ms = now.ms().to_le_bytes();
        Position {
            file: file.number,
            generation,
            content: self.seed.hash_all(&[&file.number.bytes(), &generation.to_le_bytes(), &ms]),
            head: file.head(self.seed),
            at,
            last: file.bytes_before(at).map(|text| self.seed.hash_all(&[&text])),
            passing_over: file.is_within_line(at),
            to: None,
        }
    }

    /// A generation that the file of that number did not have yet.
    fn generation(&self, number: FileNumber) -> u32 {
        let of_number = self.past.iter().filter(|position| position.file == number);
        of_number.map(|position| position.generation.wrapping_add(1)).max().unwrap_or(0)
    }

    /// How far a file's content was read: of the file of that number, or of a copy under another one.
    fn known(&mut self, file: &OpenFile, by_number: bool) -> Option<Position> {
        let seed = self.seed;
        let is_it = |position: &Position| {
            if by_number {
                position.file == file.number && file.begins_as(position.head, seed)
            } else {
                file.is_copy_of(position, seed)
            }
        };
        let all = (0..).zip(&self.past).filter(|(_, position)| is_it(position));
        let rank = |position: &Position| {
            if by_number { u64::from(position.generation) } else { position.at }
        };
        let (at, _) = all.max_by_key(|(_, position)| rank(position))?;
        let position = self.past.remove(at);
        // What is read of it is that file's from now on.
        let generation = if by_number { position.generation } else { self.generation(file.number) };
        Some(Position { file: file.number, generation, ..position })
    }

    /// Follows a file no longer; what was read of it is remembered.
    pub fn end(&mut self, at: usize) {
        let follower = self.followers.swap_remove(at);
        self.remember(follower.position);
    }

    /// Begins again where files were emptied; returns their new positions.
    pub fn begin_emptied_again(&mut self, now: EventTime) -> Vec<Position> {
        let mut emptied = Vec::new();
        for follower in &mut self.followers {
            // One that can't be read is reported when it is read on.
            if follower.was_emptied(self.seed).unwrap_or(false) {
                let old = follower.begin_again(self.seed);
                follower.grew_at = now;
                emptied.push((old, follower.position));
            }
        }
        let mut begun = Vec::new();
        for (old, position) in emptied {
            self.remember(old);
            begun.push(position);
        }
        begun
    }

    /// Follows a file no longer until it changes: it can't be unpacked any further.
    pub fn give_up(&mut self, at: usize) {
        if let Some(follower) = self.followers.get(at) {
            self.done.insert(follower.position.file, follower.file().state);
        }
        self.end(at);
    }

    /// Remembers how far a file was read that is not followed now.
    pub fn remember(&mut self, position: Position) {
        if position.at == 0 && position.to.is_none() {
            return;
        }
        self.past.push(position);
        if self.past.len() > positions::FILES_MAX {
            self.past.remove(0);
        }
    }

    /// Whether a file without a name of the source's has not grown for so long that it is done with.
    pub fn is_quiet(follower: &Follower, now: EventTime) -> bool {
        !follower.is_named && now.ms_since(follower.grew_at) >= QUIET_MS
    }

    /// Reports in the log that a file can't be read, once a minute.
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

/// The entries of a folder whose names fit.
fn list(folder: &Path, fits: impl Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(&fits) {
            continue;
        }
        // One that vanished meanwhile is no fault.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        let state = (metadata.modified()?, metadata.len());
        entries.push(Entry { path: entry.path(), number: FileNumber::of(&metadata), state });
    }
    Ok(entries)
}
