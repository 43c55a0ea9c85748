//! `cost`: far more money, or far more units (LLM tokens say), than this credential ever used in a minute,
//! whatever the number of requests.
//!
//! Money counts where it is known: from the first event with money on, tokens of that credential are counted
//! no more. Score: the cost of the running minute over `max(peak, peak_min)`. Evidence: that the greatest of
//! `m` minutes is passed by that ratio, under a Pareto tail of index 2 (chosen: costs have heavy
//! tails): `ln m + 2 ln ratio`. It alerts at most, and once a cost of that unit was known in `mature_hours`
//! used hours. Cost: an addition and a comparison by event.

use super::evidence::{Evidence, grouped};
use crate::model::features::{CostUnit, RequestCost};
use crate::model::finding::{Action, Measure};
use crate::stats::codec::{Codec, Input};
use crate::stats::compact::{Compact, faded};

/// Millionths of a unit of money.
const MICROS: f64 = 1e6;

/// Parameters of a remarkable cost.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least peak of units that is compared with. Unit: units a minute. Default: 20,000.
    pub units_min: f32,
    /// The least peak of money that is compared with. Unit: money a minute. Default: 1.
    pub spend_min: f32,
    /// The ratio to observe. Default: 3.
    pub observe_ratio: f32,
    /// The ratio to alert. Default: 6.
    pub alert_ratio: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self { units_min: 20_000.0, spend_min: 1.0, observe_ratio: 3.0, alert_ratio: 6.0 }
    }
}

impl Params {
    /// The least peak that is compared with, as costs of that unit are counted.
    fn peak_min(&self, unit: CostUnit) -> f32 {
        match unit {
            CostUnit::Tokens => self.units_min,
            CostUnit::MoneyMicros => self.spend_min * 1e6,
        }
    }
}

/// The unit of the costs, and in how many used hours there were some, up to 127. Shape: one byte, apart from
/// [`Cost`] for the sake of alignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known(u8);

impl Known {
    const MONEY: u8 = 1 << 7;

    const fn unit(self) -> CostUnit {
        if self.0 & Self::MONEY == 0 { CostUnit::Tokens } else { CostUnit::MoneyMicros }
    }

    const fn hours(self) -> u8 {
        self.0 & !Self::MONEY
    }

    const fn hour_later(self) -> Self {
        if self.hours() == !Self::MONEY { self } else { Self(self.0 + 1) }
    }
}

/// The costs of a credential. Shape: 8 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// In the running minute.
    now: f32,
    peak: Compact,
    /// Of the minute before: it is too young to teach.
    held: Compact,
}

/// A far greater cost than ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spending {
    /// The unit.
    pub unit: CostUnit,
    /// In the running minute. Unit: units, or money.
    pub cost: f64,
    /// The most in a minute so far. Unit: units, or money.
    pub peak: f64,
    /// `cost / max(peak, least)`.
    pub ratio: f64,
    /// How unlikely so much is. Unit: nats.
    pub evidence_nats: f64,
}

impl Cost {
    /// Counts the cost of a request.
    pub fn add(&mut self, known: &mut Known, cost: RequestCost) {
        if cost.unit() != known.unit() && cost.amount() > 0 {
            if cost.unit() == CostUnit::Tokens {
                return;
            }
            (*self, *known) = (Self::default(), Known(Known::MONEY));
        }
        self.now += cost.amount() as f32;
    }

    /// Whether it is worth asking; `hours_min`: in how many used hours there must have been costs.
    pub fn may_speak(self, known: Known, hours_min: u8, params: &Params) -> bool {
        let least = params.peak_min(known.unit());
        self.now >= params.observe_ratio * self.peak.value().max(least)
            && known.hours() >= hours_min.min(!Known::MONEY)
    }

    /// Learns the minute before the ending one, unless `frozen`.
    pub fn minute_ends(&mut self, frozen: bool) {
        let now = Compact::at_least(std::mem::take(&mut self.now));
        let held = std::mem::replace(&mut self.held, now);
        if frozen {
            self.held = Compact::default();
        } else {
            self.peak = self.peak.max(held);
        }
    }

    /// Another used hour begins.
    pub fn hour_begins(self, known: &mut Known) {
        if self.peak.max(self.held) > Compact::ZERO {
            *known = known.hour_later();
        }
    }

    /// Lets the peak fade over `days`.
    pub fn days_pass(&mut self, days: u32) {
        self.peak = faded(self.peak, days);
    }

    /// A use that was held back teaches nothing: it may be the beginning of abuse.
    pub fn forget_held(&mut self) {
        self.held = Compact::default();
    }

    /// Takes the greatest cost of a stretch that turned out harmless.
    pub fn absorb(&mut self, cost: f32) {
        self.peak = self.peak.max(Compact::at_least(cost));
    }

    /// The learned part: the most in a minute.
    pub const fn learned(self) -> Compact {
        self.peak
    }

    /// Knows the most in a minute, as after a long silence.
    pub const fn of(learned: Compact) -> Self {
        Self { now: 0.0, peak: learned, held: Compact::ZERO }
    }

    /// The cost of the running minute, in its unit.
    pub const fn now(self) -> f32 {
        self.now
    }
}

