//! The message of a syslog frame (RFC 5424, RFC 3164, and what programs make of them), which is a record of
//! the source's format. The header is dropped: its time has no date in one case, and no client's in none.

use chrono::Utc;
use std::borrow::Cow;
use syslog_loose::{Variant, parse_message_with_year_exact_tz};

/// The year of a header that has none. It is read by no one.
const YEAR: i32 = 1970;

/// The message of a frame; a frame without a header is one itself.
pub fn message(frame: &[u8]) -> Cow<'_, [u8]> {
    let frame = frame.strip_suffix(b"\n").unwrap_or(frame);
    let of = |text: &str| {
        let read =
            parse_message_with_year_exact_tz(text, |_| YEAR, Some(Utc), Variant::Either).ok()?;
        let start = text.len().checked_sub(read.msg.len())?;
        text.ends_with(read.msg).then_some(start)
    };
    match String::from_utf8_lossy(frame) {
        Cow::Borrowed(text) => {
            let start = of(text).unwrap_or(0);
            Cow::Borrowed(frame.get(start..).unwrap_or_default())
        }
        Cow::Owned(text) => {
            let start = of(&text).unwrap_or(0);
            Cow::Owned(text.get(start..).unwrap_or_default().as_bytes().to_vec())
        }
    }
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
        ] {
            let frame = format!("{header}{record}\n");
            let read = message(frame.as_bytes());
            assert_eq!(String::from_utf8_lossy(&read), record, "{header}");
        }
    }

    #[test]
    fn a_frame_without_a_header_is_a_message() {
        assert_eq!(&*message(b"{\"a\":1}"), b"{\"a\":1}");
        assert_eq!(&*message(b""), b"");
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_replaced_and_hide_nothing() {
        let read = message(b"<134>Dec  1 05:00:00 gw haproxy[1]: {\"a\":\"\xff\"}");
        assert_eq!(String::from_utf8_lossy(&read), "{\"a\":\"\u{fffd}\"}");
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(frame in prop::collection::vec(any::<u8>(), 0..100), head in "<[0-9]{1,4}>[1-9]? ?[A-Za-z0-9: .\\[\\]-]{0,40}") {
            let mut whole = head.into_bytes();
            whole.extend(&frame);
            prop_assert!(message(&whole).len() <= 3 * whole.len());
            prop_assert!(message(&frame).len() <= 3 * frame.len());
        }
    }
}
