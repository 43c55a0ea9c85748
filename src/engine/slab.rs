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
        if (number as usize).is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(Some(value));
        }
        self.places += 1;
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

    /// A slab of that shape, whose places are still to be filled; none if it is no shape.
    pub fn of_shape(places: u32, free: Vec<u32>) -> Option<Self> {
        let mut seen = vec![false; places as usize];
        for number in &free {
            let place = seen.get_mut(*number as usize)?;
            if std::mem::replace(place, true) {
                return None;
            }
        }
        let mut chunks = Vec::with_capacity((places as usize).div_ceil(CHUNK));
        let mut left = places as usize;
        while left > 0 {
            let mut chunk = Vec::with_capacity(CHUNK);
            chunk.resize_with(left.min(CHUNK), || None);
            left -= chunk.len();
            chunks.push(chunk);
        }
        Some(Self { chunks, free, places })
    }

    /// Fills a place of [`Slab::of_shape`]; false if there is none, or it is taken.
    pub fn fill(&mut self, number: u32, value: T) -> bool {
        self.place(number).is_some_and(|place| place.replace(value).is_none())
    }

    /// The first number from `from` on that has a value.
    pub fn next_from(&self, from: u32) -> Option<u32> {
        (from..self.places).find(|number| self.get(*number).is_some())
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
        }
    }
}
