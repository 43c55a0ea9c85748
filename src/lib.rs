//! `tripline` watches how every API key, token and session is used, notices abuse within a second
//! or so, and takes the credential out of service through the auth store.
//!
//! Each layer imports only from layers before it in this table; see ARCHITECTURE.md for an event's way
//! through them.
//!
//! | layer | what it is | what it does not know |
//! |---|---|---|
//! | [`model`] | the nouns, and the contract between the planes | serde, I/O, a clock, any other layer |
//! | [`collections`] | tables under bounded memory | what they hold |
//! | [`stats`] | numbers in, numbers out | the model |
//! | [`detect`] | one credential's memory, a file per detector | that there are other credentials |
//! | [`data_plane`] | shards: profiles, windows, detectors, findings | the control plane, I/O, a clock, threads |
//! | [`control_plane`] | policy and decisions | the data plane, I/O, a clock, threads |
//! | [`engine`] | both planes on one thread | I/O, a clock, threads |
//! | [`formats`] | bytes to values and back; the home of serde | where bytes come from |
//! | [`adapters`] | sources, auth stores, journal, HTTP, metrics, clock | what anything means |
//! | [`config`] | configuration files to checked settings | the daemon |
//! | [`daemon`] | threads, tasks and channels around the planes | the command line |
//! | [`sim`] | simulated traffic and how detection does on it | the daemon |
//! | [`cli`] | a file per command | nothing: it knows all layers |

pub mod adapters;
pub mod cli;
pub mod collections;
pub mod config;
pub mod control_plane;
pub mod daemon;
pub mod data_plane;
pub mod detect;
pub mod engine;
pub mod formats;
pub mod model;
pub mod sim;
pub mod stats;
