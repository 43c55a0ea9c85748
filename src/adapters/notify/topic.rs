//! A Kafka topic that receives notifications.
//!
//! Records are keyed by credential, so that what happens to one stays in order.

use super::attempt::Attempt;
use crate::adapters::sources::kafka::capabilities;
use crate::adapters::sources::kafka::redaction::{self, Quiet, Redacted};
use crate::control_plane::notifications::notice::{Message, Notice};
use crate::formats::outbound::encoding::Form;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a record may take to be stored, within librdkafka, before the mailbox tries again.
const STORED_MS: &str = "5000";

/// Where the topic is.
#[derive(Clone)]
pub struct Params {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// The layout of records.
    pub form: Form,
    /// Raw settings of librdkafka.
    pub librdkafka: BTreeMap<String, String>,
}

impl fmt::Debug for Params {
    /// Without the raw settings, in which a password may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({} at {})", self.topic, self.brokers)
    }
}

/// A producer to one topic.
#[derive(Clone)]
pub(super) struct Topic {
    name: String,
    form: Form,
    producer: FutureProducer<Quiet>,
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.name)
    }
}

impl Topic {
    /// Makes a producer; it connects by itself.
    pub(super) fn open(params: Params) -> Result<Self, KafkaError> {
        redaction::hide(&params.librdkafka);
        let mut config = ClientConfig::new();
        config.set("message.timeout.ms", STORED_MS).set("linger.ms", "5");
        for (name, value) in &params.librdkafka {
            config.set(name, value);
        }
        capabilities::trust(&mut config);
        // A retry within librdkafka doubles nothing and changes no order.
        config.set("enable.idempotence", "true");
        config.set("bootstrap.servers", &params.brokers);
        let producer = config.create_with_context(Quiet)?;
        Ok(Self { name: params.topic, form: params.form, producer })
    }

    /// Stores a message.
    pub(super) async fn deliver(&self, receiver: &str, message: &Message) -> Attempt {
        let body = self.form.write(message).to_string();
        let credential = match &message.notice {
            Notice::Finding { known, .. } => Some(known.finding.credential.id()),
            Notice::Decision(decision) => Some(decision.credential.id()),
            Notice::More(_) => None,
        };
        let media_type = Header { key: "content-type", value: Some(self.form.media_type()) };
        let mut record = FutureRecord::to(&self.name).payload(&body);
        record.key = credential;
        record.headers = Some(OwnedHeaders::new().insert(media_type));
        match self.producer.send(record, Duration::ZERO).await {
            Ok(_) => Attempt::Delivered,
            Err((error, _)) if is_final(&error) => {
                let error = Redacted::of(error);
                tracing::error!(
                    receiver, %error,
                    "the topic rejects records; check that it exists and that tripline may write \
                     to it"
                );
                Attempt::Refused(error.to_string())
            }
            Err((error, _)) => {
                let error = Redacted::of(error);
                tracing::warn!(receiver, %error, "not delivered yet; retrying");
                Attempt::Unanswered(error.to_string())
            }
        }
    }
}

/// Whether another attempt can't help.
fn is_final(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode::{
        InvalidTopic, MessageSizeTooLarge, TopicAuthorizationFailed,
    };
    let code = error.rdkafka_error_code();
    matches!(code, Some(InvalidTopic | MessageSizeTooLarge | TopicAuthorizationFailed))
}
