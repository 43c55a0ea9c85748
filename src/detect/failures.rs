//! `failures`: far more failed requests than usual name this credential, as when someone guesses
//! or probes. A request fails that is rejected, or whose caller does not prove to hold the credential.
//!
//! Score: the beta-binomial tail of the failed among all requests, about the greater of the
//! credential's own ratio and the fleet's, so that an outage, which fails everybody, is no one's
//! attack. The requests are those of a minute, which sees a flood soon; and those of about ten
//! minutes, a sum that fades, which sees patient guessing, and probing amid an honest client's
//! traffic: over so long a ratio varies less, so that the belief in the usual one is worth more. It alerts at most, and is no corroborator of anything more severe (invariant S-10):
//! no one gets a stranger's key revoked by failing to use it. Cost: only rejected requests are
//! asked about.

use super::evidence::{Evidence, grouped};
use super::window::Windows;
use crate::model::finding::{Action, Measure};
use crate::stats::beta_binomial::BetaBinomial;
use crate::stats::codec::{Codec, Input};
use crate::stats::compact::{Compact, moved};

/// Parameters of remarkable failures.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least number of rejected requests in a minute. Default: 30.
    pub rejected_min: u32,
    /// The least number of rejected requests in about ten minutes. Default: 60.
    pub rejected_slow_min: u32,
    /// The least ratio of failures that is expected of anyone. Default: 0.01.
    pub ratio_min: f64,
    /// How many requests of a minute the belief in the usual ratio is worth. Default: 100.
    pub weight: f64,
    /// How many requests of about ten minutes it is worth. Default: 600.
    pub slow_weight: f64,
    /// The least evidence to observe. Unit: nats. Default: 14.
    pub observe_nats: f64,
    /// The least evidence to alert. Unit: nats. Default: 20.7, a probability of 1e-9.
    pub alert_nats: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            rejected_min: 30,
            rejected_slow_min: 60,
            ratio_min: 0.01,
            weight: 100.0,
            slow_weight: 600.0,
            observe_nats: 14.0,
            alert_nats: 20.7,
        }
    }
}

/// A minute moves the usual ratio by one part of so many. Chosen: a memory of about an hour of use.
const LEARNS: i32 = 64;
/// A ratio of 1 in the 16 bits of a memory.
const ONE: u32 = 65_535;

/// The rest of a minute's requests a minute later: those of about ten minutes count.
const KEEP_PER_MINUTE: f32 = 0.9;
/// The length of the slow sums, as findings show it. Unit: minutes.
const TEN_MINUTES: u8 = 10;
/// After how many minutes without a failure the slow sums begin again. Chosen: what windows hold.
const GAP_MAX: u8 = 5;

/// The failed requests that name a credential: those that were rejected, and those whose caller did
/// not prove to hold it. Shape: 10 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    usual: u16,
    now: u16,
    /// How many of them no window holds, as their callers were not verified; 255 stands for all.
    unverified: u8,
    /// The minute in which they came, modulo 256.
    minute: u8,
    /// Those of the minutes before it, of about ten; and all requests of these minutes.
    before: (Compact, Compact),
}

/// Far more failures than usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failing {
    /// Failed requests.
    pub rejected: u32,
    /// All requests in that time.
    pub attempts: u32,
    /// In how long they came: the running minute, or about ten, of which the older ones count less.
    /// Unit: minutes.
    pub minutes: u8,
    /// The ratio of failures that is usual, for the credential or for the fleet, in 0..1.
    pub usual_ratio: f64,
    /// How unlikely so many are. Unit: nats.
    pub evidence_nats: f64,
}

impl Failures {
    const EMPTY: Self =
        Self { usual: 0, now: 0, unverified: 0, minute: 0, before: (Compact::ZERO, Compact::ZERO) };

    /// Counts a failed request in the minute of `second`; `windows` hold all that were verified.
    pub fn record(&mut self, windows: &Windows, second: u32, frozen: bool, verified: bool) {
        let minute = low_byte(second / 60);
        // One that is late belongs to a minute that has ended: it counts in the running one.
        let is_later = (1..128).contains(&minute.wrapping_sub(self.minute));
        if self.now == 0 {
            (self.minute, self.before) = (minute, calm(windows, second / 60));
        } else if is_later {
            let before = (second / 60).wrapping_sub(u32::from(minute.wrapping_sub(self.minute)));
            let rejected = u32::from(self.now);
            let attempts = self.attempts(windows, before).max(rejected);
            if attempts > 0 && !frozen {
                let ratio = i32::try_from(rejected * ONE / attempts).unwrap_or(0);
                self.usual = moved(self.usual, ratio, LEARNS);
            }
            self.fade(windows, before, attempts, minute.wrapping_sub(self.minute));
            (self.now, self.unverified, self.minute) = (0, 0, minute);
        }
        self.now = self.now.saturating_add(1);
        self.unverified = self.unverified.saturating_add(u8::from(!verified));
    }

