//! `tripline demo`: the main job, live, on this machine alone.
//!
//! A fleet of forty keys with 26 hours behind it; one key leaks and is used at 10,000 requests a
//! minute. Then what needs no suspicion: a key is reported as leaked, and a used-up refresh token comes
//! back. The demo is an ordinary client of an ordinary daemon: events and the report go in over HTTP, a
//! gateway asks `/v1/check`, a person restores. It ends with exit code 0 only if all of it came true;
//! asked to stay, the fleet lives on, and now and then another key leaks, until a signal ends it.

pub mod launch;
pub mod proof;
pub mod stage;
pub mod story;
