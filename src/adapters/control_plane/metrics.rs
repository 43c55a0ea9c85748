//! Metrics of the control plane: decisions, safeguards, what waits, and the fleet.

use crate::adapters::metrics::exposition::{Exemplar, MetricExemplars};
use crate::adapters::metrics::registrar::{LATENCY_S, MetricsError, Registrar};
use crate::control_plane::policy::budget::{BUDGETED, Budgets, Claim, Proofs};
use crate::model::credential::Kind;
use crate::model::decision::{Decision, Mode, Order, Safeguard};
use crate::model::finding::Action;
use crate::model::invariant::Invariant;
use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

const DECISIONS: &str = "decisions_total";
const DECISION_SECONDS: &str = "decision_seconds";

/// Counts of decisions, and of what lowered them.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct DecisionMetrics {
    pub decisions: IntCounterVec,
    pub held: IntCounterVec,
    pub violations: IntCounterVec,
    seconds: Histogram,
    decision_exemplars: MetricExemplars,
    seconds_exemplars: MetricExemplars,
}

impl DecisionMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            decisions: r.counters_by_two(
                DECISIONS,
                "Decisions, by order and whether it is carried out.",
                ["action", "carried_out"],
                [&Order::ALL.map(Order::as_str), &["true", "false"]],
            )?,
            held: r.counters(
                "decisions_held_total",
                "Decisions that a safeguard lowered, by safeguard.",
                "safeguard",
                Safeguard::ALL.map(Safeguard::as_str),
            )?,
            violations: r.counters(
                "invariant_violations_total",
                "Decisions lowered because they would have broken an invariant; always 0.",
                "invariant",
                Invariant::ALL.map(Invariant::as_str),
            )?,
            seconds: r.histogram(
                DECISION_SECONDS,
                "Time from the arrival of the event to the durable decision.",
                &LATENCY_S,
            )?,
            decision_exemplars: r.exemplars(DECISIONS),
            seconds_exemplars: r.exemplars(DECISION_SECONDS),
        })
    }

    /// Counts a durable decision, and how long after the arrival of the event it came. Unit: seconds.
    pub fn count(&self, decision: &Decision, seconds: f64) {
        let carried_out = if decision.carried_out { "true" } else { "false" };
        let action = decision.order.as_str();
        self.decisions.with_label_values(&[action, carried_out]).inc();
        for safeguard in &decision.held_by {
            self.held.with_label_values(&[safeguard.as_str()]).inc();
        }
        self.seconds.observe(seconds);
        if let Some(finding) = decision.finding {
            let exemplar = |value| Exemplar { finding, value, at: decision.at };
            let labels = [("action", action), ("carried_out", carried_out)];
            self.decision_exemplars.count(&labels, exemplar(1.0));
            self.seconds_exemplars.observe(&LATENCY_S, exemplar(seconds));
        }
    }

    /// Shows the violations of each invariant since the start.
    pub fn show_violations(&self, counts: &[u64; Invariant::ALL.len()]) {
        for (invariant, count) in Invariant::ALL.into_iter().zip(counts) {
            let metric = self.violations.with_label_values(&[invariant.as_str()]);
            metric.inc_by(count.saturating_sub(metric.get()));
        }
    }

    /// Decisions since the start, by order: those carried out, and every alert, as no store carries out
    /// an alert.
    pub fn effective(&self) -> impl Iterator<Item = (Order, u64)> {
        let count = |order: Order, carried_out: &str| {
            self.decisions.with_label_values(&[order.as_str(), carried_out]).get()
        };
        Order::ALL.into_iter().map(move |order| {
            let others = if order == Order::Act(Action::Alert) { count(order, "false") } else { 0 };
            (order, count(order, "true") + others)
        })
    }
}

/// What the policy has in force, and what waits for people.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct PolicyMetrics {
    mode: IntGaugeVec,
    pub revocations_left: IntGauge,
    certified: GaugeVec,
    budget_missing: GaugeVec,
    pub approvals: IntGauge,
    pub enforced_credentials: IntGauge,
}