/// Evaluates `cost` for the running minute of a credential that was watched for `minutes`.
pub fn evaluate(
    (cost, known): (Cost, Known),
    (minutes, hours_min): (u32, u8),
    params: &Params,
) -> Option<(Action, Spending)> {
    if !cost.may_speak(known, hours_min, params) {
        return None;
    }
    let unit = known.unit();
    let (now, peak) = (f64::from(cost.now), f64::from(cost.peak.value()));
    let ratio = now / peak.max(f64::from(params.peak_min(unit)));
    let evidence_nats = f64::from(minutes.max(1)).ln() + 2.0 * ratio.ln();
    let action = if ratio >= params.alert_ratio { Action::Alert } else { Action::Observe };
    let scale = if unit == CostUnit::MoneyMicros { MICROS } else { 1.0 };
    let (cost, peak) = (now / scale, peak / scale);
    Some((action, Spending { unit, cost, peak, ratio, evidence_nats }))
}

impl Evidence for Spending {
    fn strength(&self) -> f64 {
        self.ratio
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        let (verb, cost, peak) = match self.unit {
            CostUnit::Tokens => {
                ("cost", format!("{} units", grouped(self.cost)), grouped(self.peak))
            }
            CostUnit::MoneyMicros => {
                ("spent", format!("{:.2} of money", self.cost), format!("{:.2}", self.peak))
            }
        };
        format!(
            "{verb} {cost} within a minute, where {peak} were the most so far; that is {:.1} times {}",
            self.ratio,
            if self.peak * self.ratio >= self.cost * 0.999 {
                "its peak"
            } else {
                "the minimum baseline"
            },
        )
    }

    fn measures(&self) -> Vec<Measure> {
        let [cost, peak, ratio] = match self.unit {
            CostUnit::Tokens => ["units", "units_peak", "units_ratio"],
            CostUnit::MoneyMicros => ["spend", "spend_peak", "spend_ratio"],
        };
        vec![
            Measure::new(cost, self.cost),
            Measure::new(peak, self.peak),
            Measure::new(ratio, self.ratio),
            Measure::new("tail_nats", self.evidence_nats),
        ]
    }
}

crate::codec!(Cost { now, peak, held });

impl Codec for Known {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        // Before layout 6 there were tokens alone, and for how long was not kept: long enough.
        if input.version() < 6 { Some(Self(!Self::MONEY)) } else { Codec::decode(input).map(Self) }
    }
}

impl Codec for Spending {
    fn encode(&self, out: &mut Vec<u8>) {
        ((self.cost, self.peak), (self.ratio, self.evidence_nats)).encode(out);
        (self.unit == CostUnit::MoneyMicros).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let ((cost, peak), (ratio, evidence_nats)) = Codec::decode(input)?;
        let is_money = if input.version() < 6 { false } else { Codec::decode(input)? };
        let unit = if is_money { CostUnit::MoneyMicros } else { CostUnit::Tokens };
        Some(Self { unit, cost, peak, ratio, evidence_nats })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, Known, Params, Spending, evaluate};
    use crate::model::features::{CostUnit, RequestCost};
    use crate::model::finding::Action;

    #[derive(Default)]
    struct Key {
        cost: Cost,
        known: Known,
    }

    impl Key {
        fn uses(&mut self, of_minute: RequestCost, hours: u32) {
            for _ in 0..hours {
                for _ in 0..60 {
                    self.cost.add(&mut self.known, of_minute);
                    self.cost.minute_ends(false);
                }
                self.cost.hour_begins(&mut self.known);
            }
        }

        fn seen(mut self, now: RequestCost) -> Option<(Action, Spending)> {
            self.cost.add(&mut self.known, now);
            evaluate((self.cost, self.known), (1_500, 24), &Params::default())
        }
    }

    fn tokens(amount: u64) -> RequestCost {
        RequestCost::new(amount, CostUnit::Tokens)
    }

    fn money(thousandths: u64) -> RequestCost {
        RequestCost::new(thousandths * 1_000, CostUnit::MoneyMicros)
    }

    fn spender() -> Key {
        let mut key = Key::default();
        key.uses(money(2_000), 25);
        key
    }

    #[test]
    fn money_is_compared_with_its_own_peak() {
        assert_eq!(spender().seen(money(5_900)), None);
        let (action, seen) = spender().seen(money(100_000)).expect("remarkable");
        assert_eq!((action, seen.unit), (Action::Alert, CostUnit::MoneyMicros));
        assert!((seen.cost - 100.0).abs() < 0.01 && (49.0..51.0).contains(&seen.ratio), "{seen:?}");
    }

    #[test]
    fn tokens_of_a_key_whose_money_is_known_are_not_counted() {
        assert_eq!(spender().seen(tokens(1 << 30)), None);
    }

    #[test]
    fn the_first_day_of_money_at_a_key_that_only_had_tokens_is_learned_from() {
        let mut key = Key::default();
        key.uses(tokens(50_000), 25);
        key.uses(money(2_000), 23);
        assert_eq!(key.seen(money(500_000)), None);
    }

    #[test]
    fn little_money_is_never_remarkable() {
        let cheap = || {
            let mut key = Key::default();
            key.uses(money(1), 25);
            key
        };
        assert_eq!(cheap().seen(money(2_900)), None);
        assert_eq!(cheap().seen(money(3_100)).map(|(action, _)| action), Some(Action::Observe));
    }
}
