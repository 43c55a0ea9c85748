//! Notifications as `CloudEvents`, in the structured JSON form.
//!
//! Source: `CloudEvents` 1.0.2, its JSON event format and its Kafka protocol binding.

use super::notification::native;
use crate::control_plane::notifications::notice::{Message, Notice};
use serde_json::{Value, json};

/// The media type of one event.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";
/// Where they come from. All instances of a group are one source: what two of them say has one id.
const SOURCE: &str = "/tripline";

/// Writes a message as a `CloudEvent` whose data are the message in own JSON.
pub fn cloud_event(message: &Message) -> Value {
    let (kind, subject) = match &message.notice {
        Notice::Finding { stage, known, .. } => (
            format!("tripline.finding.{}", stage.as_str()),
            Some(known.finding.credential.to_string()),
        ),
        Notice::Decision(decision) => (
            format!("tripline.decision.{}", decision.order.as_str()),
            Some(decision.credential.to_string()),
        ),
        Notice::More(_) => ("tripline.more".to_owned(), None),
    };
    let mut event = json!({
        "specversion": "1.0",
        "id": message.id,
        "source": SOURCE,
        "type": kind,
        "time": message.at.to_string(),
        "datacontenttype": "application/json",
        "data": native(message),
    });
    if let (Some(fields), Some(subject)) = (event.as_object_mut(), subject) {
        fields.insert("subject".to_owned(), subject.into());
    }
    event
}
