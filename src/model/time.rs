//! Event time: when a thing happened, by the clock of its observer.

use std::fmt;

/// A point in event time. Unit: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

impl EventTime {
    /// The earliest time an event may carry, 1990-01-01T00:00:00Z: an older one is a broken clock,
    /// or seconds where milliseconds are due.
    pub const MIN: Self = Self(631_152_000_000);
    /// The latest time an event may carry, 2100-01-01T00:00:00Z; seconds since 1970 fit in `u32`.
    pub const MAX: Self = Self(4_102_444_800_000);

    /// Makes a time from milliseconds since 1970.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Makes a time from whole seconds since 1970.
    pub const fn from_s(s: i64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Seconds since 1970, as clocks of metrics count them.
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Whole seconds since 1970, clamped into `u32` (1970 to 2106).
    pub fn second(self) -> u32 {
        u32::try_from(self.0.div_euclid(1000).max(0)).unwrap_or(u32::MAX)
    }

    /// Milliseconds since the whole second, in 0..1000.
    pub fn ms_of_second(self) -> u16 {
        u16::try_from(self.0.rem_euclid(1000)).unwrap_or(0)
    }

    /// This time moved by `ms`, which may be negative.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; negative if `earlier` is the later one.
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Days since 1970 to year, month, day. Source: Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for EventTime {
    /// RFC 3339 in UTC with milliseconds, `2026-11-23T18:54:00.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400_000));
        let ms = self.0.rem_euclid(86_400_000);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let milli = ms % 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::EventTime;
    use proptest::prelude::*;

    #[test]
    fn a_time_is_written_as_rfc_3339() {
        assert_eq!(EventTime::from_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(EventTime::from_ms(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(EventTime::from_ms(951_782_400_123).to_string(), "2000-02-29T00:00:00.123Z");
    }

    proptest! {
        #[test]
        fn writing_agrees_with_jiff(ms in EventTime::MIN.ms()..EventTime::MAX.ms()) {
            let oracle = jiff::Timestamp::from_millisecond(ms).expect("within range");
            prop_assert_eq!(EventTime::from_ms(ms).to_string(), format!("{oracle:.3}"));
        }
    }
}
