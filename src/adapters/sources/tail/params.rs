//! Parameters of a source of files.

use super::pattern::PathPattern;
use crate::adapters::sources::start::Start;
use crate::formats::events::decoder::Decoder;

/// Which files a source follows, and how their lines are read.
#[derive(Clone, Debug)]
pub struct Params {
    /// The files.
    pub paths: Vec<PathPattern>,
    /// Where reading begins in a file of which nothing is known.
    pub start: Start,
    /// How lines are read.
    pub decoder: Decoder,
}
