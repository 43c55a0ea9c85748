//! Standard input: a record a line, as from `kubectl logs --follow … | tripline run`.

use super::decoded::Decoded;
use super::event_sink::EventSink;
use super::rejects::RecordPlace;
use super::tail::lines::split;
use crate::adapters::clock;
use crate::formats::events::decoder::Decoder;
use crate::formats::events::refusal::Limits;
use std::io::Read;
use tokio::runtime::Handle;

/// How much is read at once. Unit: bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Reads until the input ends, or tripline stops. Blocks, also while nothing comes.
pub fn read(name: &str, decoder: &Decoder, sink: &EventSink, runtime: &Handle) {
    let mut input = std::io::stdin().lock();
    let (mut text, mut chunk) = (Vec::new(), vec![0; CHUNK_BYTES]);
    let (mut passing_over, mut number) = (false, 0);
    while !sink.is_stopping() {
        let read = match input.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::error!(source = name, %error, "can't read standard input");
                return;
            }
        };
        text.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let limits = Limits::at(clock::now());
        let mut decoded = Decoded::default();
        let ended = read == 0;
        let used = split(&text, (&mut passing_over, ended), limits.record_bytes_max, |_, line| {
            number += 1;
            sink.decode(decoder, (number, line), &limits, &mut decoded);
        });
        text.drain(..used);
        let place = |number| RecordPlace::Message { source: name, number };
        if runtime.block_on(sink.take(name, None, decoded, place)).is_err() {
            return;
        }
        if ended {
            tracing::warn!(
                source = name,
                lines = number,
                "standard input has ended: nothing more comes from this source"
            );
            return;
        }
    }
}
