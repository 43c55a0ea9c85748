//! Messages to other systems: notifications, security events, signatures.

pub mod cloud_event;
pub mod encoding;
pub mod notification;
pub mod ocsf_finding;
pub mod security_event;
pub mod standard_webhook;
