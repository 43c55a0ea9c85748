//! One file that is followed: plain, as it grows, or packed, once.

use super::identity::{FileNumber, HEAD_BYTES, Head, begin_of, bytes_before, read_at};
use super::positions::Position;
use crate::data_plane::batch::HashSeed;
use crate::model::time::EventTime;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How a gzip file begins. Source: RFC 1952, 2.3.1.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// How files of other compressors begin: Zstandard, xz, bzip2.
const OTHERS: [&[u8]; 3] = [&[0x28, 0xb5, 0x2f, 0xfd], &[0xfd, b'7', b'z', b'X', b'Z'], b"BZh"];
/// How much is read at once. Unit: bytes. Chosen: twice the longest line, so that one is in it whole.
pub const CHUNK_BYTES: usize = 2 << 20;
/// How much of a packed file is passed over at once. Unit: bytes. Chosen: a tenth of a second.
const SKIP_BYTES: u64 = 64 << 20;

/// A file that can be read.
pub struct OpenFile {
    file: File,
    /// Unpacks from the beginning.
    packed: Option<Box<dyn Read + Send>>,
    begin: Vec<u8>,
    /// Its number.
    pub number: FileNumber,
    /// When it was last written to, and how long it was.
    pub state: (SystemTime, u64),
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile").field("number", &self.number).finish_non_exhaustive()
    }
}

impl OpenFile {
    /// Opens a regular file, plain or packed by its first bytes. Anything else is an error: to open a pipe would
    /// wait for its writer.
    ///
    /// # Errors
    /// When it can't be opened or read, is no regular file, or is packed otherwise than by gzip.
    pub fn open(path: &Path) -> io::Result<Self> {
        let invalid = |problem| io::Error::new(io::ErrorKind::InvalidInput, problem);
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(invalid("it is no regular file"));
        }
        let mut begin = begin_of(&file)?;
        if OTHERS.iter().any(|other| begin.starts_with(other)) {
            return Err(invalid(
                "it is packed, and not by gzip: name it in no pattern, or unpack it",
            ));
        }
        let mut packed: Option<Box<dyn Read + Send>> = None;
        if begin.starts_with(GZIP) {
            let mut unpacked = flate2::read::MultiGzDecoder::new(BufReader::new(file.try_clone()?));
            let mut head = Vec::new();
            (&mut unpacked).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
            packed = Some(Box::new(io::Cursor::new(head.clone()).chain(unpacked)));
            begin = head;
        }
        let (number, state) = (FileNumber::of(&metadata), (metadata.modified()?, metadata.len()));
        Ok(Self { file, packed, begin, number, state })
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

    /// Whether it has the content that was read up to that position under another name or number: as far as it
    /// can be told from its beginning, and of a plain file also from the bytes before the position.
    pub fn is_copy_of(&self, position: &Position, seed: HashSeed) -> bool {
        if !position.head.knows_copies() || !self.begins_as(position.head, seed) {
            return false;
        }
        if self.is_packed() {
            return true;
        }
        let is_long_enough = self.bytes().is_ok_and(|bytes| bytes >= position.at);
        let before = || bytes_before(&self.file, position.at).map(|text| seed.hash_all(&[&text]));
        is_long_enough && position.last.is_none_or(|last| before().is_ok_and(|own| own == last))
    }

    /// The bytes before a place, by which a copy is known; none of a packed file.
    pub fn bytes_before(&self, at: u64) -> Option<Vec<u8>> {
        bytes_before(&self.file, at).ok().filter(|_| !self.is_packed())
    }

    /// How long it is, as far as it is known without unpacking.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether so much of it ends within a line.
    pub fn is_within_line(&self, at: u64) -> bool {
        at > 0 && read_at(&self.file, at - 1, 1).is_ok_and(|last| last != b"\n")
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
    /// How much of a packed file was unpacked.
    unpacked: u64,
    /// The bytes before the position, as many as a head has; none of a packed file.
    before: Option<Vec<u8>>,
    /// Bytes that were unpacked and not yet handed over.
    held: Vec<u8>,
    /// Why nothing more can be unpacked, once what is held was handed over.
    failed: Option<io::Error>,
    /// Whether a name of the source leads to it.
    pub is_named: bool,
    /// When it last grew, or lost its name.
    pub grew_at: EventTime,
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
    /// Whether the file ends with it, as far as it is there.
    pub is_last: bool,
}

impl Follower {
    /// Follows a file from a position on.
    pub fn new(path: PathBuf, file: OpenFile, position: Position, now: EventTime) -> Self {
        Self {
            path,
            before: file.bytes_before(position.at),
            file,
            position,
            unpacked: 0,
            held: Vec::new(),
            failed: None,
            is_named: true,
            grew_at: now,
            newest: EventTime::MIN,
        }
    }

    /// The file.
    pub const fn file(&self) -> &OpenFile {
        &self.file
    }