    /// Adds the minute `ended` to the slow sums, and the minutes since, in which nothing failed.
    fn fade(&mut self, windows: &Windows, ended: u32, attempts: u32, gap: u8) {
        if gap > GAP_MAX {
            self.before = calm(windows, ended + u32::from(gap));
            return;
        }
        let (mut failed, mut all) = (self.before.0.value(), self.before.1.value());
        (failed, all) = (failed + f32::from(self.now), all + attempts as f32);
        for passed in 1..=u32::from(gap) {
            let between = if passed < u32::from(gap) { windows.minute(ended + passed) } else { 0 };
            (failed, all) = (failed * KEEP_PER_MINUTE, all * KEEP_PER_MINUTE + between as f32);
        }
        self.before = (Compact::nearest(failed), Compact::nearest(all));
    }

    /// Failed requests of about ten minutes up to `second`, and all requests of that time.
    pub fn slow(self, windows: &Windows, second: u32) -> (u32, u32) {
        let now = (u32::from(self.now), self.attempts(windows, second / 60));
        let [failed, all] =
            [(self.before.0, now.0), (self.before.1, now.1)].map(|(before, now)| {
                #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
                #[expect(clippy::cast_sign_loss, reason = "sums are never negative")]
                let before = before.value() as u32;
                before.saturating_add(now)
            });
        (failed, all.max(failed))
    }

    /// Whether so many came, in about ten minutes or in the newest one, that it is worth evaluating.
    pub(super) fn may_speak(self, windows: &Windows, second: u32, params: &Params) -> bool {
        u32::from(self.now) >= params.rejected_min
            || self.slow(windows, second).0 >= params.rejected_slow_min
    }

    /// All requests of that minute: the verified ones, and those that failed without proof.
    /// Error: where verified failures and 255 others meet in a minute, the verified ones count twice.
    pub fn attempts(self, windows: &Windows, minute: u32) -> u32 {
        let apart = if self.unverified == u8::MAX { self.now } else { self.unverified.into() };
        windows.minute(minute).saturating_add(u32::from(apart))
    }

    /// How many came in its newest minute.
    pub const fn now(self) -> u16 {
        self.now
    }

    /// The ratio of failures that is usual, in 0..1.
    pub fn usual_ratio(self) -> f64 {
        f64::from(self.usual) / f64::from(ONE)
    }

    /// The learned part: the usual ratio.
    pub const fn learned(self) -> u16 {
        self.usual
    }

    /// Knows the usual ratio, as after a long silence.
    pub const fn of(learned: u16) -> Self {
        Self { usual: learned, ..Self::EMPTY }
    }
}

/// How often the others of the fleet fail, in 0..1: the greater of what is usual and of the running minute,
/// and the same with about ten minutes, by which an outage is known that has just ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FleetRatios {
    /// Usually, or in the running minute.
    pub minute: f64,
    /// Usually, in the running minute, or in about ten.
    pub ten_minutes: f64,
}

/// The slow sums of a credential that did not fail before `minute`: its requests as in the minutes that
/// `windows` hold, so that they say as much of the time before an outage as those of the fleet.
fn calm(windows: &Windows, minute: u32) -> (Compact, Compact) {
    // The oldest of the minutes that they hold may be cut.
    let held = 1..u32::from(GAP_MAX);
    let minutes = held.len() as f32;
    let requests = held
        .fold(0, |sum: u32, back| sum.saturating_add(windows.minute(minute.saturating_sub(back))));
    let per_minute = requests as f32 / minutes;
    let sum = KEEP_PER_MINUTE / (1.0 - KEEP_PER_MINUTE);
    (Compact::ZERO, Compact::nearest(per_minute * sum))
}

const fn low_byte(minute: u32) -> u8 {
    (minute & 0xff) as u8
}

