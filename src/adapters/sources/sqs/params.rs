//! Which queue a source reads, and the objects of which bucket.

use crate::formats::events::decoder::Decoder;
use url::Url;

/// Whether this build has what it takes.
pub const IS_BUILT: bool = cfg!(feature = "cloud");

/// A source.
#[derive(Clone, Debug)]
pub struct Params {
    /// The queue.
    pub queue: Url,
    /// Its region, and that of the bucket.
    pub region: String,
    /// The bucket: notifications about another one are not for this source.
    pub bucket: String,
    /// Where S3 is, if that isn't AWS.
    pub endpoint: Option<Url>,
    /// How records are read.
    pub decoder: Decoder,
}
