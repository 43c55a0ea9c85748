//! How far each file was read, in a file of its own: a line for each change.
//!
//! ```text
//!  before a chunk is handed over:  the file, from where to where
//!  once it is durable:             the file, to where
//! ```
//! After a crash between the two the same chunk is handed over again, under the same idempotency key, and the
//! event log takes it once. A line is written, not synced: a crash of the machine may lose the newest ones.

use super::identity::{FileNumber, Head};
use crate::adapters::host::private_files;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// How large the file gets before it is rewritten, at least. Unit: bytes.
const BYTES_MAX: u64 = 1 << 20;
/// How many files are remembered for each source: ten times those that it may follow, so that none of these is
/// forgotten.
pub const FILES_MAX: usize = 10_000;

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The file.
    pub file: FileNumber,
    /// Rises whenever the file begins again: it was emptied, or its number is another file's now.
    pub generation: u32,
    /// Names the content, under whatever name and number: a part of the idempotency keys of its chunks.
    pub content: u64,
    /// Its beginning.
    pub head: Head,
    /// All before it is durable. Unit: bytes, unpacked.
    pub at: u64,
    /// The hash of the bytes just before `at`, by which a copy is known; none of a packed file.
    #[serde(default)]
    pub last: Option<u64>,
    /// Whether the rest of a line follows that is passed over.
    #[serde(default)]
    pub passing_over: bool,
    /// Up to where a chunk was handed over of which it is not known whether it is durable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    source: String,
    #[serde(flatten)]
    position: Position,
}

/// The positions of all files, newest last.
#[derive(Debug)]
pub struct Positions {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// How large the file may get before it is rewritten. Unit: bytes.
    bytes_max: u64,
    /// Whether the last line may be cut off.
    is_torn: bool,
    known: HashMap<String, Vec<Position>>,
}

impl Positions {
    /// Reads the positions of before, and goes on writing there.
    ///
    /// # Errors
    /// When the folder can't be made, or the file can't be read or written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        private_files::create_private_folder(folder)?;
        let path = folder.join("positions.ndjson");
        private_files::create_private(&path)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        let mut known: HashMap<String, Vec<Position>> = HashMap::new();
        for line in BufReader::new(File::open(&path)?).split(b'\n') {
            // A line that was cut off is one that did not happen.
            if let Ok(line) = serde_json::from_slice::<Line>(&line?) {
                remember(known.entry(line.source).or_default(), line.position);
            }
        }
        let mut positions =
            Self { path, bytes: BYTES_MAX, bytes_max: BYTES_MAX, is_torn: false, file, known };
        positions.rewrite()?;
        Ok(positions)
    }

    /// Where they are written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The positions of a source's files, newest last.
    pub fn of(&self, source: &str) -> &[Position] {
        self.known.get(source).map_or(&[], Vec::as_slice)
    }

    /// Writes down how far a file was read.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set(&mut self, source: &str, position: Position) -> io::Result<()> {
        let line = Line { source: source.to_owned(), position };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        if std::mem::replace(&mut self.is_torn, true) {
            text.insert(0, b'\n');
        }
        self.file.write_all(&text)?;
        self.is_torn = false;
        self.bytes += text.len() as u64;
        remember(self.known.entry(line.source).or_default(), position);
        self.rewrite()
    }

    /// Rewrites the file where it is large.
    fn rewrite(&mut self) -> io::Result<()> {
        if self.bytes < self.bytes_max {
            return Ok(());
        }
        let next = self.path.with_extension("next");
        let mut text = Vec::new();
        let by_source: BTreeMap<&String, &Vec<Position>> = self.known.iter().collect();
        for (source, positions) in by_source {
            for position in positions {
                let line = Line { source: source.clone(), position: *position };
                serde_json::to_writer(&mut text, &line)?;
                text.push(b'\n');
            }
        }
        // One that was cut off by a crash is in the way.
        let _none = std::fs::remove_file(&next);
        private_files::create_private(&next)?;
        let mut file = OpenOptions::new().append(true).open(&next)?;
        file.write_all(&text)?;
        file.sync_data()?;
        std::fs::rename(&next, &self.path)?;
        (self.file, self.bytes) = (file, text.len() as u64);
        self.bytes_max = BYTES_MAX.max(2 * self.bytes);
        Ok(())
    }
}

fn remember(positions: &mut Vec<Position>, position: Position) {
    positions
        .retain(|known| (known.file, known.generation) != (position.file, position.generation));
    positions.push(position);
    if positions.len() > FILES_MAX {
        positions.remove(0);
    }
}
