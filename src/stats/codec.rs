//! Numbers as bytes and back, in a fixed order: what a checkpoint is made of.
//!
//! Little endian, no names, no padding: what the bytes mean follows from the version that stands
//! before them. **Invariant**: no bytes make [`Codec::decode`] panic, or allocate more than they
//! are long.

use compact_str::CompactString;

/// Bytes that are read from the front.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
    version: u16,
}

impl<'a> Input<'a> {
    /// Bytes that were written by that version.
    pub const fn new(bytes: &'a [u8], version: u16) -> Self {
        Self { rest: bytes, version }
    }

    /// The version that wrote them.
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// Whether all was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next bytes; none if there are not so many.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(first)
    }

    /// How many values follow; none if there can't be so many.
    pub fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(u32::decode(self)?).ok()?;
        (count <= self.rest.len()).then_some(count)
    }
}

/// A value that is written as bytes and read back.
pub trait Codec: Sized {
    /// Appends its bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads it back; none if these are not its bytes.
    fn decode(input: &mut Input<'_>) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Codec for $number {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn decode(input: &mut Input<'_>) -> Option<Self> {
                input.array().map(Self::from_le_bytes)
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, i64, f32, f64);

impl Codec for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        match u8::decode(input)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<T: Codec + Default, const N: usize> Codec for [T; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        for value in self {
            value.encode(out);
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let mut values = [(); N].map(|()| T::default());
        for value in &mut values {
            *value = T::decode(input)?;
        }
        Some(values)
    }
}

impl<T: Codec> Codec for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        if bool::decode(input)? { T::decode(input).map(Some) } else { Some(None) }
    }
}

impl<T: Codec> Codec for Box<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        T::decode(input).map(Self::new)
    }
}

impl<T: Codec> Codec for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        count(self.len()).encode(out);
        for value in self {
            value.encode(out);
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        (0..input.count()?).map(|_| T::decode(input)).collect()
    }
}

impl<A: Codec, B: Codec> Codec for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        Some((A::decode(input)?, B::decode(input)?))
    }
}

impl Codec for CompactString {
    fn encode(&self, out: &mut Vec<u8>) {
        count(self.len()).encode(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let length = input.count()?;
        Self::from_utf8(input.take(length)?).ok()
    }
}

/// A number of values as it is written.
pub fn count(values: usize) -> u32 {
    u32::try_from(values).unwrap_or(u32::MAX)
}

/// Writes and reads a type field by field, in the order given: all of them, or it does not build.
#[macro_export]
macro_rules! codec {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::stats::codec::Codec for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::stats::codec::Codec::encode(&self.$field, out);)*
            }

            fn decode(input: &mut $crate::stats::codec::Input<'_>) -> Option<Self> {
                Some(Self { $($field: $crate::stats::codec::Codec::decode(input)?),* })
            }
        }
    };
    ($type:ty) => {
        impl $crate::stats::codec::Codec for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::stats::codec::Codec::encode(&self.0, out);
            }

            fn decode(input: &mut $crate::stats::codec::Input<'_>) -> Option<Self> {
                $crate::stats::codec::Codec::decode(input).map(Self)
            }
        }
    };
    // A type with a list of all its values, as its place in that list.
    (each $type:ty) => {
        impl $crate::stats::codec::Codec for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.push(*self as u8);
            }

            fn decode(input: &mut $crate::stats::codec::Input<'_>) -> Option<Self> {
                let place: u8 = $crate::stats::codec::Codec::decode(input)?;
                Self::ALL.get(usize::from(place)).copied()
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::{Codec, Input};
    use compact_str::CompactString;
    use proptest::prelude::*;

    fn back<T: Codec>(value: &T) -> Option<T> {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        let mut input = Input::new(&bytes, 1);
        let back = T::decode(&mut input);
        back.filter(|_| input.is_empty())
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            numbers in prop::collection::vec(any::<u32>(), 0..20),
            text in ".{0,40}",
            (wide, real, holds) in (any::<[i64; 3]>(), any::<f64>(), any::<Option<bool>>()),
        ) {
            prop_assert_eq!(back(&numbers), Some(numbers));
            let text = CompactString::from(text);
            prop_assert_eq!(back(&text), Some(text));
            prop_assert_eq!(back(&wide), Some(wide));
            prop_assert_eq!(back(&real).map(f64::to_bits), Some(real.to_bits()));
            prop_assert_eq!(back(&holds), Some(holds));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let read = |bytes| <Vec<(Option<u16>, CompactString)>>::decode(&mut Input::new(bytes, 1));
            if let Some(values) = read(&bytes) {
                prop_assert!(values.len() <= bytes.len());
            }
        }
    }
}
