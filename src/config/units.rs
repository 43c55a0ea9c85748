//! Texts with units: "60s", "10k/min", "8MiB".

use super::table::setting::Kind;
use super::value::{InvalidValue, Value};

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok().filter(|n: &f64| n.is_finite())?, unit.trim()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to fit")]
fn whole(value: f64) -> Option<u64> {
    (0.0..9e15).contains(&value).then(|| value.round() as u64)
}

/// A duration: `500ms`, `60s`, `15min`, `24h`, `14d`. Unit: milliseconds.
///
/// # Errors
/// When it is none.
pub fn duration_ms(value: Value<'_>) -> Result<i64, InvalidValue> {
    let read = duration_of(value.text()?);
    read.ok_or_else(|| InvalidValue::new("invalid duration", DURATIONS))
}

/// How durations are written.
pub const DURATIONS: &str = "write 500ms, 60s, 15min, 24h or 14d";

/// The duration that `text` says, if it says one. Unit: milliseconds.
pub fn duration_of(text: &str) -> Option<i64> {
    split(text).and_then(|(number, unit)| {
        let ms = match unit {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" | "min" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        i64::try_from(whole(number * ms)?).ok()
    })
}

/// A rate: `10000/min`, `10k/min`, `200/s`; `none` is no limit. Unit: requests per minute.
///
/// # Errors
/// When it is none.
pub fn rate_per_min(value: Value<'_>) -> Result<u32, InvalidValue> {
    let read = rate_of(value.text()?);
    read.ok_or_else(|| InvalidValue::new("invalid rate", RATES))
}

/// How rates are written.
pub const RATES: &str = "write 10000/min, 10k/min, 200/s or none";

/// The rate that `text` says, if it says one; 0 is none. Unit: requests per minute.
pub fn rate_of(text: &str) -> Option<u32> {
    if text == "none" {
        return Some(0);
    }
    split(text).and_then(|(number, unit)| {
        let (scale, per) = unit.split_once('/')?;
        let scale = match scale.trim() {
            "" => 1.0,
            "k" => 1e3,
            "M" => 1e6,
            _ => return None,
        };
        let per_min = match per.trim() {
            "s" => 60.0,
            "min" | "m" => 1.0,
            "h" => 1.0 / 60.0,
            _ => return None,
        };
        u32::try_from(whole(number * scale * per_min)?).ok().filter(|rate| *rate > 0)
    })
}

/// A size: `512KiB`, `8MiB`, `1GiB`, `1000B`. Unit: bytes.
///
/// # Errors
/// When it is none.
pub fn bytes(value: Value<'_>) -> Result<u64, InvalidValue> {
    let text = value.text()?;
    let read = split(text).and_then(|(number, unit)| {
        let scale = match unit {
            "B" => 1.0,
            "KiB" => 1024.0,
            "MiB" => 1_048_576.0,
            "GiB" => 1_073_741_824.0,
            _ => return None,
        };
        whole(number * scale)
    });
    read.ok_or_else(|| InvalidValue::new("invalid size", "write 512KiB, 8MiB or 1GiB"))
}

/// A rate, or 0 for none where its kind allows that. Unit: requests per minute.
///
/// # Errors
/// When it is none.
pub fn rate_within(value: Value<'_>, kind: Kind) -> Result<u32, InvalidValue> {
    let rate = rate_per_min(value)?;
    if rate == 0 && kind == (Kind::Rate { or_none: false }) {
        return Err(InvalidValue::new("a rate is required", "write 10000/min, 10k/min or 200/s"));
    }
    Ok(rate)
}

/// A duration in the range of its kind. Unit: milliseconds.
///
/// # Errors
/// When it is none, or out of its range.
pub fn duration_within(value: Value<'_>, kind: Kind) -> Result<i64, InvalidValue> {
    let ms = duration_ms(value)?;
    let Kind::Duration { min_ms, max_ms } = kind else { return Ok(ms) };
    if ms < min_ms {
        let remedy = format!("write {} or more", written_ms(min_ms));
        return Err(InvalidValue::new("too short", remedy));
    }
    if ms > max_ms {
        let remedy = format!("write {} or less", written_ms(max_ms));
        return Err(InvalidValue::new("too long", remedy));
    }
    Ok(ms)
}

/// A duration as it is written.
pub fn written_ms(ms: i64) -> String {
    match ms {
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// A size as it is written.
pub fn written_bytes(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{}MiB", bytes >> 20)
    } else {
        format!("{}KiB", bytes >> 10)
    }
}

/// A size in the range of its kind. Unit: bytes.
///
/// # Errors
/// When it is none, or too small.
pub fn size_within(value: Value<'_>, kind: Kind) -> Result<u64, InvalidValue> {
    let size = bytes(value)?;
    let Kind::Size { min } = kind else { return Ok(size) };
    if size >= min {
        return Ok(size);
    }
    Err(InvalidValue::new("too small", format!("write {} or more", written_bytes(min))))
}

/// A whole number in the range of its kind.
///
/// # Errors
/// When it is none, or out of its range.
pub fn integer_within(value: Value<'_>, kind: Kind) -> Result<i64, InvalidValue> {
    let read = value.integer()?;
    let Kind::Integer { min, max } = kind else { return Ok(read) };
    if (min..=max).contains(&read) {
        return Ok(read);
    }
    let remedy = format!("write a whole number from {min} to {max}");
    Err(InvalidValue::new("out of range", remedy))
}

/// A number in the range of its kind; none for `"none"` where that is one.
///
/// # Errors
/// When it is none, or out of its range.
pub fn number_within(value: Value<'_>, kind: Kind) -> Result<Option<f64>, InvalidValue> {
    let Kind::Number { min, max, or_none } = kind else { return value.number().map(Some) };
    if or_none && value.text() == Ok("none") {
        return Ok(None);
    }
    let read = value.number()?;
    if (min..=max).contains(&read) {
        return Ok(Some(read));
    }
    let or = if or_none { ", or \"none\"" } else { "" };
    let remedy = format!("write a number from {min} to {max}{or}");
    Err(InvalidValue::new("out of range", remedy))
}

#[cfg(test)]
mod tests {
    use super::{Value, bytes, duration_ms, rate_per_min};

    #[test]
    fn units_are_read() {
        let ms = |text| duration_ms(Value::Environment(text)).ok();
        assert_eq!(
            [ms("1.5s"), ms("15min"), ms("14d")],
            [Some(1500), Some(900_000), Some(1_209_600_000)]
        );
        assert_eq!([ms("15"), ms("s"), ms("-1s"), ms("1 year")], [None; 4]);
        let rate = |text| rate_per_min(Value::Environment(text)).ok();
        assert_eq!(
            [rate("10k/min"), rate("200/s"), rate("none")],
            [Some(10_000), Some(12_000), Some(0)]
        );
        assert_eq!([rate("10k"), rate("0/min"), rate("9999M/s")], [None; 3]);
        let size = |text| bytes(Value::Environment(text)).ok();
        assert_eq!([size("8MiB"), size("1000B"), size("8MB")], [Some(8 << 20), Some(1000), None]);
    }
}