/// Evaluates `failures` for the running minute, where the others fail as `fleet` says.
pub fn evaluate(
    failures: Failures,
    windows: &Windows,
    second: u32,
    fleet: FleetRatios,
    params: &Params,
) -> Option<(Action, Failing)> {
    let now = u32::from(failures.now);
    let in_minute = (now, failures.attempts(windows, second / 60).max(now));
    let judged = |(rejected, attempts): (u32, u32), (minutes, fleet), least, weight| {
        (rejected >= least).then(|| {
            let usual_ratio = failures.usual_ratio().max(fleet).clamp(params.ratio_min, 0.99);
            let belief = BetaBinomial::new(attempts, usual_ratio, weight);
            let evidence_nats = -belief.ln_tail(rejected);
            Failing { rejected, attempts, minutes, usual_ratio, evidence_nats }
        })
    };
    let slow = failures.slow(windows, second);
    let ten_minutes = (TEN_MINUTES, fleet.ten_minutes);
    let slow = judged(slow, ten_minutes, params.rejected_slow_min, params.slow_weight);
    let fast = judged(in_minute, (1, fleet.minute), params.rejected_min, params.weight);
    let both = [fast, slow].into_iter().flatten();
    let failing = both.max_by(|a, b| a.evidence_nats.total_cmp(&b.evidence_nats))?;
    if failing.evidence_nats < params.observe_nats {
        return None;
    }
    let alerts = failing.evidence_nats >= params.alert_nats;
    Some((if alerts { Action::Alert } else { Action::Observe }, failing))
}

impl Evidence for Failing {
    fn strength(&self) -> f64 {
        self.evidence_nats
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        format!(
            "was named by {} failed requests of {} within {} (normally {:.1} %), rejected or \
             without proof of holding it; somebody may be guessing or probing",
            grouped(f64::from(self.rejected)),
            grouped(f64::from(self.attempts)),
            if self.minutes > 1 { "about ten minutes" } else { "a minute" },
            self.usual_ratio * 100.0,
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("rejected", f64::from(self.rejected)),
            Measure::new("attempts", f64::from(self.attempts)),
            Measure::new("minutes", f64::from(self.minutes)),
            Measure::new("rejected_usual_ratio", self.usual_ratio),
            Measure::new("tail_nats", self.evidence_nats),
        ]
    }
}

impl Codec for Failures {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.usual, self.now).encode(out);
        (self.unverified, self.minute).encode(out);
        self.before.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (usual, now) = Codec::decode(input)?;
        // Before layout 3 only requests without proof were counted here.
        let all = u8::try_from(now).unwrap_or(u8::MAX);
        let unverified = if input.version() < 3 { all } else { Codec::decode(input)? };
        let minute = Codec::decode(input)?;
        // Before layout 5 there was the running minute alone.
        let before = if input.version() < 5 { Default::default() } else { Codec::decode(input)? };
        Some(Self { usual, now, unverified, minute, before })
    }
}

