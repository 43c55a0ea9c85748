//! The revocation limit: bounds revocations whatever the detectors think (invariant S-1).
//!
//! A revocation takes one token of its tenant and one of the fleet, and each token comes back an
//! hour after it was taken. A bucket that refilled steadily would let through nearly twice its
//! size within an hour; this one never lets through more than its size.

use crate::model::time::EventTime;
use compact_str::CompactString;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// How many revocations are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// For one tenant, in any hour. Default: 1.
    pub per_tenant_hour: u32,
    /// For all, in any hour, at the least. Default: 3.
    pub per_hour: u32,
    /// For all, in any hour, as a share of the active credentials. Default: 1e-5.
    pub per_hour_share: f64,
    /// Among how many instances what is allowed for all is divided, where they share no store to
    /// count in. Default: 1.
    pub instances: u32,
    /// Whether a store counts for all instances: then each revocation needs a token of it too.
    /// Default: false.
    pub shared: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self { per_tenant_hour: 1, per_hour: 3, per_hour_share: 1e-5, instances: 1, shared: false }
    }
}

impl Params {
    /// How many revocations are allowed in any hour.
    pub fn allowed(&self, active: u64) -> Allowed {
        Allowed { for_all: self.for_all(active), for_tenant: self.per_tenant_hour }
    }

    /// How many revocations all instances together may carry out in any hour.
    pub fn for_all(&self, active: u64) -> u64 {
        let share = active as f64 * self.per_hour_share;
        #[expect(clippy::cast_possible_truncation, reason = "a share of a count")]
        #[expect(clippy::cast_sign_loss, reason = "a share of a count")]
        u64::from(self.per_hour).max(share as u64)
    }
}

/// How many revocations are allowed in any hour, over all instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// For all credentials.
    pub for_all: u64,
    /// For those of one tenant.
    pub for_tenant: u32,
}

const HOUR_MS: i64 = 3_600_000;

/// The revocations of the last hour, against which the next one is held.
#[derive(Clone, Debug, Default)]
pub struct RevocationLimit {
    granted: VecDeque<(EventTime, Option<CompactString>)>,
    by_tenant: HashMap<CompactString, u32>,
}

impl RevocationLimit {
    /// Takes a token for a revocation at `now`; false if there is none. `active` is the number of
    /// credentials in use.
    pub fn try_acquire(
        &mut self,
        tenant: Option<&CompactString>,
        (active, now): (u64, EventTime),
        params: &Params,
    ) -> bool {
        self.forget(now);
        let used = tenant.and_then(|tenant| self.by_tenant.get(tenant)).copied().unwrap_or(0);
        let tenant_is_done = tenant.is_some() && used >= params.per_tenant_hour;
        let granted = self.left(active, params) > 0 && !tenant_is_done;
        if granted {
            self.record(tenant, now);
        }
        granted
    }

    /// Gives back a token that was acquired at `at` and not used.
    pub fn give_back(&mut self, tenant: Option<&CompactString>, at: EventTime) {
        let taken =
            |(when, of): &(EventTime, Option<CompactString>)| (*when, of.as_ref()) == (at, tenant);
        if let Some(index) = self.granted.iter().rposition(taken) {
            self.granted.remove(index);
            self.forget_one_of(tenant);
        }
    }

    fn forget_one_of(&mut self, tenant: Option<&CompactString>) {
        if let Some(tenant) = tenant
            && let Some(used) = self.by_tenant.get_mut(tenant)
        {
            *used -= 1;
            if *used == 0 {
                self.by_tenant.remove(tenant);
            }
        }
    }

    /// Notes a revocation that was granted before, as after a restart.
    pub fn record(&mut self, tenant: Option<&CompactString>, at: EventTime) {
        if let Some(tenant) = tenant {
            *self.by_tenant.entry(tenant.clone()).or_insert(0) += 1;
        }
        self.granted.push_back((at, tenant.cloned()));
    }

    /// How many revocations this instance has left.
    pub fn left(&self, active: u64, params: &Params) -> u64 {
        let own = params.for_all(active) / u64::from(params.instances.max(1));
        own.saturating_sub(self.granted.len() as u64)
    }

    /// Forgets what is over an hour old. A clock that went back forgets nothing.
    pub fn forget(&mut self, now: EventTime) {
        while let Some((at, _)) = self.granted.front()
            && now.ms_since(*at) >= HOUR_MS
        {
            if let Some((_, tenant)) = self.granted.pop_front() {
                self.forget_one_of(tenant.as_ref());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HOUR_MS, Params, RevocationLimit};
    use crate::model::time::EventTime;
    use compact_str::CompactString;
    use proptest::prelude::*;

    #[test]
    fn a_tenant_gets_one_revocation_an_hour() {
        let mut revocation_limit = RevocationLimit::default();
        let (acme, bloom) = (CompactString::new("acme"), CompactString::new("bloom"));
        let mut take = |tenant, ms| {
            revocation_limit.try_acquire(
                Some(tenant),
                (100, EventTime::from_ms(ms)),
                &Params::default(),
            )
        };
        assert!(take(&acme, 0));
        assert!(!take(&acme, HOUR_MS - 1));
        assert!(take(&bloom, HOUR_MS - 1));
        assert!(take(&acme, HOUR_MS));
    }

    #[test]
    fn a_large_fleet_gets_its_share() {
        let revocation_limit = RevocationLimit::default();
        assert_eq!(revocation_limit.left(100, &Params::default()), 3);
        assert_eq!(revocation_limit.left(1_000_000, &Params::default()), 10);
    }

    #[test]
    fn instances_that_share_no_store_divide_what_is_allowed() {
        let revocation_limit = RevocationLimit::default();
        let params = Params { instances: 3, ..Params::default() };
        assert_eq!(revocation_limit.left(1_000_000, &params), 3);
        assert_eq!(revocation_limit.left(100, &Params { instances: 4, ..params }), 0);
    }

    #[test]
    fn a_token_that_is_given_back_can_be_acquired_again() {
        let mut revocation_limit = RevocationLimit::default();
        let (acme, params) = (CompactString::new("acme"), Params::default());
        let at = |ms| (100, EventTime::from_ms(ms));
        assert!(revocation_limit.try_acquire(Some(&acme), at(0), &params));
        assert!(!revocation_limit.try_acquire(Some(&acme), at(1), &params));
        revocation_limit.give_back(Some(&acme), EventTime::from_ms(0));
        revocation_limit.give_back(None, EventTime::from_ms(0));
        assert_eq!(
            revocation_limit.left(100, &params),
            3,
            "one that nobody took is not given back"
        );
        assert!(revocation_limit.try_acquire(Some(&acme), at(2), &params));
    }

    proptest! {
        #[test]
        fn no_hour_ever_sees_more_than_it_is_allowed(
            gaps in prop::collection::vec(0_i64..HOUR_MS / 2, 1..200),
        ) {
            let params = Params { per_tenant_hour: 2, ..Params::default() };
            let mut revocation_limit = RevocationLimit::default();
            let (mut now, mut granted) = (0, Vec::new());
            for (index, gap) in gaps.into_iter().enumerate() {
                now += gap;
                let tenant = CompactString::new(if index % 2 == 0 { "a" } else { "b" });
                if revocation_limit.try_acquire(Some(&tenant), (10, EventTime::from_ms(now)), &params) {
                    granted.push(now);
                }
            }
            for start in &granted {
                let within = granted.iter().filter(|at| (0..HOUR_MS).contains(&(**at - start)));
                prop_assert!(within.count() <= 3);
            }
        }
    }
}
