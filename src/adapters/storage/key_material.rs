//! Keys that stay on this machine: of fingerprints, and of the hash by which credentials are found.

use crate::data_plane::batch::HashSeed;
use crate::model::decision::InstanceId;
use sha2::{Digest, Sha256};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A replay follows a known seed, so that two runs are alike.
pub const REPLAY_SEED: HashSeed = HashSeed(0x7472_6970_6c69_6e65, 0x7265_706c_6179);

/// The least length of a fingerprint key. Unit: bytes.
pub const KEY_BYTES: usize = 32;

/// A seed that no one can guess.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_seed() -> io::Result<HashSeed> {
    let half = || getrandom::u64().map_err(io::Error::other);
    Ok(HashSeed(half()?, half()?))
}

/// The seed of the hash by which credentials are found. It follows from the fingerprint key, so that
/// a checkpoint is of use after a restart, and to every instance with that key.
pub fn seed_of(key: &[u8]) -> HashSeed {
    let digest = Sha256::new().chain_update(b"tripline hash seed").chain_update(key).finalize();
    let (words, _) = digest.as_slice().as_chunks::<8>();
    let word = |at: usize| words.get(at).map_or(0, |word| u64::from_le_bytes(*word));
    HashSeed(word(0), word(1))
}

/// Reads the fingerprint key at `path`; makes one if there is none, readable by its owner alone.
///
/// # Errors
/// When it can't be read or made, or is too short to be a key.
pub fn fingerprint_key(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Ok(key) if key.len() >= KEY_BYTES => Ok(key),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a fingerprint key needs 32 bytes or more",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = vec![0; KEY_BYTES];
            getrandom::fill(&mut key).map_err(io::Error::other)?;
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(&key)?;
            file.sync_all()?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// The number of this instance at `path`; makes one if there is none.
///
/// # Errors
/// When it can't be read or made, or is none.
pub fn instance_id(path: &Path) -> io::Result<InstanceId> {
    match std::fs::read_to_string(path) {
        Ok(text) => InstanceId::parse(text.trim()).ok_or_else(|| {
            let error =
                "it is no instance id of 16 hexadecimal digits; remove it, and another is made";
            io::Error::new(io::ErrorKind::InvalidData, error)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = InstanceId(getrandom::u64().map_err(io::Error::other)?);
            // A crash leaves either none or a whole one.
            let unfinished = path.with_extension("new");
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(made.to_string().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&unfinished, path)?;
            Ok(made)
        }
        Err(error) => Err(error),
    }
}

/// The fingerprint key of a replay: the configured one, or a fixed one, as nothing it makes is
/// compared with what a daemon made.
///
/// # Errors
/// When the configured file can't be read.
pub fn replay_key(path: Option<&Path>) -> io::Result<Vec<u8>> {
    path.map_or_else(|| Ok(b"tripline replay without a key file".to_vec()), fingerprint_key)
}
