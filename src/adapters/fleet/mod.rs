//! The other instances of the fleet: who they are, and what they answer.

pub mod peers;
pub mod signature;
