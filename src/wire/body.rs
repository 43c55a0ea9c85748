//! The body of `POST /v1/events`: lines of JSON, or one JSON array.

use super::decoder::Decoder;
use super::refusal::{Limits, Refusal, of_json};
use super::secret::Fingerprinter;
use crate::model::event::AuthEvent;
use serde_json::value::RawValue;

/// Decodes a body; `each` gets the number of the line or element, from 1, and its answer. Empty
/// lines are passed over.
pub fn decode<'a>(
    decoder: &Decoder,
    body: &'a [u8],
    limits: &Limits,
    fingerprints: &Fingerprinter,
    mut each: impl FnMut(usize, Result<AuthEvent<'a>, Refusal>),
) {
    let begins_array = body.trim_ascii_start().first() == Some(&b'[');
    if begins_array {
        return decode_array(decoder, body, limits, fingerprints, each);
    }
    for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        if !line.trim_ascii().is_empty() {
            decoder.decode(line, limits, fingerprints, &mut |answer| each(number, answer));
        }
    }
}

fn decode_array<'a>(
    decoder: &Decoder,
    body: &'a [u8],
    limits: &Limits,
    fingerprints: &Fingerprinter,
    mut each: impl FnMut(usize, Result<AuthEvent<'a>, Refusal>),
) {
    let Ok(text) = std::str::from_utf8(body) else { return each(1, Err(Refusal::InvalidUtf8)) };
    match serde_json::from_str::<Vec<&'a RawValue>>(text) {
        Ok(elements) => {
            for (number, element) in (1..).zip(elements) {
                let record = element.get().as_bytes();
                decoder.decode(record, limits, fingerprints, &mut |answer| each(number, answer));
            }
        }
        Err(error) => each(1, Err(of_json(text, &error))),
    }
}
