//! A checkpoint as a file: framed, compressed, each frame with its checksum.
//!
//! ```text
//!  magic, version of the layout, CRC-32 of both | frame: length, CRC-32, zstd of the bytes | … | end: frames so far
//! ```
//! The first frame is the head, the others are parts. A file cut off has no end; one that was changed
//! fails its checksum.

use crate::data_plane::batch::HashSeed;
use crate::data_plane::partition::Params;
use crate::data_plane::partition::Partition;
use crate::data_plane::partition_checkpoint::{Restoring, Useless, VERSION};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"TRIPLNCP";
/// The length that stands for the end.
const END: u32 = u32::MAX;
/// The largest frame, unpacked. Unit: bytes. Chosen: no head or part is near it, and a damaged
/// length must not take memory.
const FRAME_BYTES_MAX: usize = 1 << 30;
/// How hard zstd tries. Chosen: a tenth of a second for a hundred megabytes.
const LEVEL: i32 = 1;

/// Writes a checkpoint.
///
/// # Errors
/// If zstd has no memory left.
pub fn write<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::from(MAGIC.as_slice());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    let mut count: u32 = 0;
    for frame in frames.into_iter().filter(|frame| !frame.is_empty()) {
        let packed = zstd::bulk::compress(frame, LEVEL)?;
        let length = u32::try_from(packed.len()).unwrap_or(END - 1);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&packed).to_le_bytes());
        out.extend_from_slice(&packed);
        count += 1;
    }
    out.extend_from_slice(&END.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    Ok(out)
}

/// Reads the partition of a checkpoint.
///
/// # Errors
/// Why it is of no use.
pub fn partition(bytes: &[u8], params: &Arc<Params>, seed: HashSeed) -> Result<Partition, Useless> {
    let mut restoring: Option<Restoring> = None;
    read(bytes, |version, frame| {
        match &mut restoring {
            Some(restoring) => restoring.part(&frame)?,
            None => {
                restoring = Some(Restoring::begin((&frame, version), Arc::clone(params), seed)?);
            }
        }
        Ok(())
    })?;
    restoring.ok_or(Useless::Damaged)?.finish()
}

/// Reads a checkpoint: the version of its layout, and its frames one after the other.
///
/// # Errors
/// Why it is of no use.
pub fn read(
    bytes: &[u8],
    mut each: impl FnMut(u16, Vec<u8>) -> Result<(), Useless>,
) -> Result<(), Useless> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Useless::Damaged)?;
    let (version, rest) = rest.split_first_chunk().ok_or(Useless::Damaged)?;
    let (checksum, mut rest) = number(rest)?;
    let begin = bytes.get(..MAGIC.len() + version.len()).ok_or(Useless::Damaged)?;
    if crc32fast::hash(begin) != checksum {
        return Err(Useless::Damaged);
    }
    let version = u16::from_le_bytes(*version);
    if version > VERSION {
        return Err(Useless::Newer(version));
    }
    let mut count = 0;
    loop {
        let (length, after) = number(rest)?;
        if length == END {
            let (frames, rest) = number(after)?;
            let whole = frames == count && rest.is_empty();
            return if whole { Ok(()) } else { Err(Useless::Damaged) };
        }
        let (checksum, after) = number(after)?;
        let length = usize::try_from(length).map_err(|_| Useless::Damaged)?;
        let (packed, after) = after.split_at_checked(length).ok_or(Useless::Damaged)?;
        if crc32fast::hash(packed) != checksum {
            return Err(Useless::Damaged);
        }
        let frame = zstd::bulk::decompress(packed, size(packed)?).map_err(|_| Useless::Damaged)?;
        each(version, frame)?;
        count += 1;
        rest = after;
    }
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), Useless> {
    let (word, rest) = bytes.split_first_chunk().ok_or(Useless::Damaged)?;
    Ok((u32::from_le_bytes(*word), rest))
}

/// How long a frame is, unpacked.
fn size(packed: &[u8]) -> Result<usize, Useless> {
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok());
    size.filter(|size| *size <= FRAME_BYTES_MAX).ok_or(Useless::Damaged)
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use crate::data_plane::partition_checkpoint::Useless;
    use proptest::prelude::*;

    fn frames(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Useless> {
        let mut frames = Vec::new();
        read(bytes, |_, frame| {
            frames.push(frame);
            Ok(())
        })?;
        Ok(frames)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_any_damage_is_known(
            written in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
            (place, bit, cut) in (any::<prop::sample::Index>(), 0_u8..8, any::<bool>()),
        ) {
            let mut bytes = write(written.iter().map(Vec::as_slice)).expect("packs");
            prop_assert_eq!(frames(&bytes), Ok(written));
            let at = place.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            prop_assert!(frames(&bytes).is_err(), "changed at {}", at);
        }
    }
}
