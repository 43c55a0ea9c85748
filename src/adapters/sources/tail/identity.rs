//! Which file is the same as one that was read before, under whatever name.
//!
//! Rotation renames a file, copies it and empties the original, or packs it: its first bytes stay the same.

use crate::data_plane::batch::HashSeed;
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// How much of a file's beginning is compared. Unit: bytes. Chosen: some lines, whose times differ.
pub const HEAD_BYTES: usize = 1024;
/// From how many bytes on a copy is known by its beginning alone. Unit: bytes. Chosen: a line or two; empty files
/// are all alike.
const COPY_BYTES_MIN: u64 = 64;

/// The beginning of a file, as far as it was there when it was looked at: its length, and its hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Unit: bytes.
    pub bytes: u64,
    hash: u64,
}

impl Head {
    /// The beginning of a text of which so much is there.
    pub fn of(begin: &[u8], seed: HashSeed) -> Self {
        let begin = begin.get(..HEAD_BYTES).unwrap_or(begin);
        Self { bytes: begin.len() as u64, hash: seed.hash_all(&[begin]) }
    }

    /// Whether a text begins so.
    pub fn is_of(self, begin: &[u8], seed: HashSeed) -> bool {
        let length = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        begin.get(..length).is_some_and(|begin| seed.hash_all(&[begin]) == self.hash)
    }

    /// Whether it is long enough to know a copy by.
    pub const fn knows_copies(self) -> bool {
        self.bytes >= COPY_BYTES_MIN
    }

    /// Whether it may still get longer.
    pub const fn is_short(self) -> bool {
        self.bytes < HEAD_BYTES as u64
    }
}

/// The number of a file on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileNumber {
    device: u64,
    inode: u64,
}

impl FileNumber {
    /// The number of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Its bytes, for a hash.
    pub fn bytes(self) -> [u8; 16] {
        (u128::from(self.device) << 64 | u128::from(self.inode)).to_le_bytes()
    }
}

/// The bytes of a file from `from` on, at most so many.
///
/// # Errors
/// When it can't be read.
pub fn read_at(file: &File, from: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut text = vec![0; most];
    let mut length = 0;
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    text.truncate(length);
    Ok(text)
}

/// The first bytes of a file, as many as a head has.
///
/// # Errors
/// When it can't be read.
pub fn begin_of(file: &File) -> io::Result<Vec<u8>> {
    read_at(file, 0, HEAD_BYTES)
}

/// The bytes just before a place, as many as a head has, or up to the beginning.
///
/// # Errors
/// When they can't be read, or the file ends before.
pub fn bytes_before(file: &File, at: u64) -> io::Result<Vec<u8>> {
    let from = at.saturating_sub(HEAD_BYTES as u64);
    let wanted = usize::try_from(at - from).unwrap_or(HEAD_BYTES);
    let text = read_at(file, from, wanted)?;
    if text.len() == wanted { Ok(text) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
