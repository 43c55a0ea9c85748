//! Summaries that the instances of one fleet exchange.

use super::policy::common_cause::Summary;
use super::tenant_ranking::Minutes;

/// One instance's summary of its part of the fleet. Those of several add up, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceSummary {
    /// How many credentials there are, and how many burst.
    pub fleet: Summary,
    /// The tenants' shares of the minutes that ended last.
    pub tenants: Minutes,
}

impl InstanceSummary {
    /// Adds what another instance knows.
    pub fn merge(&mut self, other: &Self) {
        self.fleet.merge(&other.fleet);
        for (minute, counted) in &other.tenants {
            self.tenants.entry(*minute).or_default().merge(counted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::InstanceSummary;
    use crate::control_plane::policy::common_cause::Summary;
    use crate::model::signal::{MinuteTotals, TenantTotals};

    fn minute(requests: u64) -> MinuteTotals {
        let totals = TenantTotals { requests, usual: requests, watched_minutes: 3 };
        MinuteTotals { requests, usual: requests, tenants: [("acme".into(), totals)].into() }
    }

    #[test]
    fn summaries_add_up_in_any_order() {
        let fleet = |active| Summary { active, ..Summary::default() };
        let one = InstanceSummary { fleet: fleet(5), tenants: [(1, minute(10))].into() };
        let tenants = [(1, minute(5)), (2, minute(7))].into();
        let two = InstanceSummary { fleet: fleet(7), tenants };
        let (mut ab, mut ba) = (one.clone(), two.clone());
        ab.merge(&two);
        ba.merge(&one);
        assert_eq!(ab, ba);
        assert_eq!(ab.fleet.active, 12);
        assert_eq!(ab.tenants, [(1, minute(15)), (2, minute(7))].into());
    }
}
