//! Receivers of notifications.

use super::topic::Topic;
use crate::adapters::clock;
use crate::adapters::egress::{Egress, EgressError};
use crate::adapters::notify::attempt::Attempt;
use crate::adapters::sources::kafka::redaction::Redacted;
use crate::adapters::target::Target;
use crate::control_plane::notifications::notice::{self, Message, NotifiedFinding, Style};
use crate::control_plane::notifications::queue::Outcome;
use crate::formats::outbound::encoding::{Form, JSON};
use crate::formats::outbound::notification;
use crate::formats::outbound::standard_webhook::Signer;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// A receiver of the configuration.
#[derive(Clone, Debug)]
pub struct Params {
    /// Its name in metrics and logs: `slack.NAME`.
    pub name: String,
    /// The messages that it wants.
    pub wants: notice::Params,
    /// The kind of store.
    pub of: KindOfReceiver,
}

/// A receiver's kind. Addresses are not shown whole: that of a chat is a secret.
#[derive(Clone, Debug)]
pub enum KindOfReceiver {
    /// An Alertmanager.
    Alertmanager(Target),
    /// A webhook, signed.
    Webhook(Target, Signer, Form),
    /// Slack, or what takes its messages.
    Slack(Target),
    /// `PagerDuty`, with the routing key of a service.
    PagerDuty(Target, SecretString),
    /// A Kafka topic.
    Kafka(super::topic::Params),
}

/// Why there is no such receiver.
#[derive(Debug, thiserror::Error)]
#[error("no producer for the receiver {name}: {source}; check its librdkafka settings")]
pub struct NoReceiver {
    name: String,
    source: Redacted,
}

impl From<Attempt> for Outcome {
    fn from(attempt: Attempt) -> Self {
        match attempt {
            Attempt::Delivered => Self::Delivered,
            Attempt::Refused(_) | Attempt::NotAsked(_) => Self::Refused,
            Attempt::NotNow(_, wait_ms) => Self::Later(wait_ms),
            Attempt::Unanswered(_) => Self::Later(0),
        }
    }
}

/// A receiver.
#[derive(Clone, Debug)]
pub struct Receiver {
    name: String,
    wants: notice::Params,
    way: Transport,
    egress: Egress,
}

/// How a receiver is reached.
#[derive(Clone, Debug)]
enum Transport {
    Alertmanager(Target),
    Webhook(Target, Signer, Form),
    Slack(Target),
    PagerDuty(Target, SecretString),
    Kafka(Topic),
}

impl Receiver {
    /// Makes a receiver; nothing is connected to.
    ///
    /// # Errors
    /// If librdkafka refuses its settings.
    pub fn open(params: Params, egress: Egress) -> Result<Self, NoReceiver> {
        let Params { name, wants, of } = params;
        let way = match of {
            KindOfReceiver::Alertmanager(target) => Transport::Alertmanager(target),
            KindOfReceiver::Webhook(target, signer, form) => {
                Transport::Webhook(target, signer, form)
            }
            KindOfReceiver::Slack(target) => Transport::Slack(target),
            KindOfReceiver::PagerDuty(target, key) => Transport::PagerDuty(target, key),
            KindOfReceiver::Kafka(params) => match Topic::open(params) {
                Ok(topic) => Transport::Kafka(topic),
                Err(error) => return Err(NoReceiver { name, source: Redacted::of(error) }),
            },
        };
        Ok(Self { name, wants, way, egress })
    }

    /// Its name in metrics and logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The messages that it wants.
    pub const fn wants(&self) -> notice::Params {
        self.wants
    }

    /// Its answers to messages.
    pub const fn style(&self) -> Style {
        match self.way {
            Transport::Alertmanager(_) => Style::Alert,
            Transport::PagerDuty(..) => Style::Incident,
            Transport::Webhook(..) | Transport::Slack(_) | Transport::Kafka(_) => Style::Feed,
        }
    }

    /// Delivers a message.
    pub async fn deliver(&self, message: &Message) -> Outcome {
        self.attempt(message).await.into()
    }

    /// Delivers a message, and says what came of it.
    pub async fn attempt(&self, message: &Message) -> Attempt {
        let mut headers = content(JSON);
        let (target, body) = match &self.way {
            Transport::Kafka(topic) => return topic.deliver(&self.name, message).await,
            Transport::Alertmanager(target) => {
                let alerts = notification::alerts(message);
                if alerts.is_empty() {
                    return Attempt::Delivered;
                }
                (target, Value::Array(alerts))
            }
            Transport::Slack(target) => (target, notification::slack(message)),
            Transport::PagerDuty(target, key) => {
                match notification::pagerduty(message, key.expose_secret()) {
                    Some(event) => (target, event),
                    None => return Attempt::Delivered,
                }
            }
            Transport::Webhook(target, signer, form) => {
                headers = content(form.media_type());
                let body = form.write(message);
                let now_s = clock::now().ms().div_euclid(1000);
                let text = body.to_string();
                for (name, value) in signer.headers(&message.id, now_s, text.as_bytes()) {
                    if let Ok(value) = HeaderValue::from_str(&value) {
                        headers.insert(HeaderName::from_static(name), value);
                    }
                }
                (target, body)
            }
        };
        self.post(target, headers, &body).await
    }

    /// Says again what lasts, to an Alertmanager.
    pub async fn say_again(&self, known: &[NotifiedFinding]) -> Outcome {
        let Transport::Alertmanager(target) = &self.way else {
            return Outcome::Delivered;
        };
        let alerts = Value::Array(notification::alerts_again(known, clock::now()));
        self.post(target, content(JSON), &alerts).await.into()
    }

    async fn post(&self, target: &Target, headers: HeaderMap, body: &Value) -> Attempt {
        let sent = self.egress.post(target, headers, body.to_string().into_bytes()).await;
        let name = self.name();
        match sent {
            Ok(answer) if answer.is_success() => Attempt::Delivered,
            Ok(answer) if answer.is_passing() => {
                let wait = answer.retry_after.map_or(0, |wait| wait.as_millis());
                tracing::warn!(
                    receiver = name,
                    status = answer.status,
                    "not accepted yet; \
                    retrying"
                );
                Attempt::NotNow(answer.status, i64::try_from(wait).unwrap_or(i64::MAX))
            }
            Ok(answer) => {
                tracing::error!(
                    receiver = name,
                    status = answer.status,
                    "the receiver rejects notifications; check its address and its secret"
                );
                Attempt::Refused(format!("answered {}", answer.status))
            }
            Err(error @ EgressError::NotAllowed(_)) => {
                tracing::error!(receiver = name, %error, "the receiver is blocked");
                Attempt::NotAsked(error.to_string())
            }
            Err(error @ (EgressError::Unreachable(_) | EgressError::TimedOut(_))) => {
                tracing::warn!(receiver = name, %error, "not delivered yet; retrying");
                Attempt::Unanswered(error.to_string())
            }
        }
    }
}

fn content(media_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers
}
