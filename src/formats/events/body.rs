//! The body of `POST /v1/events`: lines of JSON, one JSON array, or documents.

use super::decoder::Decoder;
use super::refusal::{Limits, Refusal};
use super::repair::without_mark;
use super::split::Elements;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::event::AuthEvent;

/// Decodes a body; `each` gets the number of the line, element or record, from 1, and its answer.
/// Empty lines are passed over. A fault of one is that one's; the missing end of an array that is
/// cut off between two elements counts as one more.
pub fn decode<'a>(
    decoder: &Decoder,
    body: &'a [u8],
    limits: &Limits,
    fingerprints: &Fingerprinter,
    mut each: impl FnMut(usize, Result<AuthEvent<'a>, Refusal>),
) {
    let body = without_mark(body);
    if decoder.format.reads_documents() {
        let mut number = 0;
        return decoder.decode(body, limits, fingerprints, &mut |answer| {
            number += 1;
            each(number, answer);
        });
    }
    let Some(mut elements) = Elements::of(body) else {
        for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
            if !line.trim_ascii().is_empty() {
                decoder.decode(line, limits, fingerprints, &mut |answer| each(number, answer));
            }
        }
        return;
    };
    let (mut last, mut was_refused) = (0, false);
    for (number, element) in (1..).zip(elements.by_ref()) {
        last = number;
        decoder.decode(element, limits, fingerprints, &mut |answer| {
            was_refused = answer.is_err();
            each(number, answer);
        });
    }
    if elements.has_other_fault(was_refused) {
        each(last + 1, Err(Refusal::InvalidJson));
    }
}
