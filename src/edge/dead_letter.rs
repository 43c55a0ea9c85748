//! Dead letters: where refused records stood and why, one JSON object a line. Never their bytes,
//! which may hold secrets; the place leads back to them.

use crate::model::time::EventTime;
use crate::wire::refusal::Refusal;
use parking_lot::Mutex;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where a record stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Place<'a> {
    /// A line, or the number of a record in a document.
    Line {
        /// The file, or `-`.
        file: &'a str,
        /// From 1.
        line: u64,
    },
    /// A Kafka record.
    Record {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// A line or element of an HTTP body.
    Request {
        /// The number of the request since the start.
        request: u64,
        /// From 1.
        line: u64,
    },
}

#[derive(Serialize)]
struct Letter<'a> {
    at: String,
    reason: &'static str,
    #[serde(flatten)]
    place: Place<'a>,
}

/// Writes a dead letter as JSON.
pub fn letter(place: Place<'_>, refusal: Refusal, at: EventTime) -> String {
    let letter = Letter { at: at.to_string(), reason: refusal.as_str(), place };
    serde_json::to_string(&letter).unwrap_or_default()
}

/// The file of dead letters, bounded in size: past that letters are dropped and counted.
#[derive(Debug)]
pub struct DeadLetters {
    file: Mutex<(BufWriter<File>, u64)>,
    bytes_max: u64,
}

impl DeadLetters {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn open(path: &Path, bytes_max: u64) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file: Mutex::new((BufWriter::new(file), length)), bytes_max })
    }

    /// Writes a letter; false if the file is full or can't be written.
    pub fn write(&self, letter: &str) -> bool {
        let mut held = self.file.lock();
        let (file, length) = &mut *held;
        if *length + letter.len() as u64 + 1 > self.bytes_max {
            return false;
        }
        *length += letter.len() as u64 + 1;
        file.write_all(letter.as_bytes()).and_then(|()| file.write_all(b"\n")).is_ok()
    }

    /// Hands what is buffered to the operating system; false if it can't.
    pub fn flush(&self) -> bool {
        self.file.lock().0.flush().is_ok()
    }
}
