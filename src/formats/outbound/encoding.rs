//! The encoding of notifications for machines.

use super::cloud_event::{self, cloud_event};
use super::notification::native;
use super::ocsf_finding::detection_finding;
use crate::control_plane::notifications::notice::Message;
use serde_json::Value;

/// The media type of what is JSON and no more.
pub const JSON: &str = "application/json";

/// The encoding of a message for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Own JSON.
    Native,
    /// A `CloudEvent` around own JSON.
    CloudEvents,
    /// An OCSF Detection Finding.
    Ocsf,
}

impl Form {
    /// The names in the configuration.
    pub const NAMES: [&str; 3] = ["native", "cloudevents", "ocsf"];

    /// The form of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "native" => Some(Self::Native),
            "cloudevents" => Some(Self::CloudEvents),
            "ocsf" => Some(Self::Ocsf),
            _ => None,
        }
    }

    /// Writes a message.
    pub fn write(self, message: &Message) -> Value {
        match self {
            Self::Native => native(message),
            Self::CloudEvents => cloud_event(message),
            Self::Ocsf => detection_finding(message),
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Native | Self::Ocsf => JSON,
            Self::CloudEvents => cloud_event::MEDIA_TYPE,
        }
    }
}
