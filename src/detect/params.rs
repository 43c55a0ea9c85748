//! Parameters of the detectors.

use super::{baseline, burst, cadence, context, cost, dormant, endpoints, limit};
use super::{failures, fan_out, origin, ramp, reuse, session, tenant_flood, validity};
use crate::model::finding::{Action, Detectors};

/// Parameters of the detectors.
#[derive(Clone, Debug)]
pub struct Params {
    /// How the baseline learns.
    pub baseline: baseline::Params,
    /// The operator's absolute limits.
    pub limits: limit::Limits,
    /// The action that a passed limit justifies. Default: revoke, as it is a contract.
    pub limit_action: Action,
    /// Parameters of a burst.
    pub burst: burst::Params,
    /// Parameters of a ramp.
    pub ramp: ramp::Params,
    /// Parameters of a remarkable new source.
    pub origin: origin::Params,
    /// Parameters of a fan-out.
    pub fan_out: fan_out::Params,
    /// Parameters of a sweep.
    pub endpoints: endpoints::Params,
    /// Parameters of remarkable failures.
    pub failures: failures::Params,
    /// Parameters of a remarkable cost.
    pub cost: cost::Params,
    /// Parameters of a change of rhythm.
    pub cadence: cadence::Params,
    /// Parameters of a remarkable sleep.
    pub dormant: dormant::Params,
    /// Parameters of a tenant's flood.
    pub tenant_flood: tenant_flood::Params,
    /// Parameters of a use that isn't valid.
    pub validity: validity::Params,
    /// Parameters of a refresh token that comes back.
    pub reuse: reuse::Params,
    /// Parameters of a session that isn't used as one.
    pub session: session::Params,
    /// The conditions under which a rate takes a credential out of service.
    pub weigh: context::Params,
    /// The detectors that say nothing.
    pub disabled: Detectors,
    /// How old a profile must be before a suspicion keeps it from learning. Unit: seconds.
    /// Default: 1 h.
    pub learns_s: u32,
    /// How old a profile must be before a new source may alert. Unit: seconds. Default: 1 day.
    pub origin_s: u32,
    /// And in how many hours it must have been used. Default: 4. Measured with 0 in its place, by
    /// the command for the tuning half in docs/detection.md: 8 false alerts of `origin`, not 3.
    pub origin_hours: u8,
    /// In how many hours of the clock a credential must have been used before the record of its rate is
    /// fully trusted, and before a climb or a cost is remarkable. Default: 24.
    pub rate_hours: u8,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            baseline: baseline::Params::default(),
            limits: limit::Limits::default(),
            limit_action: Action::Revoke,
            burst: burst::Params::default(),
            ramp: ramp::Params::default(),
            origin: origin::Params::default(),
            fan_out: fan_out::Params::default(),
            endpoints: endpoints::Params::default(),
            failures: failures::Params::default(),
            cost: cost::Params::default(),
            cadence: cadence::Params::default(),
            dormant: dormant::Params::default(),
            tenant_flood: tenant_flood::Params::default(),
            validity: validity::Params::default(),
            reuse: reuse::Params::default(),
            session: session::Params::default(),
            weigh: context::Params::default(),
            disabled: Detectors::default(),
            learns_s: 3600,
            origin_s: 86_400,
            origin_hours: 4,
            rate_hours: 24,
        }
    }
}
