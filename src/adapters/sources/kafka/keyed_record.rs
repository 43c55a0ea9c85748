//! A record of an event as tripline writes it into a topic: native, without secrets, keyed by credential. All
//! that writes events to Kafka writes them so, and consumers read them as `format = "native"`.

use crate::formats::events::native;
use crate::model::event::AuthEvent;
use rdkafka::ClientConfig;
use rdkafka::producer::BaseRecord;
use rdkafka::util::IntoOpaque;
use std::collections::BTreeMap;

/// An event that is written into a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRecord {
    credential: String,
    line: String,
}

impl KeyedRecord {
    /// The record of an event.
    pub fn new(event: &AuthEvent<'_>) -> Self {
        let credential = event.credential.clone().into_owned();
        Self { credential, line: native::encode(event) }
    }

    /// Its length, key and body. Unit: bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.credential.len() + self.line.len()
    }

    /// The record for that topic, with what is to be known once it is stored.
    pub(super) fn to<'a, O: IntoOpaque>(
        &'a self,
        topic: &'a str,
        opaque: O,
    ) -> BaseRecord<'a, str, str, O> {
        BaseRecord::with_opaque_to(topic, opaque).key(&*self.credential).payload(&*self.line)
    }
}

/// Configures a producer of such records. It places keys as clients in Java do, so that all that write to one topic
/// place them alike; it batches and compresses them, unless the operator's `librdkafka` says otherwise.
pub(super) fn configure(config: &mut ClientConfig, librdkafka: &BTreeMap<String, String>) {
    config.set("partitioner", "murmur2_random");
    for (name, value) in
        [("linger.ms", "5"), ("batch.num.messages", "10000"), ("compression.type", "lz4")]
    {
        if !librdkafka.contains_key(name) {
            config.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeyedRecord;
    use crate::formats::events::decoder::{Decoder, Format};
    use crate::formats::events::refusal::Limits;
    use crate::formats::secrets::secret::Fingerprinter;
    use crate::model::credential::Kind;
    use crate::model::event::{AuthEvent, Outcome};
    use crate::model::money::Money;
    use crate::model::time::EventTime;

    const NOW: EventTime = EventTime::from_s(1_800_000_000);

    fn fingerprints() -> Fingerprinter {
        Fingerprinter::new([7; 32].to_vec())
    }

    /// A line as one source reads it, and as a consumer reads the record of it.
    fn read_twice(decoder: &Decoder, line: &str) -> (AuthEvent<'static>, AuthEvent<'static>) {
        let read = |decoder: &Decoder, line: &str| {
            let mut found = Vec::new();
            let limits = Limits::at(NOW);
            decoder.decode(line.as_bytes(), &limits, &fingerprints(), &mut |event| {
                found.push(event.expect("is taken").into_owned());
            });
            found.pop().expect("an event")
        };
        let first = read(decoder, line);
        let record = KeyedRecord::new(&first);
        assert_eq!(record.credential, first.credential);
        (first, read(&Decoder::from(Format::Native), &record.line))
    }

    #[test]
    fn all_that_a_source_decided_of_an_event_survives_the_topic() {
        let (_, template) = read_twice(
            &Decoder::default(),
            r#"{"time":1800000000123,"credential":"key_1","id":"e-1","subject":"jo",
                "reason":"scope","asn":64500,"country":"de","user_agent":"curl/8",
                "method":"POST","endpoint":"/v1/x","status":403,"model":"gpt-4","tokens":17,
                "spend":0.123456,"issued":1790000000000,"expires":1900000000000,
                "family":"f-1","issuer":"https://id.example","gateway":"edge-1"}"#,
        );
        for (outcome, verified) in
            Outcome::ALL.into_iter().flat_map(|outcome| [(outcome, true), (outcome, false)])
        {
            for kind in Kind::ALL {
                let event = AuthEvent {
                    outcome,
                    verified,
                    kind,
                    tenant: Some("acme".into()),
                    ip: Some("10.0.0.7".parse().expect("an address")),
                    ..template.clone()
                };
                let record = KeyedRecord::new(&event);
                let (again, _) = read_twice(&Decoder::default(), &record.line);
                assert_eq!(again, event);
                assert_eq!(again.spend, Money::of(0.123_456));
            }
        }
    }

    #[test]
    fn a_secret_is_known_by_the_same_fingerprint_behind_the_topic() {
        let raw = Decoder { raw_secrets: true, ..Decoder::default() };
        let token = "sk_live_4eC39HqLyjWDarjtT1zdp7dcTYooMQauvdEDq54NiTphI7jx";
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIzZjJjNGQ1ZS02Zjc4LTRhOWItOGMwZC0xZTJmM2E0YjVjNmQi\
                   LCJzdWIiOiJqbyJ9.c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmUtc2lnbmE";
        for (decoder, credential) in
            [(&Decoder::default(), token), (&raw, "short"), (&Decoder::default(), jwt)]
        {
            let line = format!(
                "{{\"time\":1800000000000,\"credential\":\"{credential}\",\"status\":200}}"
            );
            let (first, again) = read_twice(decoder, &line);
            assert_ne!(first.credential, credential);
            assert!(first.held_secret && !again.held_secret, "{credential}");
            assert_eq!(again, AuthEvent { held_secret: false, ..first });
        }
    }
}