    /// Whether it is packed: it will not grow.
    pub const fn is_packed(&self) -> bool {
        self.file.is_packed()
    }

    /// How much of another file is a copy of this one, as far as it can be told. Unit: bytes; `u64::MAX` for all
    /// of it, 0 for nothing.
    pub fn shared_with(&self, other: &OpenFile, seed: HashSeed) -> u64 {
        if !self.position.head.knows_copies() || !other.begins_as(self.position.head, seed) {
            return 0;
        }
        if self.is_packed() || other.is_packed() {
            return u64::MAX;
        }
        let (own, others) = (self.file.bytes().unwrap_or(0), other.bytes().unwrap_or(0));
        let common = own.min(others);
        let is_same = self.file.bytes_before(common) == other.bytes_before(common);
        match (is_same && common > 0, others > own) {
            (false, _) => 0,
            (true, true) => own,
            (true, false) => u64::MAX,
        }
    }

    /// Goes on to a position, from which these bytes were handed over.
    pub fn advance(&mut self, next: Position, handed_over: &[u8], seed: HashSeed) -> Position {
        if let Some(before) = &mut self.before {
            before.extend_from_slice(handed_over);
            let surplus = before.len().saturating_sub(HEAD_BYTES);
            before.drain(..surplus);
        }
        let last = self.before.as_ref().map(|before| seed.hash_all(&[before]));
        Position { last, ..next }
    }

    /// Whether the file begins otherwise than it did, or is shorter than what was read of it: it was emptied.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn was_emptied(&mut self, seed: HashSeed) -> io::Result<bool> {
        if self.is_packed() {
            return Ok(false);
        }
        self.file.begin = begin_of(&self.file.file)?;
        let read = self.position.at.max(self.position.to.unwrap_or(0));
        if self.file.bytes()? < read || !self.file.begins_as(self.position.head, seed) {
            return Ok(true);
        }
        if self.position.head.is_short() {
            self.position.head = self.file.head(seed);
        }
        Ok(false)
    }

    /// Begins again: the file was emptied. Returns where the old content was read to.
    pub fn begin_again(&mut self, seed: HashSeed) -> Position {
        let old = self.position;
        let generation = old.generation.wrapping_add(1);
        self.before = Some(Vec::new());
        self.position = Position {
            generation,
            content: seed.hash_all(&[&old.content.to_le_bytes(), &generation.to_le_bytes()]),
            head: self.file.head(seed),
            at: 0,
            to: None,
            last: None,
            passing_over: false,
            ..old
        };
        old
    }

    /// How much there is that was not read. Unit: bytes; those of the packed file, if it is one.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn unread(&self) -> io::Result<u64> {
        let bytes = self.file.bytes()?;
        Ok(if self.is_packed() { bytes } else { bytes.saturating_sub(self.position.at) })
    }

    /// Reads on from its position, but no further than `to`, if that is given; none where there is nothing new, or
    /// what was read before is still being passed over.
    ///
    /// # Errors
    /// When it can't be read, or can't be unpacked any further: then it is to be opened again.
    pub fn read(&mut self, to: Option<u64>) -> io::Result<Option<Chunk>> {
        let from = self.position.at;
        let most = to.map_or(CHUNK_BYTES, |to| {
            usize::try_from(to.saturating_sub(from)).unwrap_or(CHUNK_BYTES)
        });
        if self.is_packed() {
            return self.unpack(from, most);
        }
        if self.unread()? == 0 {
            return Ok(None);
        }
        let text = read_at(&self.file.file, from, most)?;
        let is_last = text.len() < most;
        Ok(Some(Chunk { from, text, is_last }))
    }

    fn unpack(&mut self, from: u64, most: usize) -> io::Result<Option<Chunk>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(packed) = &mut self.file.packed else { return Ok(None) };
        // What was handed over goes; of a file that is known, what was read before.
        let passed = usize::try_from(from - self.unpacked).unwrap_or(usize::MAX);
        let of_held = passed.min(self.held.len());
        self.held.drain(..of_held);
        self.unpacked += of_held as u64;
        let to_pass = from - self.unpacked;
        if to_pass > 0 {
            let passed = io::copy(&mut packed.take(to_pass.min(SKIP_BYTES)), &mut io::sink())?;
            self.unpacked += passed;
            let is_over = passed == 0;
            return Ok(is_over.then(|| Chunk { from, text: Vec::new(), is_last: true }));
        }
        let wanted = most.saturating_sub(self.held.len());
        let before = self.held.len();
        self.failed = packed.take(wanted as u64).read_to_end(&mut self.held).err();
        let is_last = self.failed.is_none() && self.held.len() - before < wanted;
        let text = self.held.get(..most).unwrap_or(&self.held).to_vec();
        Ok(Some(Chunk { from, text, is_last }))
    }
}
