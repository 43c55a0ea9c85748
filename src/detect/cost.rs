//! `cost`: far more money, or far more units (LLM tokens say), than this credential ever used in a minute,
//! whatever the number of requests.
//!
//! From its first event with money on, the cost of a credential is money: its units are converted by
//! `token_price`, those learned and those that come without money. A client chooses its model, and so whether its
//! request has a price: it must hide nothing by that. Score: the cost of the running minute over `max(peak,
//! least)`. Evidence: that the greatest of `m` minutes is passed by that ratio, under a Pareto tail of index 2
//! (chosen: costs have heavy tails): `ln m + 2 ln ratio`. It alerts at most, and from `mature_hours`
//! used hours after its first cost on. Cost: an addition and a comparison by event.

use super::evidence::{Evidence, grouped};
use crate::model::features::{CostUnit, RequestCost};
use crate::model::finding::{Action, Measure};
use crate::model::money::MICROS;
use crate::stats::codec::{Codec, Input};
use crate::stats::compact::{Compact, faded};
use crate::stats::rate::narrow;

/// Parameters of a remarkable cost.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least peak of units that is compared with. Unit: units a minute. Default: 20,000.
    pub units_min: f32,
    /// The least peak of money that is compared with. Unit: money a minute. Default: 1.
    pub spend_min: f32,
    /// Money for a million units whose price is not known. Default: 10, about a dear model's in dollars.
    pub token_price: f32,
    /// The ratio to observe. Default: 3.
    pub observe_ratio: f32,
    /// The ratio to alert. Default: 6.
    pub alert_ratio: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            units_min: 20_000.0,
            spend_min: 1.0,
            token_price: 10.0,
            observe_ratio: 3.0,
            alert_ratio: 6.0,
        }
    }
}

impl Params {
    /// The least peak that is compared with, as costs of that unit are counted.
    fn peak_min(&self, unit: CostUnit) -> f32 {
        match unit {
            CostUnit::Tokens => self.units_min,
            CostUnit::MoneyMicros => self.spend_min * narrow(MICROS),
        }
    }
}

/// The unit of the costs, and how many used hours began since the first of them, up to 127. Shape: one byte, apart from
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
    pub fn add(&mut self, known: &mut Known, cost: RequestCost, params: &Params) {
        let mut amount = cost.amount() as f32;
        if cost.unit() != known.unit() && cost.amount() > 0 {
            // Money for a million units is millionths of money for one.
            let price = params.token_price;
            if cost.unit() == CostUnit::Tokens {
                amount *= price;
            } else {
                let dear = |learned: Compact| Compact::at_least(learned.value() * price);
                (self.now, self.peak, self.held) =
                    (self.now * price, dear(self.peak), dear(self.held));
                known.0 |= Known::MONEY;
            }
        }
        self.now += amount;
    }

    /// Whether it is worth asking; `hours_min`: how many used hours must have begun since the first
    /// cost.
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
                ("spent", format!("{:.2}", self.cost), format!("{:.2}", self.peak))
            }
        };
        let is_of_peak = self.peak * self.ratio >= self.cost * 0.999;
        let of = match (is_of_peak, self.unit) {
            (true, _) => "times its peak",
            (false, CostUnit::Tokens) => "times the least peak that counts, [cost] units_min",
            (false, CostUnit::MoneyMicros) => "times the least peak that counts, [cost] spend_min",
        };
        format!(
            "{verb} {cost} within a minute, where {peak} was the most so far; that is {:.1} {of}",
            self.ratio
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
    use crate::detect::evidence::Evidence;
    use crate::model::features::{CostUnit, RequestCost};
    use crate::model::finding::Action;

    #[derive(Clone, Copy, Default)]
    struct Key {
        cost: Cost,
        known: Known,
    }

    impl Key {
        fn uses(mut self, of_minute: RequestCost, hours: u32) -> Self {
            for _ in 0..hours {
                for _ in 0..60 {
                    self.cost.add(&mut self.known, of_minute, &Params::default());
                    self.cost.minute_ends(false);
                }
                self.cost.hour_begins(&mut self.known);
            }
            self
        }

        fn seen(mut self, now: &[RequestCost]) -> Option<(Action, Spending)> {
            for cost in now {
                self.cost.add(&mut self.known, *cost, &Params::default());
            }
            evaluate((self.cost, self.known), (1_500, 24), &Params::default())
        }

        fn is_alerted(self, now: &[RequestCost]) -> bool {
            self.seen(now).is_some_and(|(action, _)| action == Action::Alert)
        }
    }

    fn tokens(amount: u64) -> RequestCost {
        RequestCost::new(amount, CostUnit::Tokens)
    }

    fn money(thousandths: u64) -> RequestCost {
        RequestCost::new(thousandths * 1_000, CostUnit::MoneyMicros)
    }

    #[test]
    fn money_is_compared_with_its_own_peak() {
        let key = Key::default().uses(money(2_000), 25);
        assert_eq!(key.seen(&[money(5_900)]), None);
        let (action, seen) = key.seen(&[money(100_000)]).expect("remarkable");
        assert_eq!((action, seen.unit), (Action::Alert, CostUnit::MoneyMicros));
        assert!((seen.cost - 100.0).abs() < 0.01 && (49.0..51.0).contains(&seen.ratio), "{seen:?}");
        let said = seen.summary();
        assert!(said.contains("spent 100.00 within a minute, where 2.0"), "{said}");
    }

    #[test]
    fn one_request_with_a_price_hides_nothing_that_has_none() {
        let units = Key::default().uses(tokens(60_000), 27);
        let flood = tokens(3_000_000);
        assert!(units.is_alerted(&[flood]));
        assert!(units.is_alerted(&[money(1), flood]), "priced within the minute");
        assert!(units.uses(money(1), 1).is_alerted(&[flood]), "priced an hour before");
        let priced = Key::default().uses(money(150), 27);
        assert!(priced.is_alerted(&[flood]), "a model that has no price");
    }

    #[test]
    fn prices_that_are_written_down_alert_on_no_honest_key() {
        // A minute of 60,000 tokens of models from 0.1 to 10 for a million.
        let units = Key::default().uses(tokens(60_000), 27);
        for thousandths in [6, 60, 600] {
            let priced = units.uses(money(thousandths), 30);
            assert_eq!(priced.seen(&[money(2 * thousandths)]), None);
        }
    }

    #[test]
    fn the_first_day_of_costs_is_learned_from() {
        assert_eq!(Key::default().uses(money(2_000), 23).seen(&[money(500_000)]), None);
        assert_eq!(Key::default().seen(&[money(500_000)]), None);
    }

    #[test]
    fn little_money_is_never_remarkable() {
        let cheap = Key::default().uses(money(1), 25);
        assert_eq!(cheap.seen(&[money(2_900)]), None);
        let (action, seen) = cheap.seen(&[money(3_100)]).expect("remarkable");
        assert_eq!(action, Action::Observe);
        assert!(seen.summary().ends_with("[cost] spend_min"), "{}", seen.summary());
    }
}
