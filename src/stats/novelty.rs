//! Novelty: how surprising a value is that was never seen before.
//!
//! After `n` events with `K` distinct values the next value is a new one with probability
//! `(theta + d*K) / (theta + n)`: a credential used from three networks a million times is not
//! expected to change, a phone that changes networks all day is.
//! Source: Pitman and Yor, "The two-parameter Poisson-Dirichlet distribution" (1997), eq. 2.

/// Concentration `theta`. Chosen so that `theta + 3 * d = 1`: a million events from three networks
/// give 13.8 nats.
pub const CONCENTRATION: f64 = 0.1;
/// Discount `d`. Chosen, see [`CONCENTRATION`].
pub const DISCOUNT: f64 = 0.3;

/// The surprise at a value that is new after `events` with `distinct` values. Unit: nats.
/// Nothing seen surprises no one: 0 where `distinct` is 0.
pub fn surprise_nats(events: f64, distinct: u32) -> f64 {
    if distinct == 0 {
        return 0.0;
    }
    let new = DISCOUNT.mul_add(f64::from(distinct), CONCENTRATION);
    ((CONCENTRATION + events) / new).ln().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::{CONCENTRATION, DISCOUNT, surprise_nats};

    #[test]
    fn a_million_events_from_three_networks_give_14_nats_and_a_phone_gives_2() {
        assert!((surprise_nats(1e6, 3) - 13.8).abs() < 0.1);
        assert!((surprise_nats(200.0, 80) - 2.1).abs() < 0.1);
        assert!(surprise_nats(1e6, 0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_probabilities_of_a_new_and_of_each_known_value_add_up_to_one() {
        let (events, counts) = (50.0, [30.0, 15.0, 5.0]);
        let new = (-surprise_nats(events, 3)).exp();
        let known: f64 =
            counts.iter().map(|count| (count - DISCOUNT) / (events + CONCENTRATION)).sum();
        assert!((new + known - 1.0).abs() < 1e-12);
    }
}
