//! Any bytes get an answer, and what is accepted can name a credential.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripline::formats::events::decoder::{Decoder, Format};
use tripline::formats::events::refusal::Limits;
use tripline::formats::secrets::secret::Fingerprinter;
use tripline::model::credential::check_id;

fuzz_target!(|bytes: &[u8]| {
    let fingerprints = Fingerprinter::new(b"a key of the fuzzer, of 32 bytes".to_vec());
    let decoder = Decoder::from(Format::CloudTrail);
    decoder.decode(bytes, &Limits::default(), &fingerprints, &mut |answer| {
        if let Ok(event) = answer {
            assert!(check_id(&event.credential).is_ok());
        }
    });
});
