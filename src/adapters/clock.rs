//! The clock: the one place where the time is read.

use crate::model::steady_clock::{Anchor, Resumed, SteadyClock, Step};
use crate::model::time::EventTime;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Which boot of the machine this is, as the kernel says.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How often the file of the clock is written. Unit: milliseconds. Chosen.
const KEEP_MS: i64 = 1_000;
/// The length of the file: it is written over in its place, which needs no room. Unit: bytes.
const FILE_BYTES: usize = 96;
/// How much time between two boots is said loudly. Unit: milliseconds. Chosen: an hour, after which the
/// suspensions and the revocation limit of before are over.
const LONG_MS: i64 = 3_600_000;

/// All of this process follow one clock.
static CLOCK: Mutex<Option<SteadyClock>> = Mutex::new(None);

/// The time now, by the system's clock; a step of it is followed once it has lasted a minute.
pub fn now() -> EventTime {
    let (system, since_boot) = (system(), since_boot_ms());
    let (now, step) = {
        let mut held = CLOCK.lock();
        held.get_or_insert_with(|| SteadyClock::new(system, since_boot)).read(system, since_boot)
    };
    match step {
        Some(Step::Doubted(by_ms)) => tracing::warn!(
            by_ms,
            "the system clock stepped; tripline follows it only if the step lasts a minute"
        ),
        Some(Step::Undone) => tracing::info!("the system clock stepped back"),
        Some(Step::Believed(by_ms)) => tracing::warn!(
            by_ms,
            "the step of the system clock has lasted a minute; tripline follows it now"
        ),
        None => {}
    }
    now
}

/// How far the system's clock is ahead of the one that is gone by. Unit: milliseconds.
pub fn deviation_ms() -> i64 {
    CLOCK.lock().as_ref().map_or(0, SteadyClock::deviation_ms)
}

/// The file by which the clock goes on over a restart.
#[derive(Debug)]
pub struct ClockFile {
    file: File,
    boot: String,
    kept_at: AtomicI64,
}

impl ClockFile {
    /// Opens or creates the file at `path`, and lets the clock go on from what it holds.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn resume(path: &Path) -> std::io::Result<Self> {
        super::host::private_files::create_private(path)?;
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        // A file that can't be understood says nothing: so does a new one.
        let anchor = std::fs::read_to_string(path).ok().and_then(|text| read_anchor(&text));
        if let Some(anchor) = anchor {
            let (clock, resumed) = SteadyClock::resume(&anchor, &boot, (system(), since_boot_ms()));
            *CLOCK.lock() = Some(clock);
            report(resumed);
        }
        let file = File::options().write(true).open(path)?;
        Ok(Self { file, boot, kept_at: AtomicI64::new(i64::MIN) })
    }

    /// Writes down where the clock is, once a second at most. Blocks.
    pub fn keep(&self) {
        let since_boot = since_boot_ms();
        let kept_at = self.kept_at.load(Ordering::Relaxed);
        if since_boot.saturating_sub(kept_at) < KEEP_MS {
            return;
        }
        self.kept_at.store(since_boot, Ordering::Relaxed);
        let text = format!("{} {since_boot} {}", now().ms(), self.boot);
        // Should it fail, the next start goes on from an older one, which says the same.
        let _kept = self.file.write_all_at(format!("{text:<FILE_BYTES$}").as_bytes(), 0);
    }
}

fn read_anchor(text: &str) -> Option<Anchor> {
    let mut words = text.split_ascii_whitespace();
    let time = EventTime::from_ms(words.next()?.parse().ok()?);
    let since_boot = words.next()?.parse().ok()?;
    Some(Anchor { time, since_boot, boot: words.next().unwrap_or_default().to_owned() })
}

fn report(resumed: Resumed) {
    match resumed {
        Resumed::SameBoot => {}
        Resumed::OtherBoot(passed_ms) if passed_ms < LONG_MS => {}
        Resumed::OtherBoot(passed_ms) => tracing::warn!(
            passed_ms,
            "the machine was rebooted since tripline last ran; by its clock the downtime was this \
             long, so suspensions and throttles may have expired: if the clock is wrong, order them again"
        ),
        Resumed::Behind(behind_ms) => tracing::warn!(
            behind_ms,
            "the system clock is behind the last time seen before the reboot: tripline continues \
             from that time until the clock has been right for a minute"
        ),
    }
}

fn system() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The time since the machine was started, which goes on while it sleeps and never steps.
/// Unit: milliseconds.
pub fn since_boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::{Anchor, read_anchor};
    use crate::model::time::EventTime;

    #[test]
    fn a_file_that_cannot_be_understood_says_nothing() {
        let anchor = Anchor { time: EventTime::from_ms(5), since_boot: 7, boot: "b".to_owned() };
        assert_eq!(read_anchor("5 7 b   "), Some(anchor));
        for text in ["", "\0\0", "5", "x 7 b", "5 y b"] {
            assert_eq!(read_anchor(text), None, "{text:?}");
        }
    }
}
