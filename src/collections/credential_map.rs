//! A directory: values under credentials, small for a million of them.
//!
//! A hash map that doubles has room for two million entries as it holds one; here only places of
//! four bytes double, and the values lie in chunks that never move.

use super::slab::Slab;
use crate::model::credential::{Credential, Kind};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hasher};

/// A value that knows its credential.
pub trait Named {
    /// The credential that it is about.
    fn credential(&self) -> &Credential;
}

/// Values under credentials, at most one each.
#[derive(Clone, Debug)]
pub struct Directory<T> {
    values: Slab<T>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self {
            values: Slab::default(),
            places: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

fn hash(hasher: &DefaultHashBuilder, kind: Kind, id: &str) -> u64 {
    let mut state = hasher.build_hasher();
    state.write_u8(kind as u8);
    state.write(id.as_bytes());
    state.finish()
}

impl<T: Named> Directory<T> {
    fn hash(&self, credential: &Credential) -> u64 {
        hash(&self.hasher, credential.kind(), credential.id())
    }

    /// Where the value of a credential is. Cost: no allocation.
    pub fn place(&self, kind: Kind, id: &str) -> Option<u32> {
        let same = |place: &u32| {
            let value = self.values.get(*place).map(Named::credential);
            value.is_some_and(|held| held.kind() == kind && held.id() == id)
        };
        self.places.find(hash(&self.hasher, kind, id), same).copied()
    }

    /// Where the value of a credential is.
    pub fn place_of(&self, credential: &Credential) -> Option<u32> {
        self.place(credential.kind(), credential.id())
    }

    /// The value at a place.
    pub fn get(&self, place: u32) -> Option<&T> {
        self.values.get(place)
    }

    /// The value at a place, to change; its credential must stay the same.
    pub fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.values.get_mut(place)
    }

    /// Puts in a value, in the place of the one before; gives the place.
    pub fn put(&mut self, value: T) -> u32 {
        let hash_here = self.hash(value.credential());
        if let Some(place) = self.place_of(value.credential()) {
            if let Some(before) = self.values.get_mut(place) {
                *before = value;
            }
            return place;
        }
        let place = self.values.insert(value);
        let (values, hasher) = (&self.values, &self.hasher);
        let hash_of = |place: &u32| {
            let credential = values.get(*place).map(Named::credential);
            credential.map_or(0, |held| hash(hasher, held.kind(), held.id()))
        };
        self.places.insert_unique(hash_here, place, hash_of);
        place
    }

    /// Takes out the value at a place.
    pub fn remove(&mut self, place: u32) -> Option<T> {
        let hash = self.hash(self.values.get(place)?.credential());
        if let Ok(found) = self.places.find_entry(hash, |one| *one == place) {
            found.remove();
        }
        self.values.remove(place)
    }

    /// How many values it has.
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values in the `most` places from `from` on with their places, and where the next page
    /// begins. A value
    /// that stays is in exactly one page; one that is put in meanwhile may be missed.
    pub fn page(&self, from: u32, most: u32) -> (impl Iterator<Item = (u32, &T)>, Option<u32>) {
        let end = from.saturating_add(most).min(self.values.places());
        let found = (from..end).filter_map(|place| Some((place, self.values.get(place)?)));
        (found, (end < self.values.places()).then_some(end))
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{Directory, Named};
    use crate::model::credential::Credential;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug)]
    struct Value(Credential, u32);

    impl Named for Value {
        fn credential(&self) -> &Credential {
            &self.0
        }
    }

    proptest! {
        /// The oracle: an ordered map.
        #[test]
        fn it_holds_what_an_ordered_map_holds(
            steps in prop::collection::vec((0_u8..12, prop::option::of(0_u32..100)), 1..200),
        ) {
            let mut directory = Directory::default();
            let mut oracle = BTreeMap::new();
            for (id, value) in steps {
                let credential = Credential::parse(&format!("k{id}")).expect("valid");
                if let Some(value) = value {
                    directory.put(Value(credential, value));
                    oracle.insert(format!("k{id}"), value);
                } else {
                    let place = directory.place_of(&credential);
                    let removed = place.and_then(|place| directory.remove(place));
                    prop_assert_eq!(removed.map(|one| one.1), oracle.remove(&format!("k{id}")));
                }
                prop_assert_eq!(directory.len(), oracle.len());
            }
            let mut paged = BTreeMap::new();
            let mut from = Some(0);
            while let Some(start) = from {
                let (page, next) = directory.page(start, 3);
                paged.extend(page.map(|(_, one)| (one.0.id().to_owned(), one.1)));
                from = next;
            }
            prop_assert_eq!(paged, oracle);
        }
    }
}
