//! The result of a message to a receiver.

/// The outcome of an attempt at a message, as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver has it.
    Delivered,
    /// The receiver will never take it: what it answered.
    Refused(String),
    /// The receiver may not be asked: why.
    NotAsked(String),
    /// The receiver answered with that status: not now, not within so many milliseconds.
    NotNow(u16, i64),
    /// There was no answer: why.
    Unanswered(String),
}
