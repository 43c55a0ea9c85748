//! Tests of tripline as a whole, each through a public interface.

mod engine_control;
mod engine_partition;
