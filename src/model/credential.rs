//! A credential: what was presented, known by kind and id, never by its secret.

use compact_str::CompactString;
use std::fmt;

/// The sort of credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A long-lived key of an API client. Default: what an event without `kind` means.
    #[default]
    ApiKey,
    /// A signed token, known by its `jti`.
    Jwt,
    /// A server-side session of a person.
    Session,
    /// An OAuth 2.0 refresh token.
    RefreshToken,
    /// A token of an autonomous agent.
    AgentToken,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::ApiKey, Self::Jwt, Self::Session, Self::RefreshToken, Self::AgentToken];

    /// The name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::Session => "session",
            Self::RefreshToken => "refresh_token",
            Self::AgentToken => "agent_token",
        }
    }

    /// The kind of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some of the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Every kind.
    pub const ALL: Self = Self(0b1_1111);

    /// The kinds that are named.
    pub fn of(named: impl IntoIterator<Item = Kind>) -> Self {
        Self(named.into_iter().fold(0, |bits, kind| bits | 1 << kind as u8))
    }

    /// Whether `kind` is among them.
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

/// The longest credential id. Unit: bytes. Chosen: a UUID has 36, a SPIFFE id may have 200.
pub const ID_BYTES_MAX: usize = 256;
/// The longest tenant, subject or similar name. Unit: bytes. Chosen.
pub const NAME_BYTES_MAX: usize = 256;

/// Why a text can't be a credential id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// It has no character.
    Empty,
    /// It is longer than [`ID_BYTES_MAX`].
    TooLong,
    /// It has a control character, which would forge log lines and store commands.
    ControlCharacter,
}

/// Says whether `id` can name a credential.
///
/// # Errors
/// An [`IdError`]; the caller refuses the record.
pub fn check_id(id: &str) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty);
    }
    if id.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong);
    }
    if has_control(id) { Err(IdError::ControlCharacter) } else { Ok(()) }
}

/// Whether a text has a control character. Cost: looks at bytes alone where all are plain ASCII.
pub fn has_control(text: &str) -> bool {
    // C1 controls are two bytes in UTF-8; bytes below 0x20 and 0x7f are the ASCII ones.
    !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && text.chars().any(char::is_control)
}

/// A credential's name: its kind and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credential {
    kind: Kind,
    id: CompactString,
}

impl Credential {
    /// Names a credential.
    ///
    /// # Errors
    /// When the id is empty, too long, or has control characters.
    pub fn new(kind: Kind, id: &str) -> Result<Self, IdError> {
        check_id(id)?;
        Ok(Self { kind, id: CompactString::new(id) })
    }

    /// Reads `kind:id`; a text without a known kind in front is the id of an API key.
    ///
    /// # Errors
    /// When the id is empty, too long, or has control characters.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        match text.split_once(':').and_then(|(kind, id)| Some((Kind::parse(kind)?, id))) {
            Some((kind, id)) => Self::new(kind, id),
            None => Self::new(Kind::ApiKey, text),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its id, 1 to [`ID_BYTES_MAX`] bytes without control characters.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Credential {
    /// `kind:id`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::{Credential, ID_BYTES_MAX, IdError, Kind};

    #[test]
    fn a_credential_is_read_with_or_without_its_kind() {
        let read = |text| Credential::parse(text).map(|c| (c.kind(), c.id().to_owned()));
        assert_eq!(read("session:s1"), Ok((Kind::Session, "s1".to_owned())));
        assert_eq!(read("key_1"), Ok((Kind::ApiKey, "key_1".to_owned())));
        assert_eq!(read("arn:aws:x"), Ok((Kind::ApiKey, "arn:aws:x".to_owned())));
    }

    #[test]
    fn ids_that_are_empty_too_long_or_have_controls_are_refused() {
        let refusal = |id: &str| Credential::new(Kind::ApiKey, id).err();
        assert_eq!(refusal(""), Some(IdError::Empty));
        assert_eq!(refusal(&"x".repeat(ID_BYTES_MAX + 1)), Some(IdError::TooLong));
        assert_eq!(refusal("a\nb"), Some(IdError::ControlCharacter));
        assert_eq!(refusal("a\u{85}b"), Some(IdError::ControlCharacter));
        assert_eq!(refusal("schlüssel"), None);
    }
}
