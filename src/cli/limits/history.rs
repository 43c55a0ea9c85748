//! How many requests credentials made in the minutes of a history, in little memory: a histogram for each
//! credential, with eight bars to a doubling and none for what did not occur.

use crate::model::credential::Kind;
use crate::model::event::AuthEvent;
use crate::model::time::EventTime;
use crate::sim::random::whole;
use std::collections::BTreeMap;

/// Credentials at most. Chosen: about 300 MB.
const CREDENTIALS_MAX: usize = 1_000_000;
/// Bars to a doubling: a bar is 9 % wide.
const BARS_A_DOUBLING: f64 = 8.0;

/// The minutes of one credential by their counts; minutes without use are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Minutes {
    /// The bars in order of their counts, and how many minutes are in each.
    bars: Vec<(u8, u32)>,
}

impl Minutes {
    fn add(&mut self, count: u32) {
        let bar = whole((BARS_A_DOUBLING * f64::from(count).log2()).ceil());
        let bar = u8::try_from(bar).unwrap_or(u8::MAX);
        match self.bars.binary_search_by_key(&bar, |(bar, _)| *bar) {
            Ok(at) => {
                if let Some((_, minutes)) = self.bars.get_mut(at) {
                    *minutes += 1;
                }
            }
            Err(at) => self.bars.insert(at, (bar, 1)),
        }
    }

    /// How many there are.
    pub fn used(&self) -> u64 {
        self.bars.iter().map(|(_, minutes)| u64::from(*minutes)).sum()
    }

    /// The count that `share` of the minutes do not exceed, to the upper end of its bar.
    /// Unit: requests per minute.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (self.used() as f64 * share).ceil();
        let mut below = 0.0;
        let bar = self.bars.iter().find(|(_, minutes)| {
            below += f64::from(*minutes);
            below >= rank
        });
        bar.or(self.bars.last()).map_or(0.0, |(bar, _)| (f64::from(*bar) / BARS_A_DOUBLING).exp2())
    }
}

/// One credential.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its tenant, as last named.
    pub tenant: Option<String>,
    /// Its requests.
    pub requests: u64,
    /// Its minutes.
    pub minutes: Minutes,
    /// The newest minute (since 1970), and its count so far.
    newest: (i64, u32),
}

impl Credential {
    /// Counts a request; false if it is much older than one before it.
    fn add(&mut self, time: EventTime) -> bool {
        let minute = time.ms().div_euclid(60_000);
        let (newest, count) = &mut self.newest;
        if minute + LATE_MINUTES < *newest {
            return false;
        }
        if minute > *newest {
            if *count > 0 {
                self.minutes.add(*count);
            }
            (*newest, *count) = (minute, 0);
        }
        *count += 1;
        self.requests += 1;
        true
    }

    fn close(&mut self) {
        let (_, count) = std::mem::take(&mut self.newest);
        if count > 0 {
            self.minutes.add(count);
        }
    }
}

/// A request counts in the newest minute of its credential while it is at most so many minutes late.
const LATE_MINUTES: i64 = 5;

/// The credentials of a history.
#[derive(Clone, Debug, Default)]
pub struct History {
    numbers: BTreeMap<(Kind, String), u32>,
    credentials: Vec<Credential>,
    /// Requests that wait to be put in order, by credential.
    unordered: Vec<(EventTime, u32)>,
    /// Whether requests come in no order, as in documents.
    sorts: bool,
    /// The first and the last time.
    span: Option<(EventTime, EventTime)>,
    /// Requests of credentials beyond the most that are kept.
    pub left_out: u64,
    /// Requests much older than one before them, which are left out.
    pub out_of_order: u64,
}

impl History {
    /// Nothing yet. `sorts`: whether requests come in no order; all are kept until the end then.
    pub fn new(sorts: bool) -> Self {
        Self { sorts, ..Self::default() }
    }

    /// Takes a request, if it is a use of its credential: no other counts against a limit.
    pub fn add(&mut self, event: &AuthEvent<'_>) {
        if !event.verified {
            return;
        }
        let (first, last) = self.span.unwrap_or((event.time, event.time));
        self.span = Some((first.min(event.time), last.max(event.time)));
        let key = (event.kind, event.credential.clone().into_owned());
        let number = match self.numbers.get(&key) {
            Some(number) => *number,
            None if self.credentials.len() >= CREDENTIALS_MAX => {
                self.left_out += 1;
                return;
            }
            None => self.admit(key),
        };
        let Some(credential) = self.credentials.get_mut(number as usize) else { return };
        if let Some(tenant) = &event.tenant
            && credential.tenant.as_deref() != Some(tenant)
        {
            credential.tenant = Some(tenant.clone().into_owned());
        }
        if self.sorts {
            self.unordered.push((event.time, number));
        } else {
            self.out_of_order += u64::from(!credential.add(event.time));
        }
    }

    fn admit(&mut self, (kind, id): (Kind, String)) -> u32 {
        let number = u32::try_from(self.credentials.len()).unwrap_or(u32::MAX);
        self.credentials.push(Credential {
            kind,
            id: id.clone(),
            tenant: None,
            requests: 0,
            minutes: Minutes::default(),
            newest: (0, 0),
        });
        self.numbers.insert((kind, id), number);
        number
    }

    /// All credentials, and the days from first to last request.
    pub fn finish(mut self) -> (Vec<Credential>, f64) {
        self.unordered.sort_unstable();
        for (time, number) in self.unordered {
            if let Some(credential) = self.credentials.get_mut(number as usize) {
                credential.add(time);
            }
        }
        self.credentials.iter_mut().for_each(Credential::close);
        let days = self.span.map_or(0, |(first, last)| last.ms_since(first)) as f64 / 86_400_000.0;
        (self.credentials, days)
    }
}

#[cfg(test)]
mod tests {
    use super::{History, Minutes, whole};
    use crate::model::event::AuthEvent;
    use crate::model::time::EventTime;
    use std::borrow::Cow;

    #[test]
    fn a_quantile_is_at_most_a_bar_above_the_exact_one() {
        let mut minutes = Minutes::default();
        let counts: Vec<u32> = (1..=5_000).map(|n: u32| n * n % 7_919 + 1).collect();
        for count in &counts {
            minutes.add(*count);
        }
        let mut sorted = counts;
        sorted.sort_unstable();
        assert_eq!(minutes.used(), 5_000);
        for (share, rank) in [(0.5, 2_500), (0.99, 4_950), (0.999, 4_995), (1.0, 5_000)] {
            let (exact, found) = (f64::from(sorted[rank - 1]), minutes.quantile(share));
            assert!((exact..exact * 1.0906).contains(&found), "{share}: {exact} {found}");
        }
        assert!(minutes.bars.len() < 105, "{}", minutes.bars.len());
    }

    #[test]
    fn minutes_are_those_of_the_clock_in_any_order_where_it_is_asked_for() {
        let read = |sorts: bool, seconds: &[i64]| {
            let mut history = History::new(sorts);
            for second in seconds {
                let time = EventTime::from_s(1_736_121_600 + second);
                let mut event = AuthEvent::new(time, Cow::Borrowed("k"));
                event.verified = true;
                history.add(&event);
                event.verified = false;
                history.add(&event);
            }
            history.finish().0.remove(0).minutes
        };
        // 3 in the first minute, 1 in the third.
        let ordered = read(false, &[0, 1, 59, 120]);
        assert_eq!((ordered.used(), whole(ordered.quantile(1.0).round())), (2, 3));
        assert_eq!(read(true, &[120, 59, 0, 1]), ordered);
    }
}
