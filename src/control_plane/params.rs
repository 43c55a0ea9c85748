//! Parameters of the control plane, and what it is asked and asks.

use super::approvals::{self, Operators};
use super::policy::allow_list::AllowList;
use super::policy::budget::Budgets;
use super::policy::common_cause;
use super::policy::mode::Modes;
use super::policy::revocation_limit;
use crate::detect::tenant_flood;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, Order, Safeguard, Status, Vote};
use compact_str::CompactString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The author of orders that no person gave.
pub const SELF: &str = "tripline";
/// The author of orders that a store holds and this instance's journal did not know.
pub const OTHER: &str = "another instance";

/// Parameters of the control plane.
#[derive(Clone, Debug)]
pub struct Params {
    /// The most severe action carried out, by tenant and kind.
    pub modes: Modes,
    /// Credentials and tenants that never get more than an alert.
    pub allow_list: AllowList,
    /// How many revocations are allowed.
    pub revocation_limit: revocation_limit::Params,
    /// How many false actions are allowed.
    pub budgets: Budgets,
    /// Parameters of the common cause.
    pub common_cause: common_cause::Params,
    /// Parameters of a tenant's flood of the whole fleet; none: nothing is one.
    pub tenant_flood: Option<tenant_flood::Params>,
    /// The limits of what a tenant's credentials make together, by tenant. Unit: requests per minute.
    pub tenant_sums: BTreeMap<String, u32>,
    /// Which revocations people have to agree to.
    pub approval: approvals::Params,
    /// The tokens that may operate; none where it is not known, as in a replay.
    pub operators: Option<Arc<Operators>>,
    /// How long after the start nothing above throttle is done. Unit: milliseconds.
    /// Default: 5 min.
    pub warm_up_ms: i64,
    /// How long a throttling lasts. Unit: milliseconds. Default: 15 min.
    pub throttle_ms: i64,
    /// How long a suspension lasts. Unit: milliseconds. Default: 60 min.
    pub suspend_ms: i64,
    /// How long the word of a person who restores holds against a finding that goes on.
    /// Unit: milliseconds. Default: 60 min.
    pub restored_ms: i64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            modes: Modes::default(),
            allow_list: AllowList::default(),
            revocation_limit: revocation_limit::Params::default(),
            budgets: Budgets::default(),
            common_cause: common_cause::Params::default(),
            tenant_flood: Some(tenant_flood::Params::default()),
            tenant_sums: BTreeMap::new(),
            approval: approvals::Params::default(),
            operators: None,
            warm_up_ms: 5 * 60_000,
            throttle_ms: 15 * 60_000,
            suspend_ms: 60 * 60_000,
            restored_ms: 60 * 60_000,
        }
    }
}

/// An operator's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonOrder {
    /// Whom it is about.
    pub credential: Credential,
    /// Suspend, revoke or restore; throttle too.
    pub order: Order,
    /// The operator, as people read it.
    pub by: CompactString,
    /// The operator's account, as the API knows it.
    pub account: CompactString,
    /// Why.
    pub reason: String,
    /// How long it lasts; none: the default of the action. Unit: milliseconds.
    pub lasts_ms: Option<i64>,
    /// The status at the store of this process: it counts where no decision names the credential.
    pub held: Status,
}

impl PersonOrder {
    /// The voice of a person who orders a revocation that waits for more people; none if it does not.
    pub fn vote_on(&self, decision: &Decision) -> Option<Vote> {
        decision.held_by.contains(&Safeguard::Approval).then(|| Vote {
            decision: decision.id,
            agrees: true,
            account: self.account.clone(),
            by: self.by.clone(),
            reason: self.reason.clone(),
            at: decision.at,
        })
    }
}
