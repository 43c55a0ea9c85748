//! Any text is cleaned, what was cleaned holds no known secret, and every credential has a name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripline::formats::secrets::secret::Fingerprinter;

fuzz_target!(|text: &str| {
    let fingerprints = Fingerprinter::new(b"a key of the fuzzer, of 32 bytes".to_vec());
    let found = fingerprints.candidates(text);
    assert!(found.ids.contains(&found.main.id));
    let planted = format!("{text} ghp_0123456789abcdef0123456789abcdef0123");
    let clean = fingerprints.clean_text(&planted).expect("a secret is planted");
    assert!(!clean.contains("ghp_0123456789abcdef0123456789abcdef0123"));
});
