//! Files and standard input, plain or compressed (gzip, Zstandard), by their first bytes: a name says
//! what someone meant, and rotation and tools leave plain files with the name of packed ones.
//!
//! Reads in bounded memory, whatever a compressed file unfolds to: a line longer than allowed is
//! passed over and said.

use crate::formats::events::body;
use crate::formats::events::decoder::{Decoder, Format};
use crate::formats::events::refusal::{Limits, Refusal};
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::event::AuthEvent;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How much is read at once. Unit: bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// The largest document. Unit: bytes.
const DOCUMENT_BYTES_MAX: usize = 256 << 20;
/// How much is looked at for the beginning of an array. Unit: bytes. Chosen: more white space than
/// anyone writes.
const HEAD_BYTES: u64 = 256;

/// How a gzip file begins. Source: RFC 1952, 2.3.1.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// How a Zstandard file begins. Source: RFC 8878, 3.1.1.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// How a file's records are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A record a line.
    Lines,
    /// One document.
    Document,
    /// A record a line, or one JSON array, if it begins as one: a document of at most so many bytes.
    LinesOrArray(usize),
}

/// A source of records.
pub struct Records {
    source: Box<dyn Read>,
    layout: Layout,
    record_bytes_max: usize,
    held: Vec<u8>,
    line: u64,
    passing_over: bool,
    ended: bool,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("line", &self.line).finish_non_exhaustive()
    }
}

impl Records {
    /// Opens a file of records in that format, as [`Records::open`] does.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn of_format(
        path: &Path,
        format: &Format,
        wrap: impl FnOnce(Box<dyn Read>) -> Box<dyn Read>,
    ) -> io::Result<Self> {
        let line_bytes_max = Limits::default().record_bytes_max;
        let (layout, bytes_max) = match format {
            Format::CloudTrail => (Layout::Document, DOCUMENT_BYTES_MAX),
            Format::AccessLog(_) => (Layout::Lines, line_bytes_max),
            // As `POST /v1/events` takes them.
            Format::Native | Format::Mapping(_) => {
                (Layout::LinesOrArray(DOCUMENT_BYTES_MAX), line_bytes_max)
            }
        };
        Self::open(path, layout, bytes_max, wrap)
    }

    /// Opens a file, or standard input for `-`; decompresses by the first bytes. `wrap` sees the
    /// bytes as they are read from the disk, as for a progress bar.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(
        path: &Path,
        layout: Layout,
        record_bytes_max: usize,
        wrap: impl FnOnce(Box<dyn Read>) -> Box<dyn Read>,
    ) -> io::Result<Self> {
        let raw: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path)?)
        };
        let mut raw = wrap(raw);
        let mut head = Vec::new();
        (&mut raw).take(4).read_to_end(&mut head)?;
        let packed = (head.starts_with(GZIP), head.starts_with(ZSTD));
        let whole = io::Cursor::new(head).chain(raw);
        let mut source: Box<dyn Read> = match packed {
            (true, _) => Box::new(flate2::read::MultiGzDecoder::new(whole)),
            (_, true) => Box::new(zstd::Decoder::new(whole)?),
            _ => Box::new(whole),
        };
        let (mut layout, mut record_bytes_max) = (layout, record_bytes_max);
        if let Layout::LinesOrArray(bytes_max) = layout {
            let mut head = Vec::new();
            let read = (&mut source).take(HEAD_BYTES).read_to_end(&mut head);
            let begin = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
            layout = Layout::Lines;
            if begin.starts_with(b"[") {
                (layout, record_bytes_max) = (Layout::Document, bytes_max);
            }
            // A fault comes again as it is read on.
            let fault = read.err().map(|error| Box::new(Fault(Some(error))) as Box<dyn Read>);
            let rest = fault.unwrap_or(source);
            source = Box::new(io::Cursor::new(head).chain(rest));
        }
        Ok(Self {
            source,
            layout,
            record_bytes_max,
            held: Vec::new(),
            line: 0,
            passing_over: false,
            ended: false,
        })
    }

    /// Whether the whole file is one document.
    pub fn is_document(&self) -> bool {
        self.layout == Layout::Document
    }

    /// Reads on and gives each whole record to `each`, with its line (1 for a document). False
    /// once all is read.
    ///
    /// # Errors
    /// When it can't be read or decompressed any further; the records before that were given.
    pub fn read_on(
        &mut self,
        mut each: impl FnMut(u64, Result<&[u8], Refusal>),
    ) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let before = self.held.len();
        let read = (&mut self.source).take(CHUNK_BYTES as u64).read_to_end(&mut self.held);
        self.ended = matches!(read, Ok(0));
        match self.layout {
            Layout::Lines | Layout::LinesOrArray(_) => self.split(before, &mut each),
            Layout::Document => self.whole(&mut each),
        }
        // The records before a fault are whole: a cut-off file loses its end alone.
        read.map(|_| true)
    }

    /// Reads on and decodes each whole record; `each` gets the line, or the number of a record in its document, with
    /// each answer. False once all is read.
    ///
    /// # Errors
    /// When it can't be read or decompressed any further; the records before that were given.
    pub fn decode_on(
        &mut self,
        decoder: &Decoder,
        (limits, fingerprints): (&Limits, &Fingerprinter),
        mut each: impl FnMut(u64, Result<AuthEvent<'_>, Refusal>),
    ) -> io::Result<bool> {
        let is_document = self.is_document();
        self.read_on(|line, record| match record {
            Ok(record) if is_document => {
                body::decode(decoder, record, limits, fingerprints, |number, answer| {
                    each(number as u64, answer);
                });
            }
            Ok(record) => {
                decoder.decode(record, limits, fingerprints, &mut |answer| each(line, answer));
            }
            Err(refusal) => each(line, Err(refusal)),
        })
    }

    fn whole(&mut self, each: &mut impl FnMut(u64, Result<&[u8], Refusal>)) {
        if self.held.len() > self.record_bytes_max {
            self.ended = true;
            self.held = Vec::new();
            each(1, Err(Refusal::TooLarge));
        } else if self.ended {
            each(1, Ok(&self.held));
        }
    }

    fn split(&mut self, before: usize, each: &mut impl FnMut(u64, Result<&[u8], Refusal>)) {
        let fresh = self.held.get(before..).unwrap_or_default();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', fresh) {
            let end = before + end;
            self.line += 1;
            let record = self.held.get(start..end).unwrap_or_default();
            start = end + 1;
            if !std::mem::take(&mut self.passing_over) {
                give(self.line, record, self.record_bytes_max, each);
            }
        }
        self.held.drain(..start);
        if self.ended && !self.held.is_empty() && !self.passing_over {
            self.line += 1;
            give(self.line, &self.held, self.record_bytes_max, each);
        }
        if self.held.len() > self.record_bytes_max {
            if !self.passing_over && !self.ended {
                each(self.line + 1, Err(Refusal::TooLarge));
            }
            self.passing_over = true;
            self.held.clear();
        }
    }
}

