//! JSON pointers (RFC 6901): where a field is in an operator's own JSON.

use serde_json::Value;

/// A JSON pointer, `/user/key` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

/// Why a text is no JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It does not begin with a slash.
    #[error("a JSON pointer begins with a slash, like /user/key")]
    NoSlash,
    /// A tilde is followed by neither 0 nor 1.
    #[error("in a JSON pointer ~ is written ~0 and / in a name is written ~1")]
    BadEscape,
}

impl Pointer {
    /// Reads a JSON pointer.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if !text.starts_with('/') {
            return Err(PointerError::NoSlash);
        }
        let escapes_well = |part: &str| part.starts_with(['0', '1']);
        if !text.split('~').skip(1).all(escapes_well) {
            return Err(PointerError::BadEscape);
        }
        Ok(Self(text.to_owned()))
    }

    /// The value there, if there is one.
    pub(in crate::formats) fn find<'a>(&self, record: &'a Value) -> Option<&'a Value> {
        record.pointer(&self.0)
    }
}
