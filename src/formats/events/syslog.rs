//! The message of a syslog frame (RFC 5424, RFC 3164, and what programs make of them), which is a record of
//! the source's format. The header is dropped: the record has a time of its own.

use chrono::Utc;
use syslog_loose::{Variant, parse_message_with_year_exact_tz};

/// The year of a header that has none, a leap year: the time is read by no one, but must be one.
const YEAR: i32 = 1972;

/// The message of a frame; a frame without a header is one itself, but for its priority.
pub fn message(frame: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    let end = frame.iter().rposition(|byte| !is_end(byte)).map_or(0, |last| last + 1);
    let frame = frame.get(..end).unwrap_or_default();
    // What is no UTF-8 is in the message: the format repairs it.
    let text = match std::str::from_utf8(frame) {
        Ok(text) => text,
        Err(error) => {
            let valid = frame.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
    };
    frame.get(start_of(text)..).unwrap_or_default()
}

/// Where the message begins.
fn start_of(text: &str) -> usize {
    let read = parse_message_with_year_exact_tz(text, |_| YEAR, Some(Utc), Variant::Either);
    // It is a part of the text, which may have white space behind it.
    let start = read.ok().map(|read| read.msg.as_ptr().addr().wrapping_sub(text.as_ptr().addr()));
    start.filter(|start| *start <= text.len()).unwrap_or_else(|| {
        let priority = text.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let is_number =
            |text: &str| text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        priority.filter(|(number, _)| is_number(number)).map_or(0, |(number, _)| number.len() + 2)
    })
}

#[cfg(test)]
mod tests {
    use super::message;
    use proptest::prelude::*;

    #[test]
    fn the_header_of_each_dialect_is_dropped() {
        let record = r#"{"a":"b: c [d] - x","e":1}"#;
        for header in [
            "<134>Dec  1 05:00:00 gw haproxy[123]: ",
            "<134>Dec  1 05:00:00 haproxy[123]: ",
            "<190>Dec  1 05:00:00 gw nginx: ",
            "<165>1 2026-12-01T05:00:00.003Z gw nginx 8710 - - ",
            "<165>1 2026-12-01T05:00:00.003Z gw nginx - access [id@32473 a=\"b\"] ",
            "<165>1 2026-12-01T05:00:00+01:00 gw app 8710 ID47 - ",
            "<190>Feb 29 05:00:00 gw nginx: ",
            "<134>",
        ] {
            for end in ["", "\n", "\r\n", "\n\n", "\0", " ", "\u{3000}"] {
                let frame = format!("{header}{record}{end}");
                let read = message(frame.as_bytes());
                assert_eq!(String::from_utf8_lossy(read).trim_end(), record, "{header}{end:?}");
            }
        }
    }

    #[test]
    fn a_frame_without_a_header_is_a_message() {
        assert_eq!(message(b"{\"a\":1}"), b"{\"a\":1}");
        assert_eq!(message(b""), b"");
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_left_to_the_format() {
        let read = message(b"<134>Dec  1 05:00:00 gw haproxy[1]: {\"a\":\"\xff\"}");
        assert_eq!(read, b"{\"a\":\"\xff\"}");
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(frame in prop::collection::vec(any::<u8>(), 0..100), head in "<[0-9]{1,4}>[1-9]? ?[A-Za-z0-9: .\\[\\]-]{0,40}") {
            let mut whole = head.into_bytes();
            whole.extend(&frame);
            prop_assert!(message(&whole).len() <= whole.len());
            prop_assert!(message(&frame).len() <= frame.len());
        }
    }
}
