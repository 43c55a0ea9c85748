//! A flow: one party's requests with one credential, in order of time.
//!
//! Each window of the trace has exactly its count of requests. Their gaps are drawn from the
//! window's distribution and stretched so that they fill the window: a renewal process held to the
//! count that was measured. A copy of a flow goes on exactly as the original would.

use super::client_model::ClientModel;
use super::random::{Random, ms, whole};
use super::trace::Trace;
use crate::model::event::AuthEvent;
use crate::model::time::EventTime;
use std::sync::Arc;

/// One party's requests.
#[derive(Clone, Debug)]
pub struct RequestStream {
    trace: Arc<Trace>,
    /// How they look.
    pub guise: ClientModel,
    random: Random,
    window: usize,
    base_ms: i64,
    carried: f64,
    waiting: Vec<u32>,
    at: usize,
}

impl RequestStream {
    /// The requests of `trace`, whose first window begins at `start`.
    pub fn new(
        trace: Arc<Trace>,
        guise: ClientModel,
        start: EventTime,
        mut random: Random,
    ) -> Self {
        let carried = random.unit();
        let base_ms = start.ms() - i64::from(trace.window_ms);
        Self { trace, guise, random, window: 0, base_ms, carried, waiting: Vec::new(), at: 0 }
    }

    /// When the next request comes; none: never.
    pub fn next_time(&mut self) -> Option<EventTime> {
        while self.at >= self.waiting.len() {
            self.fill()?;
        }
        let offset = self.waiting.get(self.at).copied().unwrap_or(0);
        Some(EventTime::from_ms(self.base_ms + i64::from(offset)))
    }

    /// Writes the next request into `event` and goes on; nothing where there is none.
    pub fn take(&mut self, event: &mut AuthEvent<'static>) {
        if let Some(time) = self.next_time() {
            self.at += 1;
            event.time = time;
            self.guise.dress(event, time.ms(), &mut self.random);
        }
    }

    /// Spreads the requests of the next window over it. `None` at the end of the trace.
    fn fill(&mut self) -> Option<()> {
        let stretch = *self.trace.windows.get(self.window)?;
        self.window += 1;
        self.base_ms += i64::from(self.trace.window_ms);
        self.waiting.clear();
        self.at = 0;
        let count = whole(stretch.count + self.carried);
        self.carried = (stretch.count + self.carried - f64::from(count)).clamp(0.0, 1.0);
        if count == 0 {
            return Some(());
        }
        let mut sum = 0.0_f64;
        let mut sums = Vec::with_capacity(count as usize);
        for _ in 0..count {
            // The first gap begins somewhere before the window.
            let gap = stretch.gaps.draw(&mut self.random);
            sum += if sums.is_empty() { gap * self.random.unit() } else { gap };
            sums.push(sum);
        }
        sum += stretch.gaps.draw(&mut self.random) * self.random.unit();
        let scale = f64::from(self.trace.window_ms) / sum.max(f64::MIN_POSITIVE);
        let last = self.trace.window_ms.saturating_sub(1);
        self.waiting.extend(sums.iter().map(|sum| whole(sum * scale).min(last)));
        Some(())
    }

    /// The rate over the last hour of the trace up to where it is. Unit: requests per minute.
    pub fn level_per_min(&self) -> f64 {
        let hour = self.trace.windows_in(3_600_000);
        self.trace.rate_per_min(self.window.saturating_sub(hour), self.window)
    }

    /// Goes on with the trace's windows from `ahead` windows later (or earlier), at the same time
    /// of the clock.
    pub fn jump(&mut self, ahead: isize) {
        self.window = self.window.saturating_add_signed(ahead);
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The trace's rates multiplied by `by`, beginning at the present window.
    pub fn rest_of_trace(&self, by: impl Fn(i64) -> f64) -> Trace {
        let windows = self.trace.windows.iter().skip(self.window);
        let later = (0_i64..).map(|n| n * i64::from(self.trace.window_ms));
        let mut trace = Trace { windows: Vec::new(), name: String::new(), ..*self.trace };
        trace.windows = windows
            .zip(later)
            .map(|(window, ms)| super::trace::Stretch { count: window.count * by(ms), ..*window })
            .collect();
        trace
    }

    /// When the window after the present one begins.
    pub fn next_window(&self) -> EventTime {
        EventTime::from_ms(self.base_ms + i64::from(self.trace.window_ms))
    }

    /// A generator that is another one at each place of the flow and for each `purpose`.
    pub fn fork(&self, purpose: u64) -> Random {
        Random::of(self.random.clone().bits(), &[purpose])
    }
}

/// The party that made a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The one that the credential belongs to.
    Owner,
    /// The other one.
    Other,
}

