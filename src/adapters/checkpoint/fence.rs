//! Fencing of checkpoints: a former owner of a place never overwrites what its successor wrote.
//!
//! ```text
//!  number = epoch * 10^10 + count      60000000042: the 43rd checkpoint, by the owner of epoch 6
//! ```
//! Each owner of a place has an epoch, and a later owner a higher one. The newest checkpoint is that of
//! the highest number, so whatever a former owner writes, however late, sorts before all that its
//! successor has written or will write. That needs nothing of the store but that a list shows what was
//! written before it: no lock, no conditional write.
//!
//! **Invariant** S-13: the newest checkpoint of a place is of the highest epoch that has written one.
//!
//! **Does not** give out epochs: for partitions of Kafka the group does.

/// How many checkpoints an epoch has room for: ten digits, so that both parts are legible.
const COUNTS: u64 = 10_000_000_000;

/// The highest epoch: what claims a higher one was written by another program. Its numbers fit.
pub const EPOCH_MAX: u64 = u64::MAX / COUNTS - 2;

/// The epoch of a place with a single owner ever, as a shard of the HTTP source.
pub const SOLE_OWNER: u64 = 0;

/// A later owner has written: this one is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// The epoch of the later owner.
    pub by: u64,
}

/// The epoch in which a checkpoint was written.
pub const fn epoch_of(number: u64) -> u64 {
    number / COUNTS
}

/// The number of the next checkpoint of the owner of `epoch`, where `newest` is that of the newest one.
///
/// # Errors
/// When a later owner wrote that: nothing is to be written.
pub fn next_number(newest: Option<u64>, epoch: u64) -> Result<u64, Fenced> {
    let first = epoch.saturating_mul(COUNTS);
    let Some(newest) = newest else { return Ok(first) };
    let by = epoch_of(newest);
    if by > epoch {
        return Err(Fenced { by });
    }
    Ok(newest.saturating_add(1).max(first))
}

#[cfg(test)]
mod tests {
    use super::{Fenced, epoch_of, next_number};
    use proptest::prelude::*;

    #[test]
    fn numbers_rise_within_an_epoch_and_from_one_to_the_next() {
        let e = 10_000_000_000;
        for (newest, epoch, next) in [
            (None, 0, Ok(0)),
            (None, 3, Ok(3 * e)),
            (Some(41), 0, Ok(42)),
            // The first one after an update, of a place written before epochs were.
            (Some(41), 1, Ok(e)),
            (Some(6 * e + 41), 6, Ok(6 * e + 42)),
            (Some(6 * e + 41), 7, Ok(7 * e)),
            (Some(6 * e), 5, Err(Fenced { by: 6 })),
            (Some(6 * e), 0, Err(Fenced { by: 6 })),
        ] {
            assert_eq!(next_number(newest, epoch), next, "{newest:?} {epoch}");
        }
    }

    /// One step of one owner among several: it takes the place over, lists what is there, or writes
    /// after what it listed last. Between the last two anything may happen, as to a paused process.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Claim(usize),
        List(usize),
        Write(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let one = (0..3_usize, 0..8_u8).prop_map(|(owner, kind)| match kind {
            0 => Step::Claim(owner),
            1..=4 => Step::List(owner),
            _ => Step::Write(owner),
        });
        proptest::collection::vec(one, 0..120)
    }

    #[derive(Clone, Copy, Default)]
    struct Owner {
        epoch: u64,
        /// The number after what it listed last.
        next: Option<Result<u64, Fenced>>,
    }

    proptest! {
        /// The oracle keeps what each epoch wrote last, in the order of epochs; the store under test is a
        /// bag of numbers of which the highest is read.
        #[test]
        fn the_newest_is_the_last_of_the_latest_owner_that_wrote_in_whatever_order(steps in steps()) {
            let (mut owners, mut epochs) = ([Owner::default(); 3], 0);
            let mut written: Vec<(u64, usize)> = Vec::new();
            let mut oracle = std::collections::BTreeMap::new();
            for (at, step) in steps.into_iter().enumerate() {
                let newest = written.iter().map(|(number, _)| *number).max();
                match step {
                    Step::Claim(owner) => {
                        epochs += 1;
                        owners[owner] = Owner { epoch: epochs, next: None };
                    }
                    Step::List(owner) => {
                        owners[owner].next = Some(next_number(newest, owners[owner].epoch));
                    }
                    Step::Write(owner) => {
                        let Owner { epoch, next } = owners[owner];
                        let Some(next) = next.filter(|_| epoch > 0) else { continue };
                        owners[owner].next = None;
                        match next {
                            Ok(number) => {
                                prop_assert_eq!(epoch_of(number), epoch);
                                written.push((number, at));
                                oracle.insert(epoch, at);
                            }
                            Err(Fenced { by }) => {
                                prop_assert!(by > epoch, "only by a later owner");
                                prop_assert!(oracle.contains_key(&by), "that has written");
                            }
                        }
                    }
                }
                let newest = written.iter().max().map(|(_, at)| *at);
                prop_assert_eq!(newest, oracle.last_key_value().map(|(_, at)| *at));
            }
        }
    }
}
