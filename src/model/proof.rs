//! Fields of an event that can prove misuse, whatever is usual: grants, places, lifetimes.

use super::event::Reason;
use super::time::EventTime;
use compact_str::CompactString;

/// The hash of a family, which ties the tokens of one grant. Shape: 6 bytes; all 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Family([u8; 6]);

impl Family {
    /// No family.
    pub const NONE: Self = Self([0; 6]);

    /// The family of that hash. A million families hold another of the same 48 bits at one in 280 million.
    pub const fn new(hash: u64) -> Self {
        let [first, rest @ .., _, _] = hash.to_le_bytes();
        let [second, third, fourth, fifth, sixth] = rest;
        Self([if first == 0 { 1 } else { first }, second, third, fourth, fifth, sixth])
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Its bytes, and back by [`Self::from_bytes`].
    pub const fn to_bytes(self) -> [u8; 6] {
        self.0
    }

    /// The family of these bytes.
    pub const fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

/// A country by its number: 1 to 676, AA to ZZ; 0: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Country(u16);

impl Country {
    /// The country of a code; unknown where it is not two ASCII letters.
    pub const fn of(code: Option<[u8; 2]>) -> Self {
        match code {
            Some([first @ b'A'..=b'Z', second @ b'A'..=b'Z']) => {
                Self((first - b'A') as u16 * 26 + (second - b'A') as u16 + 1)
            }
            _ => Self(0),
        }
    }

    /// The country of that number.
    pub const fn from_number(number: u16) -> Self {
        Self(if number <= 676 { number } else { 0 })
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its code, `DE`; `??` where it is unknown.
    pub fn code(self) -> String {
        let letter = |n: u16| u8::try_from(n).map_or('?', |n| char::from(b'A' + n));
        match self.0.checked_sub(1) {
            Some(n) => [letter(n / 26), letter(n % 26)].iter().collect(),
            None => "??".to_owned(),
        }
    }
}

/// The fields of one event that can prove misuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// When the credential was issued.
    pub issued: Option<EventTime>,
    /// When it ends by itself.
    pub expires: Option<EventTime>,
    /// The gateway's reason, where it is of the vocabulary.
    pub reason: Option<Reason>,
    /// Its family.
    pub family: Family,
    /// The country of the request.
    pub country: Country,
}

/// A mark of a credential, known besides its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// No one has a reason to use it.
    Canary,
    /// It is no canary any more.
    NoCanary,
    /// Its secret was found where others can read it.
    Leaked(Leak),
    /// The report of that was withdrawn.
    NoLeak,
    /// It was taken out of service then.
    OutOfService(EventTime),
    /// It is in service: as a person decided if `by_person`, who takes back a leak and the end of a
    /// grant as well.
    InService {
        /// Whether a person put it back.
        by_person: bool,
    },
}

/// A leak of a secret, as it was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// By whom it was reported, and where it was found. Range: at most 256 bytes, without control
    /// characters and secrets.
    pub place: CompactString,
    /// Whether the report proves that it is this credential's: a made-up JWT can name any.
    pub is_proof: bool,
}

#[cfg(test)]
mod tests {
    use super::{Country, Family};

    #[test]
    fn a_country_is_its_code_again() {
        for code in [*b"AA", *b"DE", *b"BR", *b"ZZ"] {
            let country = Country::of(Some(code));
            assert_eq!(country.code().as_bytes(), code);
            assert_eq!(Country::from_number(country.number()), country);
        }
        assert_eq!(Country::of(Some(*b"d1")).number(), 0);
        assert_eq!(Country::of(None).code(), "??");
    }

    #[test]
    fn no_family_of_a_hash_is_none() {
        assert!(!Family::new(0).is_none());
        assert!(Family::default().is_none());
        assert_ne!(Family::new(1 << 40), Family::new(2 << 40));
    }
}