/// A source that can't be read.
struct Fault(Option<io::Error>);

impl Read for Fault {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn give(
    line: u64,
    record: &[u8],
    bytes_max: usize,
    each: &mut impl FnMut(u64, Result<&[u8], Refusal>),
) {
    let record = record.strip_suffix(b"\r").unwrap_or(record);
    if record.len() > bytes_max {
        each(line, Err(Refusal::TooLarge));
    } else if !record.is_empty() {
        each(line, Ok(record));
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, Records};
    use proptest::prelude::*;
    use std::io::Cursor;
    use std::path::Path;

    fn lines(bytes: Vec<u8>, most: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let wrap = |_| Box::new(Cursor::new(bytes)) as Box<dyn std::io::Read>;
        let mut records = Records::open(Path::new("-"), Layout::Lines, most, wrap).expect("opens");
        let mut seen = Vec::new();
        while records
            .read_on(|line, record| seen.push((line, record.ok().map(<[u8]>::to_vec))))
            .expect("reads")
        {}
        seen
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text_and_long_ones_are_said_once(
            parts in prop::collection::vec("[a-c]{0,12}", 0..40), ends in any::<bool>()
        ) {
            let mut text = parts.join("\n");
            if ends { text.push('\n'); }
            let expected: Vec<_> = (1_u64..)
                .zip(text.split('\n'))
                .filter(|(_, part)| !part.is_empty())
                .map(|(n, part)| (n, (part.len() <= 8).then(|| part.as_bytes().to_vec())))
                .collect();
            prop_assert_eq!(lines(text.into_bytes(), 8), expected);
        }
    }

    #[test]
    fn a_line_larger_than_all_buffers_is_said_once_and_what_follows_is_read() {
        let mut text = b"first\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 10 << 20));
        text.extend(b"\nlast\n");
        let seen = lines(text, 1000);
        assert_eq!(seen, [(1, Some(b"first".to_vec())), (2, None), (3, Some(b"last".to_vec()))]);
    }
}