/// Two parties' requests with one credential, in order of time.
#[derive(Clone, Debug, Default)]
pub struct TwoParties {
    /// The one that the credential belongs to.
    pub owner: Option<RequestStream>,
    /// The other one.
    pub other: Option<RequestStream>,
}

impl TwoParties {
    fn next(&mut self) -> Option<(EventTime, Party)> {
        let owner =
            self.owner.as_mut().and_then(RequestStream::next_time).map(|time| (time, Party::Owner));
        let other =
            self.other.as_mut().and_then(RequestStream::next_time).map(|time| (time, Party::Other));
        match (owner, other) {
            (Some(owner), Some(other)) => Some(if other.0 < owner.0 { other } else { owner }),
            (owner, other) => owner.or(other),
        }
    }

    /// When the next request comes; none: never.
    pub fn next_time(&mut self) -> Option<EventTime> {
        self.next().map(|(time, _)| time)
    }

    /// Writes the next request into `event` and goes on.
    pub fn take(&mut self, event: &mut AuthEvent<'static>) -> Option<Party> {
        let (_, by) = self.next()?;
        let flow = if by == Party::Owner { &mut self.owner } else { &mut self.other };
        flow.as_mut()?.take(event);
        Some(by)
    }
}

/// Milliseconds of that many minutes.
pub fn minutes(minutes: f64) -> i64 {
    ms(minutes * 60_000.0)
}

#[cfg(test)]
mod tests {
    use super::RequestStream;
    use crate::model::event::AuthEvent;
    use crate::model::time::EventTime;
    use crate::sim::client_model::ClientModel;
    use crate::sim::random::Random;
    use crate::sim::trace::{Gaps, Trace};
    use std::borrow::Cow;
    use std::sync::Arc;

    fn times(gaps: Gaps, rate: f64) -> Vec<i64> {
        let mut random = Random::of(3, &[]);
        let start = EventTime::from_s(1_736_121_600);
        let guise = ClientModel::honest(1.0, start.ms(), &mut random);
        let trace = Arc::new(Trace::of_rates(600_000, gaps, vec![rate; 144]));
        let mut flow = RequestStream::new(trace, guise, start, random);
        let mut event = AuthEvent::new(start, Cow::Borrowed("k"));
        let mut times = Vec::new();
        while flow.next_time().is_some() {
            flow.take(&mut event);
            times.push(event.time.ms());
        }
        times
    }

    #[test]
    fn gaps_have_the_mean_and_the_variation_of_the_trace_and_times_rise() {
        for (gaps, rate) in [
            (Gaps::Exponential, 2.0),
            (Gaps::Gamma(0.25), 2.0),
            (Gaps::Gamma(4.0), 1.0),
            (Gaps::Weibull(0.6), 3.0),
        ] {
            let times = times(gaps, rate);
            assert!((times.len() as f64 / (86_400.0 * rate) - 1.0).abs() < 0.001);
            assert!(times.is_sorted());
            let found: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            let squares = found.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
            let cv = (squares / found.len() as f64).sqrt() / mean;
            assert!((mean * rate / 1000.0 - 1.0).abs() < 0.01, "{gaps:?} {mean}");
            assert!((cv / gaps.cv() - 1.0).abs() < 0.05, "{gaps:?} {cv} {}", gaps.cv());
        }
    }

    #[test]
    fn a_rate_below_one_a_window_comes_to_its_count_over_time() {
        let count = times(Gaps::Exponential, 0.001).len();
        assert!((85..=87).contains(&count), "{count}");
    }
}
