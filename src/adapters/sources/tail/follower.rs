//! One file that is followed: plain, as it grows, or packed, once.

use super::identity::{FileNumber, HEAD_BYTES, Head, begin_of};
use super::lines::LongLine;
use super::positions::Position;
use crate::data_plane::batch::HashSeed;
use crate::model::time::EventTime;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How a packed file begins. Source: RFC 1952, 2.3.1.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// How much is read at once. Unit: bytes. Chosen: twice the longest line, so that one is in it whole.
pub const CHUNK_BYTES: usize = 2 << 20;

/// A file that can be read.
pub struct OpenFile {
    file: File,
    /// Unpacks from the beginning.
    packed: Option<Box<dyn Read + Send>>,
    begin: Vec<u8>,
    /// Its number.
    pub number: FileNumber,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Opens a regular file; anything else is an error: to open a pipe would wait for its writer.
fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok((file, metadata))
}

impl OpenFile {
    /// Opens a file, plain or packed by its first bytes.
    ///
    /// # Errors
    /// When it can't be opened or read, or is no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, metadata) = open_regular(path)?;
        let begin = begin_of(&file)?;
        let number = FileNumber::of(&metadata);
        if !begin.starts_with(GZIP) {
            return Ok(Self { file, packed: None, begin, number });
        }
        let mut unpacked = flate2::read::MultiGzDecoder::new(BufReader::new(File::open(path)?));
        let mut head = Vec::new();
        (&mut unpacked).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        let packed = io::Cursor::new(head.clone()).chain(unpacked);
        Ok(Self { file, packed: Some(Box::new(packed)), begin: head, number })
    }

    /// Whether it is packed: such a file is complete.
    pub const fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// Its beginning.
    pub fn head(&self, seed: HashSeed) -> Head {
        Head::of(&self.begin, seed)
    }

    /// Whether it begins so.
    pub fn begins_as(&self, head: Head, seed: HashSeed) -> bool {
        head.is_of(&self.begin, seed)
    }

    /// How long it is, as far as it is known without unpacking.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// A file that is followed.
#[derive(Debug)]
pub struct Follower {
    /// Where it is now.
    pub path: PathBuf,
    file: OpenFile,
    /// How far it was read.
    pub position: Position,
    /// The end of a line that was too long.
    pub long_line: LongLine,
    /// How much of a packed file was unpacked.
    unpacked: u64,
    /// What was unpacked and is not yet a whole line.
    held: Vec<u8>,
    /// Since when no name of the source leads to it.
    pub gone_since: Option<EventTime>,
    /// The time of its newest event.
    pub newest: EventTime,
}

/// A part of a file.
#[derive(Debug)]
pub struct Chunk {
    /// Where it begins. Unit: bytes.
    pub from: u64,
    /// Its bytes.
    pub text: Vec<u8>,
    /// Whether nothing follows it, ever.
    pub ended: bool,
}

impl Follower {
    /// Follows a file from a position on.
    pub fn new(path: PathBuf, file: OpenFile, position: Position) -> Self {
        let long_line = LongLine::default();
        Self {
            path,
            file,
            position,
            long_line,
            unpacked: 0,
            held: Vec::new(),
            gone_since: None,
            newest: EventTime::MIN,
        }
    }

    /// Whether the file begins otherwise than it did, or is shorter than what was read of it: it was emptied.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn was_emptied(&mut self, seed: HashSeed) -> io::Result<bool> {
        if self.file.is_packed() {
            return Ok(false);
        }
        let bytes = self.file.bytes()?;
        if bytes < self.position.at.max(self.position.to.unwrap_or(0)) {
            return Ok(true);
        }
        // One that has grown to the same length again begins otherwise.
        self.file.begin = begin_of(&self.file.file)?;
        if !self.file.begins_as(self.position.head, seed) {
            return Ok(true);
        }
        if self.position.head.is_short() {
            self.position.head = self.file.head(seed);
        }
        Ok(false)
    }

    /// How much there is that was not read. Unit: bytes; 0 for a packed file.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn unread(&self) -> io::Result<u64> {
        if self.file.is_packed() {
            return Ok(0);
        }
        Ok(self.file.bytes()?.saturating_sub(self.position.at))
    }

    /// Reads on from its position: up to `most` bytes, but no further than `to`, if that is given.
    ///
    /// # Errors
    /// When it can't be read or unpacked.
    pub fn read(&mut self, most: usize, to: Option<u64>) -> io::Result<Chunk> {
        let from = self.position.at;
        let most =
            to.map_or(most, |to| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX));
        if self.file.is_packed() {
            return self.unpack(from, most);
        }
        let mut text = vec![0; most];
        let mut length = 0;
        while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match self.file.file.read_at(rest, from + length as u64)? {
                0 => break,
                read => length += read,
            }
        }
        text.truncate(length);
        let ended = self.gone_since.is_some() && length < most && to.is_none();
        Ok(Chunk { from, text, ended })
    }

    fn unpack(&mut self, from: u64, most: usize) -> io::Result<Chunk> {
        let Some(packed) = &mut self.file.packed else {
            return Err(io::Error::other("not packed"));
        };
        // What was handed over goes; a file that is known begins further on.
        let passed = from.saturating_sub(self.unpacked);
        let of_held = usize::try_from(passed).unwrap_or(usize::MAX).min(self.held.len());
        self.held.drain(..of_held);
        self.unpacked += of_held as u64;
        let to_pass = from.saturating_sub(self.unpacked);
        self.unpacked += io::copy(&mut packed.take(to_pass), &mut io::sink())?;
        let wanted = most.saturating_sub(self.held.len());
        let read = packed.take(wanted as u64).read_to_end(&mut self.held)?;
        let text = self.held.get(..most).unwrap_or(&self.held).to_vec();
        Ok(Chunk { from, ended: read < wanted, text })
    }

    /// Whether it was read to its end and will not grow: a packed file.
    pub const fn is_packed(&self) -> bool {
        self.file.is_packed()
    }

    /// Begins again: the file was emptied. Returns where the old content was read to.
    pub fn begin_again(&mut self, seed: HashSeed) -> Position {
        let old = self.position;
        let head = self.file.head(seed);
        let generation = old.generation.wrapping_add(1);
        self.position = Position { file: old.file, generation, head, at: 0, to: None };
        self.long_line = LongLine::default();
        old
    }
}
