//! The topic of refused records: their places and reasons. Records that the topic does not take go to the
//! file, so that no refused record is untold.

use super::consumer::{Params, Shared};
use super::redaction::{Redacted, note_error, note_line};
use crate::adapters::clock;
use crate::adapters::sources::metrics::SourceMetrics;
use crate::adapters::sources::rejects::RejectLog;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long a record may wait for the topic. Unit: milliseconds. Chosen: librdkafka waits for five
/// minutes, for which no one would know.
const TIMEOUT_MS: &str = "10000";

/// The topic of refused records.
#[derive(Clone)]
pub(super) struct RejectsTopic {
    producer: Arc<ThreadedProducer<Deliveries>>,
    topic: String,
}

impl std::fmt::Debug for RejectsTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RejectsTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl RejectsTopic {
    /// The topic of the settings, if they name one.
    pub(super) fn new(params: &Params, shared: &Shared) -> Option<Self> {
        let topic = params.rejects_topic.clone()?;
        let deliveries = Deliveries {
            rejects: Arc::clone(&shared.rejects),
            records: shared.records.clone(),
            warned: AtomicBool::new(false),
        };
        let mut config = params.client();
        match config.set("message.timeout.ms", TIMEOUT_MS).create_with_context(deliveries) {
            Ok(producer) => Some(Self { producer: Arc::new(producer), topic }),
            Err(error) => {
                let error = Redacted::of(error);
                tracing::error!(%error, "rejected records go to the file: can't create a producer");
                None
            }
        }
    }

    /// Sends the place and reason of a record; false if the client's queue is full, or it knows already
    /// that the topic takes nothing.
    pub(super) fn send(&self, letter: &str) -> bool {
        let record = BaseRecord::<(), str>::to(&self.topic).payload(letter);
        let sent = self.producer.send(record);
        if let Err((error, _)) = &sent {
            self.producer.client().context().warn(error, &self.topic);
        }
        sent.is_ok()
    }
}

/// Takes care of what the topic did not take.
struct Deliveries {
    rejects: Arc<RejectLog>,
    records: SourceMetrics,
    warned: AtomicBool,
}

impl Deliveries {
    fn warn(&self, error: &KafkaError, topic: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::error!(
                error = %Redacted::of(error),
                topic,
                "rejects_topic does not accept rejected records; they go to the file"
            );
        }
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        note_line(level, facility, text);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else {
            self.warned.store(false, Ordering::Relaxed);
            return;
        };
        self.warn(error, message.topic());
        let letter = message.payload().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let written = self.rejects.write(letter.unwrap_or("{}"), clock::now());
        self.records.count_reject(written);
    }
}
