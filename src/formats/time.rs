//! Times as senders write them.

use crate::model::time::EventTime;

/// Reads RFC 3339: the usual form by hand, everything else by jiff.
pub fn rfc3339(text: &str) -> Option<EventTime> {
    fixed(text.as_bytes()).or_else(|| {
        let read: jiff::Timestamp = text.parse().ok()?;
        Some(EventTime::from_ms(whole_ms(read)))
    })
}

/// The milliseconds that have begun since 1970; before that jiff's own count goes towards 1970.
fn whole_ms(time: jiff::Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction]Z`; anything else is `None`, right or wrong.
fn fixed(text: &[u8]) -> Option<EventTime> {
    let (head, tail) = text.split_at_checked(19)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] =
        *head
    else {
        return None;
    };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    let milli = fraction_ms(tail)?;
    let days = days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(EventTime::from_ms(seconds * 1000 + milli))
}

/// `Z`, or `.` with one to nine digits and `Z`.
fn fraction_ms(tail: &[u8]) -> Option<i64> {
    match tail {
        [b'Z'] => Some(0),
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            // The first three digits, and zeros where there are fewer.
            (0..3).try_fold(0, |ms, place| {
                Some(ms * 10 + digits.get(place).map_or(Some(0), |digit| number(&[*digit]))?)
            })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970. Source: Howard Hinnant, "chrono-compatible low-level date algorithms",
/// `days_from_civil`.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let month_index = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Reads RFC 3339, and the same without a zone, which is UTC.
pub fn rfc3339_or_utc(text: &str) -> Option<EventTime> {
    rfc3339(text).or_else(|| {
        let text = text.trim().trim_end_matches(" UTC");
        let read: jiff::civil::DateTime = text.parse().ok()?;
        of_civil(read)
    })
}

fn of_civil(time: jiff::civil::DateTime) -> Option<EventTime> {
    let time = jiff::tz::Offset::UTC.to_timestamp(time).ok()?;
    Some(EventTime::from_ms(whole_ms(time)))
}

/// Reads a time by a pattern; without a zone it is UTC.
pub fn strptime(pattern: &str, text: &str) -> Option<EventTime> {
    let read = jiff::fmt::strtime::parse(pattern, text).ok()?;
    match read.to_timestamp() {
        Ok(time) => Some(EventTime::from_ms(whole_ms(time))),
        Err(_) => of_civil(read.to_datetime().ok()?),
    }
}

/// Whether a text is a pattern of [`strptime`], by which a whole time can be read.
pub fn is_strptime(pattern: &str) -> bool {
    let written = jiff::fmt::strtime::format(pattern, jiff::Timestamp::UNIX_EPOCH);
    pattern.contains('%') && written.is_ok_and(|text| strptime(pattern, &text).is_some())
}

/// Reads the time of an access log, `10/Oct/2000:13:55:36 -0700`.
pub fn access_log(text: &str) -> Option<EventTime> {
    strptime("%d/%b/%Y:%H:%M:%S %z", text)
}

#[cfg(test)]
mod tests {
    use super::{EventTime, access_log, fixed, rfc3339, whole_ms};
    use proptest::prelude::*;

    #[test]
    fn the_usual_forms_are_read() {
        let ms = |text| rfc3339(text).map(EventTime::ms);
        assert_eq!(ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(ms("2026-11-23T18:54:00.123Z"), Some(1_795_460_040_123));
        assert_eq!(ms("2026-11-23T18:54:00.123456789Z"), Some(1_795_460_040_123));
        assert_eq!(ms("2026-11-23T18:54:00.1Z"), Some(1_795_460_040_100));
        assert_eq!(ms("2026-11-23T20:54:00+02:00"), ms("2026-11-23T18:54:00Z"));
        assert_eq!(ms("2023-02-29T00:00:00Z"), None);
        assert_eq!(ms("yesterday"), None);
        assert_eq!(
            access_log("10/Oct/2000:13:55:36 -0700").map(EventTime::ms),
            Some(971_211_336_000)
        );
        assert_eq!(access_log("10/Oct/2000"), None);
    }

    proptest! {
        #[test]
        fn the_fast_path_never_disagrees_with_jiff(
            text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\\.[0-9]{1,9})?Z"
        ) {
            if let Some(time) = fixed(text.as_bytes()) {
                let oracle: jiff::Timestamp = text.parse().expect("jiff reads it too");
                prop_assert_eq!(time.ms(), whole_ms(oracle));
            }
        }

        #[test]
        fn what_jiff_writes_is_read(ms in 0_i64..4_000_000_000_000) {
            let written = jiff::Timestamp::from_millisecond(ms).expect("in range").to_string();
            prop_assert_eq!(rfc3339(&written).map(EventTime::ms), Some(ms));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            rfc3339(&text);
            access_log(&text);
        }
    }
}
