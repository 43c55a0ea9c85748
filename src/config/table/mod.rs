//! The table of settings: name, unit, range, default and description of each. The reader, the example
//! file, the reference and the JSON Schema follow it.

pub mod all;
pub mod detection;
pub mod leaks;
pub mod proof;
pub mod render;
pub mod response;
pub mod setting;
pub mod sources;
pub mod state;
pub mod stores;
