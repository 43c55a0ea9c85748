//! Tables under bounded memory that both planes build on: a slab and a map by credential.
//!
//! **Does not** know what it stores, nor any clock or I/O.

pub mod credential_map;
pub mod slab;
pub mod smallest;