impl PolicyMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        let (actions, kinds) = (BUDGETED.map(Action::as_str), Kind::ALL.map(Kind::as_str));
        let by_action_and_kind =
            |name, help| r.float_gauges_by_two(name, help, ["action", "kind"], [&actions, &kinds]);
        Ok(Self {
            mode: r.gauges(
                "mode",
                "1 for the default mode in force.",
                "mode",
                Mode::ALL.map(Mode::as_str),
            )?,
            revocations_left: r.gauge(
                "revocation_limit_tokens",
                "Revocations that the revocation limit has left.",
            )?,
            certified: by_action_and_kind(
                "false_action_rate_upper_bound",
                "The bound on false actions that the own data prove at 95 %, for credentials without a tenant; +Inf: nothing yet.",
            )?,
            budget_missing: by_action_and_kind(
                "budget_missing_credential_seconds",
                "Use of credentials without a false alarm until the action is open.",
            )?,
            approvals: r
                .gauge("pending_approvals", "Revocations that wait for people to agree.")?,
            enforced_credentials: r.gauge(
                "enforced_credentials",
                "Credentials with an enforcement state, those restored recently included.",
            )?,
        })
    }

    /// Shows the default mode in force.
    pub fn show_mode(&self, in_force: Mode) {
        for mode in Mode::ALL {
            let shown = i64::from(mode == in_force);
            self.mode.with_label_values(&[mode.as_str()]).set(shown);
        }
    }

    /// Shows the proven upper bounds on false actions, and the use that is missing to prove them.
    pub fn show_budget(&self, proofs: &Proofs, budgets: &Budgets) {
        for (kind, proof) in Kind::ALL.into_iter().zip(proofs) {
            for action in BUDGETED {
                let labels = [action.as_str(), kind.as_str()];
                let claim = Claim::Burst(action);
                self.certified.with_label_values(&labels).set(proof.certified(claim));
                let missing_s = proof.days_missing(claim, budgets) * 86_400.0;
                self.budget_missing.with_label_values(&labels).set(missing_s);
            }
        }
    }
}

/// The fleet and its tenants, as this instance knows them.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct FleetMetrics {
    pub instances: IntGauge,
    pub credentials: IntGauge,
    pub following: IntGauge,
    pub followed: IntCounter,
    pub silent: IntGauge,
    pub unowned: IntGauge,
    pub not_keyed: IntGauge,
    pub different: IntGauge,
    pub tenant_flood_ratio: Gauge,
    pub tenant_limit_ratio: Gauge,
}

impl FleetMetrics {
    /// Registers its metrics; the fleet is this instance alone until others are heard of.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        let metrics = Self {
            instances: r.gauge(
                "fleet_instances",
                "Instances that this one hears of through Redis, and itself.",
            )?,
            credentials: r.gauge(
                "fleet_credentials",
                "Credentials remembered by all instances that this one hears of, and itself.",
            )?,
            following: r.gauge(
                "fleet_following",
                "1 while the decisions of other instances are followed through Redis, or there is no Redis; 0: they can't be read.",
            )?,
            followed: r.counter(
                "fleet_decisions_followed_total",
                "Decisions of other instances that this one follows.",
            )?,
            silent: r.gauge(
                "fleet_instances_silent",
                "Instances that neither left nor registered within the last ten seconds, of the last ten minutes.",
            )?,
            unowned: r.gauge(
                "fleet_partitions_unowned",
                "Partitions of Kafka that no registered instance owns: their events are not read.",
            )?,
            not_keyed: r.gauge(
                "fleet_topics_not_keyed",
                "Topics in which one credential was seen in two partitions within a minute.",
            )?,
            different: r.gauge(
                "fleet_instances_different",
                "Instances with another fingerprint key, mode or version than this one.",
            )?,
            tenant_flood_ratio: r.float_gauge(
                "tenant_flood_ratio",
                "Greatest share of a tenant that floods the fleet, over what is usual for it; 0: none does.",
            )?,
            tenant_limit_ratio: r.float_gauge(
                "tenant_limit_ratio",
                "The most that a tenant took in a minute of its limit in [limits.tenant_sum]; 0: no limit.",
            )?,
        };
        metrics.instances.set(1);
        metrics.following.set(1);
        Ok(metrics)
    }
}