impl Codec for Failing {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.rejected, self.attempts).encode(out);
        (self.usual_ratio, self.evidence_nats).encode(out);
        self.minutes.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (rejected, attempts) = Codec::decode(input)?;
        let (usual_ratio, evidence_nats) = Codec::decode(input)?;
        let minutes = if input.version() < 5 { 1 } else { Codec::decode(input)? };
        Some(Self { rejected, attempts, minutes, usual_ratio, evidence_nats })
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Codec, Failing, Failures, FleetRatios, Input, Params, Windows, evaluate};

    const START: u32 = 1_700_000_040;

    /// Failures without proof and verified uses, so many in each of the minutes from `from` on, evenly; what
    /// is found at the last failure.
    fn minutes(
        (failures, windows): (&mut Failures, &mut Windows),
        (from, count): (u32, u32),
        (failed, verified): (u32, u32),
    ) -> Option<(Action, Failing)> {
        for second in from * 60..(from + count) * 60 {
            let now = START + second;
            let in_second = |of_minute: u32| {
                (second % 60 + 1) * of_minute / 60 - (second % 60) * of_minute / 60
            };
            (0..in_second(verified)).for_each(|_| {
                windows.add(now);
            });
            (0..in_second(failed)).for_each(|_| failures.record(windows, now, false, false));
        }
        let last = START + (from + count) * 60 - 1;
        evaluate(*failures, windows, last, FleetRatios::default(), &Params::default())
    }

    fn new() -> (Failures, Windows) {
        (Failures::default(), Windows::new(START))
    }

    /// A real log of sshd: 147 failed passwords in seven minutes, never 30 in one.
    #[test]
    fn patient_guessing_is_found_within_minutes() {
        let (mut failures, mut windows) = new();
        let after = minutes((&mut failures, &mut windows), (0, 2), (21, 0));
        assert_eq!(after, None, "40 failures may be a mistake");
        let (action, failing) =
            minutes((&mut failures, &mut windows), (2, 3), (21, 0)).expect("is found");
        assert_eq!((action, failing.minutes), (Action::Alert, 10));
    }

    #[test]
    fn a_gateway_that_is_a_minute_late_hides_no_guessing() {
        let (mut failures, windows) = new();
        for n in 0..150 {
            let late = if n % 2 == 0 { 0 } else { 60 };
            failures.record(&windows, START + 120 + n * 3 - late, false, false);
        }
        let found =
            evaluate(failures, &windows, START + 570, FleetRatios::default(), &Params::default());
        assert_eq!(found.map(|(action, _)| action), Some(Action::Alert));
        assert!(failures.usual_ratio() < 0.2, "{}", failures.usual_ratio());
    }

    #[test]
    fn probing_amid_an_honest_clients_traffic_is_found_by_its_ratio_over_ten_minutes() {
        let (mut failures, mut windows) = new();
        assert_eq!(minutes((&mut failures, &mut windows), (0, 10), (3, 300)), None);
        let (action, failing) =
            minutes((&mut failures, &mut windows), (10, 4), (120, 300)).expect("is found");
        assert_eq!((action, failing.minutes), (Action::Alert, 10));
    }

    /// The sums of failures and of all requests fade alike, and with minutes in which nothing failed.
    #[test]
    fn a_client_that_was_busy_and_failed_as_usual_is_none_once_it_is_quiet() {
        let (mut failures, mut windows) = new();
        assert_eq!(minutes((&mut failures, &mut windows), (0, 30), (50, 5000)), None);
        for minute in 30..45 {
            let found = minutes((&mut failures, &mut windows), (minute, 1), (1, 10));
            assert_eq!(found, None, "{minute}");
        }
        let (mut failures, mut windows) = new();
        for minute in 0..60 {
            let failed = if minute % 4 == 0 { 40 } else { 0 };
            let found = minutes((&mut failures, &mut windows), (minute, 1), (failed, 1000));
            assert_eq!(found, None, "{minute}");
        }
    }

    #[test]
    fn after_minutes_without_a_failure_the_slow_count_begins_again() {
        let (mut failures, mut windows) = new();
        minutes((&mut failures, &mut windows), (0, 3), (25, 0));
        let found = minutes((&mut failures, &mut windows), (10, 2), (25, 0));
        assert_eq!(found, None, "no more than 50 in the newest minutes");
    }

    #[test]
    fn attempts_are_verified_uses_and_failures_without_proof() {
        for (verified, unverified, attempts) in
            [(0, 20, 20), (20, 0, 20), (20, 30, 50), (0, 1000, 1000)]
        {
            let (mut failures, mut windows) = (Failures::default(), Windows::new(START));
            for n in 0..verified + unverified {
                let is_verified = n < verified;
                if is_verified {
                    windows.add(START);
                }
                failures.record(&windows, START, false, is_verified);
            }
            assert_eq!(failures.attempts(&windows, START / 60), attempts);
        }
    }

    #[test]
    fn what_layout_2_counted_were_failures_without_proof() {
        let mut bytes = Vec::new();
        (7_u16, 300_u16).encode(&mut bytes);
        9_u8.encode(&mut bytes);
        let read = Failures::decode(&mut Input::new(&bytes, 2)).expect("reads");
        assert_eq!((read.usual, read.now, read.unverified, read.minute), (7, 300, 255, 9));
    }

    #[test]
    fn the_slow_count_comes_back_from_a_checkpoint_and_begins_with_layout_5() {
        let (mut failures, mut windows) = new();
        minutes((&mut failures, &mut windows), (0, 8), (25, 0));
        let mut bytes = Vec::new();
        failures.encode(&mut bytes);
        let read = Failures::decode(&mut Input::new(&bytes, 5)).expect("reads");
        assert_eq!(read.before, failures.before);
        let older = Failures::decode(&mut Input::new(&bytes, 4)).expect("reads");
        assert_eq!((older.now, older.before), (failures.now, Failures::EMPTY.before));
    }
}
