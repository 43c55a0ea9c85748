//! Room on the disk that is kept for the day on which there is none.
//!
//! Two files in the data folder hold it. The first is given up when a decision finds no room, the second
//! only when a start does: after a kill on a full disk tripline must start, as gateways let pass while it
//! is away. Both are taken again once there is room.

use crate::adapters::host::private_files;
use parking_lot::Mutex;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Unit: bytes. Chosen: some thousand decisions with their receipts.
const FOR_ORDERS: u64 = 4 << 20;
/// Unit: bytes. Chosen: what a start writes, several times.
const FOR_STARTS: u64 = 2 << 20;
/// How much of the disk must be free for the reserve to be taken: that many times its size.
const FREE_FACTOR: u64 = 4;
/// Below how much free room a start uses its reserve. Unit: bytes.
const START_BYTES_MIN: u64 = 1 << 20;

/// The reserve of a data folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reserve {
    folder: Arc<Path>,
    /// Held while files are made or removed.
    lock: Arc<Mutex<()>>,
    /// Whether what is kept for decisions was given up.
    released: Arc<AtomicBool>,
}

impl Reserve {
    /// Of that folder; makes room for the start if there is too little.
    pub fn open(folder: &Path) -> Self {
        let (lock, released) = (Arc::default(), Arc::default());
        let reserve = Self { folder: folder.into(), lock, released };
        if free_bytes(folder).is_some_and(|free| free < START_BYTES_MIN) {
            let freed = [reserve.for_starts(), reserve.for_orders()].map(remove);
            if freed.contains(&true) {
                reserve.released.store(true, Ordering::Relaxed);
                tracing::error!(
                    folder = %folder.display(),
                    "the disk is full: the reserved space is used to start; free space now"
                );
            }
        }
        reserve
    }

    /// Gives up what is kept for decisions; says whether there was anything to give up.
    pub fn release(&self) -> bool {
        let _held = self.lock.lock();
        let released = remove(self.for_orders());
        if released {
            self.released.store(true, Ordering::Relaxed);
            tracing::error!(
                folder = %self.folder.display(),
                "the disk is full: the space reserved for decisions is in use; free space now"
            );
        }
        released
    }

    /// Whether what is kept for decisions was given up, and not taken again yet.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Relaxed)
    }

    /// Takes what was given up again, once there is room. Blocks.
    pub fn restore(&self) {
        let _held = self.lock.lock();
        let wanted = [(self.for_starts(), FOR_STARTS), (self.for_orders(), FOR_ORDERS)];
        for (path, bytes) in wanted {
            let has = std::fs::metadata(&path).is_ok_and(|found| found.len() == bytes);
            if has || free_bytes(&self.folder).is_none_or(|free| free < bytes * FREE_FACTOR) {
                continue;
            }
            if fill(&path, bytes).is_err() {
                remove(path);
            }
        }
        if std::fs::metadata(self.for_orders()).is_ok_and(|found| found.len() == FOR_ORDERS) {
            self.released.store(false, Ordering::Relaxed);
        }
    }

    fn for_orders(&self) -> PathBuf {
        self.folder.join("reserve-orders")
    }

    fn for_starts(&self) -> PathBuf {
        self.folder.join("reserve-start")
    }
}

/// How much room the disk of a folder has. Unit: bytes.
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn remove(path: PathBuf) -> bool {
    std::fs::remove_file(path).is_ok()
}

/// Allocates rather than leaving a hole, which would keep no room.
fn fill(path: &Path, bytes: u64) -> std::io::Result<()> {
    private_files::create_private(path)?;
    let mut file = std::fs::File::create(path)?;
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = vec![0; 1 << 20];
            (0..bytes >> 20).try_for_each(|_| file.write_all(&zeros))?;
            file.sync_all()
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{FOR_ORDERS, Reserve};

    #[test]
    fn what_was_given_up_is_taken_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let reserve = Reserve::open(folder.path());
        assert!(!reserve.release(), "nothing is kept yet");
        reserve.restore();
        let kept =
            || std::fs::metadata(folder.path().join("reserve-orders")).map_or(0, |it| it.len());
        assert_eq!(kept(), FOR_ORDERS);
        assert!(!reserve.is_released() && reserve.release() && reserve.is_released());
        assert_eq!((kept(), reserve.release()), (0, false));
        assert!(folder.path().join("reserve-start").exists(), "it is for a start alone");
        reserve.restore();
        assert_eq!((kept(), reserve.is_released()), (FOR_ORDERS, false));
    }
}
