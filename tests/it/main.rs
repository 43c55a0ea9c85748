//! Tests of tripline as a whole, each through a public interface.
#![expect(clippy::expect_used, reason = "a test may end where it expects")]

mod engine_control;
mod engine_partition;
