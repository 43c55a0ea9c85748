//! Messages that were taken, so that none is taken twice.
//!
//! A message is good for [`WINDOW_S`] around its time; its id is remembered until that is over. Only verified
//! messages are remembered, so no stranger fills the table.

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// How far the time of a message may be off. Unit: seconds. Source: five minutes, as the reference libraries of
/// Standard Webhooks.
pub const WINDOW_S: i64 = 300;
/// The most messages that are remembered. Unit: ids. Chosen: 33 a second for five minutes; 2 MB at most.
const IDS_MAX: usize = 10_000;
/// The longest id. Unit: bytes. Chosen: a UUID has 36.
const ID_BYTES_MAX: usize = 128;

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its time is too far off.
    Time,
    /// It has no id, or too long a one.
    Id,
    /// It was taken before.
    Replayed,
    /// More messages came than are remembered; this one may come later.
    Full,
}

/// Ids of messages that were taken, with the second until which each is remembered.
#[derive(Debug, Default)]
pub struct ReplayGuard(Mutex<BTreeMap<String, i64>>);

/// A message that is being taken. Unless it is kept, its id is forgotten: its sender may send it again.
#[derive(Debug)]
#[must_use]
pub struct Admission<'a> {
    guard: &'a ReplayGuard,
    id: Option<String>,
}

impl Admission<'_> {
    /// The message was taken.
    pub fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.guard.0.lock().remove(id);
        }
    }
}

impl ReplayGuard {
    /// Takes a message of that id and time. Both times in seconds since 1970.
    ///
    /// # Errors
    /// When it must not be taken.
    pub fn admit(&self, id: &str, sent_s: i64, now_s: i64) -> Result<Admission<'_>, Refused> {
        Self::check_time(sent_s, now_s)?;
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(Refused::Id);
        }
        let mut seen = self.0.lock();
        seen.retain(|_, until_s| *until_s >= now_s);
        if seen.contains_key(id) {
            return Err(Refused::Replayed);
        }
        if seen.len() >= IDS_MAX {
            return Err(Refused::Full);
        }
        // The sender may sign it again, with a later time, under the same id.
        seen.insert(id.to_owned(), now_s.max(sent_s).saturating_add(WINDOW_S));
        Ok(Admission { guard: self, id: Some(id.to_owned()) })
    }

    /// Whether a message of that time may be taken.
    ///
    /// # Errors
    /// When its time is too far off.
    pub fn check_time(sent_s: i64, now_s: i64) -> Result<(), Refused> {
        let off = now_s.saturating_sub(sent_s).saturating_abs();
        if off > WINDOW_S { Err(Refused::Time) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, IDS_MAX, Refused, ReplayGuard, WINDOW_S};

    fn take(guard: &ReplayGuard, id: &str, sent_s: i64, now_s: i64) -> Result<(), Refused> {
        guard.admit(id, sent_s, now_s).map(Admission::keep)
    }

    #[test]
    fn a_message_is_taken_once_as_long_as_its_time_is_good() {
        let guard = ReplayGuard::default();
        let now = 1_800_000_000;
        assert_eq!(take(&guard, "m1", now - WINDOW_S, now), Ok(()));
        assert_eq!(take(&guard, "m1", now, now), Err(Refused::Replayed));
        assert_eq!(take(&guard, "m2", now + WINDOW_S, now), Ok(()));
        for later in [1, WINDOW_S, 2 * WINDOW_S] {
            let again = take(&guard, "m2", now + WINDOW_S, now + later);
            assert_eq!(again, Err(Refused::Replayed), "{later}");
        }
        let over = take(&guard, "m2", now + WINDOW_S, now + 2 * WINDOW_S + 1);
        assert_eq!(over, Err(Refused::Time));
        for off in [WINDOW_S + 1, -WINDOW_S - 1] {
            assert_eq!(take(&guard, "m3", now + off, now), Err(Refused::Time));
        }
        assert_eq!(take(&guard, "m3", i64::MIN, now), Err(Refused::Time));
        assert_eq!(take(&guard, "", now, now), Err(Refused::Id));
        drop(guard.admit("m4", now, now));
        assert_eq!(take(&guard, "m4", now, now), Ok(()), "it was not taken whole");
    }

    #[test]
    fn memory_is_bounded_and_a_full_table_lets_nothing_pass() {
        let guard = ReplayGuard::default();
        let now = 1_800_000_000;
        for number in 0..IDS_MAX {
            assert_eq!(take(&guard, &format!("m{number}"), now, now), Ok(()));
        }
        assert_eq!(take(&guard, "one more", now, now), Err(Refused::Full));
        assert_eq!(take(&guard, "m7", now, now), Err(Refused::Replayed));
        let later = now + WINDOW_S + 1;
        assert_eq!(take(&guard, "one more", later, later), Ok(()));
    }
}
