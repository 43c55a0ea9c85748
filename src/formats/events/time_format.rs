//! How a time is written in an operator's own records.

use super::scalar::Scalar;
use crate::formats::time::{is_strptime, rfc3339_or_utc, strptime};
use crate::model::time::EventTime;

/// The unit of a number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl TimeUnit {
    const fn per_ms(self) -> f64 {
        match self {
            Self::S => 1e-3,
            Self::Ms => 1.0,
            Self::Us => 1e3,
            Self::Ns => 1e6,
        }
    }

    /// The unit in which a number is a time between 1973 and 5138.
    fn of_magnitude(number: f64) -> Self {
        match number.abs() {
            size if size < 1e11 => Self::S,
            size if size < 1e14 => Self::Ms,
            size if size < 1e17 => Self::Us,
            _ => Self::Ns,
        }
    }
}

/// How a time is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339, or integer milliseconds since 1970, also as a text.
    #[default]
    Native,
    /// RFC 3339; without a zone in UTC.
    Rfc3339,
    /// A number of that unit, whole or not, also as a text.
    Unit(TimeUnit),
    /// A number whose unit shows in its magnitude, also as a text; or RFC 3339, without a zone in UTC.
    Auto,
    /// A text by a pattern of strptime; without a zone in UTC.
    Strptime(String),
}

impl TimeFormat {
    /// The names of the formats that are no pattern.
    pub const NAMES: [&str; 6] = ["s", "ms", "us", "ns", "rfc3339", "auto"];

    /// The format of that name, or with that pattern; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "s" => Self::Unit(TimeUnit::S),
            "ms" => Self::Unit(TimeUnit::Ms),
            "us" => Self::Unit(TimeUnit::Us),
            "ns" => Self::Unit(TimeUnit::Ns),
            "rfc3339" => Self::Rfc3339,
            "auto" => Self::Auto,
            pattern if is_strptime(pattern) => Self::Strptime(pattern.to_owned()),
            _ => return None,
        })
    }

    /// The time that a value is; `None` if it can't be read so.
    pub(in crate::formats) fn read(&self, value: &Scalar<'_>) -> Option<EventTime> {
        match self {
            Self::Native => {
                let ms = value.only_text().ok().flatten().and_then(|text| text.parse().ok());
                ms.map(EventTime::from_ms).or_else(|| value.time())
            }
            Self::Rfc3339 => rfc3339_or_utc(value.only_text().ok()??),
            Self::Unit(unit) => in_unit(number(value)?, *unit),
            Self::Auto => match number(value) {
                Some(number) => in_unit(number, TimeUnit::of_magnitude(number)),
                None => rfc3339_or_utc(value.only_text().ok()??),
            },
            Self::Strptime(pattern) => strptime(pattern, value.only_text().ok()??),
        }
    }
}

fn number(value: &Scalar<'_>) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "256 ns at most, for times of today")]
        Scalar::Unsigned(number) => Some(*number as f64),
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        Scalar::Negative(number) => Some(*number as f64),
        Scalar::Float(number) => Some(*number),
        // `inf` and `nan` are numbers for Rust alone.
        Scalar::Text(text) => {
            let text = text.trim();
            text.bytes().next_back()?.is_ascii_digit().then(|| text.parse().ok())?
        }
        Scalar::Null | Scalar::Bool(_) | Scalar::Nested => None,
    }
}

/// The time that a number is, to the nearest millisecond: a decimal fraction is no exact double.
fn in_unit(number: f64, unit: TimeUnit) -> Option<EventTime> {
    let ms = (number / unit.per_ms()).round();
    #[expect(clippy::cast_possible_truncation, reason = "within 2^53")]
    (ms.abs() < 9e15).then(|| EventTime::from_ms(ms as i64))
}

#[cfg(test)]
mod tests {
    use super::{EventTime, Scalar, TimeFormat};
    use proptest::prelude::*;

    const MS: i64 = 1_795_460_040_123;

    #[expect(clippy::unwrap_in_result, reason = "a test that is wrong fails")]
    fn read(format: &str, json: &str) -> Option<i64> {
        let format = TimeFormat::parse(format).expect("a format");
        let value: Scalar<'_> = serde_json::from_str(json).expect("JSON");
        format.read(&value).map(EventTime::ms)
    }

    #[test]
    fn times_are_read_as_gateways_write_them() {
        for (format, json) in [
            // Caddy and LiteLLM; nginx's $msec; the same in whole units.
            ("s", "1795460040.123"),
            ("s", "\"1795460040.123\""),
            ("ms", "1795460040123"),
            ("us", "1795460040123000"),
            ("ns", "\"1795460040123000000\""),
            ("ns", "1795460040123000000"),
            ("rfc3339", "\"2026-11-23 18:54:00.123\""),
            ("rfc3339", "\"2026-11-23T18:54:00.123Z\""),
            ("rfc3339", "\"2026-11-23T20:54:00.123+02:00\""),
            ("auto", "1795460040.123"),
            ("auto", "1795460040123"),
            ("auto", "\"1795460040123000\""),
            ("auto", "1795460040123000000"),
            ("auto", "\"2026-11-23 18:54:00.123\""),
            ("%Y-%m-%d %H:%M:%S%.f", "\"2026-11-23 18:54:00.123\""),
            ("%Y-%m-%dT%H:%M:%S%.f%z", "\"2026-11-23T20:54:00.123+0200\""),
        ] {
            assert_eq!(read(format, json), Some(MS), "{format} {json}");
        }
        assert_eq!(read("s", "1795460040"), Some(MS - 123));
        assert_eq!(read("%d/%b/%Y:%H:%M:%S %z", "\"23/Nov/2026:18:54:00 +0000\""), Some(MS - 123));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for (format, json) in [
            ("s", "\"2026-11-23T18:54:00Z\""),
            ("s", "\"inf\""),
            ("s", "\"nan\""),
            ("s", "1e300"),
            ("s", "true"),
            ("rfc3339", "1795460040"),
            ("rfc3339", "\"18:54\""),
            ("auto", "\"yesterday\""),
            ("auto", "{}"),
            ("%s", "\"x\""),
        ] {
            assert_eq!(read(format, json), None, "{format} {json}");
        }
    }

    #[test]
    fn a_format_is_a_name_or_a_pattern() {
        for wrong in ["", "seconds", "YYYY-MM-DD", "%Q", "%", "%H:%M"] {
            assert_eq!(TimeFormat::parse(wrong), None, "{wrong}");
        }
        assert!(TimeFormat::NAMES.iter().all(|name| TimeFormat::parse(name).is_some()));
    }

    proptest! {
        #[test]
        fn each_unit_gives_the_same_millisecond(ms in 0_i64..4_000_000_000_000) {
            prop_assume!(ms >= 100_000_000_000);
            let seconds = format!("{}.{:03}", ms / 1000, ms % 1000);
            for format in ["s", "auto"] {
                prop_assert_eq!(read(format, &seconds), Some(ms));
            }
            for zeros in ["", "000", "000000"] {
                prop_assert_eq!(read("auto", &format!("{ms}{zeros}")), Some(ms));
            }
        }
    }
}
