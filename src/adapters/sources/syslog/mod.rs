//! Syslog: messages over UDP, TCP and TLS, whose text is a record of the source's format.

pub mod framing;
pub mod params;
pub mod receiver;
