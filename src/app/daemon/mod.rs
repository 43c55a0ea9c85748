//! x
pub mod control_plane;
pub mod data_plane;
pub mod outbox;
