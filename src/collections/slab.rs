//! A slab: values under numbers that stay theirs, in chunks that never move.

/// How many places a chunk has. Chosen.
const CHUNK: usize = 16_384;

/// Values under numbers. A place that was left is taken again.
#[derive(Clone, Debug)]
pub struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    places: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), places: 0 }
    }
}

impl<T> Slab<T> {
    /// Takes in a value; gives its number.
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            if let Some(place) = self.place(number) {
                *place = Some(value);
            }
            return number;
        }
        let number = self.places;
        self.push(Some(value));
        number
    }

    /// Gives the value of that number away.
    pub fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.place(number)?.take()?;
        self.free.push(number);
        Some(value)
    }

    fn place(&mut self, number: u32) -> Option<&mut Option<T>> {
        self.chunks.get_mut(number as usize / CHUNK)?.get_mut(number as usize % CHUNK)
    }

    /// The value of that number.
    pub fn get(&self, number: u32) -> Option<&T> {
        self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)?.as_ref()
    }

    /// The value of that number, to change.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.place(number)?.as_mut()
    }

    /// How many values it holds.
    pub const fn len(&self) -> usize {
        self.places as usize - self.free.len()
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many numbers were ever given; each is below that.
    pub const fn places(&self) -> u32 {
        self.places
    }

    /// How many numbers were given, and those that are free, in the order in which they are taken.
    pub fn shape(&self) -> (u32, &[u32]) {
        (self.places, &self.free)
    }

    /// The slab with those values under their numbers and those numbers free; none if the two do not
    /// fill all places up to the last one, once each.
    pub fn of(mut values: Vec<(u32, T)>, free: Vec<u32>) -> Option<Self> {
        values.sort_unstable_by_key(|(number, _)| *number);
        let mut vacant = free.clone();
        vacant.sort_unstable();
        let mut vacant = vacant.into_iter().peekable();
        let mut slab = Self::default();
        for (number, value) in values {
            while vacant.next_if_eq(&slab.places).is_some() {
                slab.push(None);
            }
            if number != slab.places {
                return None;
            }
            slab.push(Some(value));
        }
        while vacant.next_if_eq(&slab.places).is_some() {
            slab.push(None);
        }
        slab.free = free;
        vacant.next().is_none().then_some(slab)
    }

    fn push(&mut self, place: Option<T>) {
        if (self.places as usize).is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(place);
        }
        self.places += 1;
    }

    /// All values, by number.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten().flatten()
    }

    /// All values, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Slab;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_slab_holds_what_a_map_holds(steps in prop::collection::vec(0_u32..40, 1..300)) {
            let (mut slab, mut map) = (Slab::default(), BTreeMap::new());
            for step in steps {
                if map.contains_key(&step) {
                    prop_assert_eq!(slab.remove(step), map.remove(&step));
                } else {
                    let number = slab.insert(step);
                    prop_assert_eq!(map.insert(number, step), None);
                }
                prop_assert_eq!(slab.len(), map.len());
                prop_assert!(slab.iter().eq(map.values()));
            }
            let values: Vec<(u32, u32)> = map.into_iter().rev().collect();
            let mut again = Slab::of(values.clone(), slab.free.clone()).expect("the same places");
            prop_assert!(again.iter().eq(slab.iter()));
            prop_assert_eq!(again.insert(7), slab.insert(7), "the next number too");
            let doubled = values.first().map(|first| vec![*first, *first]);
            prop_assert!(doubled.is_none_or(|doubled| Slab::of(doubled, Vec::new()).is_none()));
            prop_assert!(Slab::of(values, vec![u32::MAX]).is_none(), "nor a place far off");
        }
    }
}
