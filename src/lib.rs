//! `tripline` watches how every API key, token and session is used, notices abuse within a second
//! or so, and takes the credential out of service through the auth store.
//!
//! The crate is a house of floors; a room imports only from floors below its own.
//!
//! | floor | what it is | what it does not know |
//! |---|---|---|
//! | [`model`] | the nouns | serde, I/O, a clock, any other floor |
//! | `stats` | numbers in, numbers out | the model |
//! | `detect` | one credential's memory, a file a detector | that there are other credentials |
//! | `judge` | from findings to a verdict | how a finding was made |
//! | `engine` | deterministic machines | I/O, a clock, threads |
//! | `wire` | bytes to values and back; the home of serde | where bytes come from |
//! | `edge` | doors to the world | what anything means |
//! | `app` | assembly: settings, daemon, commands | nothing: it knows all floors |

pub mod app;
pub mod detect;
pub mod edge;

pub mod engine;
pub mod judge;
pub mod model;
pub mod stats;
pub mod wire;
