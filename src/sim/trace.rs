//! Rate traces: how many requests a real client made in each window of time, and how evenly.
//!
//! Three layouts are read, distinguished by their content: a `.tar.gz` of CSV files or one CSV file
//! (optionally `.gz`) of windows `start_s, rate_per_s, cv, family, shape, scale`, a client a file
//! (ServeGen); and one CSV file of minute counts `func, minute_of_day, invocations`.

use super::activity::Activity;
use super::random::{Random, ms, whole};
use crate::model::time::EventTime;
use flate2::read::MultiGzDecoder;
use statrs::function::gamma::gamma;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// The most bytes of a trace, unpacked. Chosen: ten times the largest that was seen.
const BYTES_MAX: u64 = 1 << 30;
/// The least shape of a gap distribution. Chosen: below it nearly all gaps are 0, and a fit to
/// ten minutes of requests can't tell one such shape from another.
const SHAPE_MIN: f64 = 0.05;

/// How gaps between requests are distributed; their mean comes from the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gaps {
    /// As by chance.
    Exponential,
    /// Gamma of that shape.
    Gamma(f64),
    /// Weibull of that shape.
    Weibull(f64),
}

impl Gaps {
    /// The Gamma distribution with that coefficient of variation.
    pub fn of_cv(cv: f64) -> Self {
        if cv > 0.0 {
            Self::Gamma((cv * cv).recip().clamp(SHAPE_MIN, 1000.0))
        } else {
            Self::Exponential
        }
    }

    /// One gap, up to a factor.
    pub fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Exponential => random.exponential(),
            Self::Gamma(shape) => random.gamma(shape),
            Self::Weibull(shape) => random.weibull(shape),
        }
    }

    /// Its coefficient of variation.
    pub fn cv(self) -> f64 {
        match self {
            Self::Exponential => 1.0,
            Self::Gamma(shape) => shape.sqrt().recip(),
            Self::Weibull(shape) => {
                let mean = gamma(1.0 + 1.0 / shape);
                (gamma(1.0 + 2.0 / shape) / (mean * mean) - 1.0).max(0.0).sqrt()
            }
        }
    }
}

/// One window of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Requests in it; a fraction is carried over into the next window.
    pub count: f64,
    /// How they are spread over it.
    pub gaps: Gaps,
}

/// One client's trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Its name.
    pub name: String,
    /// The number in its name, by which it falls in the tuning or in the judging half.
    pub number: u32,
    /// How long each window is. Unit: milliseconds.
    pub window_ms: u32,
    /// The windows, one after the other.
    pub windows: Vec<Stretch>,
}

impl Trace {
    /// A trace of those rates (requests a second), one a window.
    pub fn of_rates(window_ms: u32, gaps: Gaps, rates: impl IntoIterator<Item = f64>) -> Self {
        let seconds = f64::from(window_ms) / 1000.0;
        let stretch = |rate: f64| Stretch { count: rate.max(0.0) * seconds, gaps };
        let windows = rates.into_iter().map(stretch).collect();
        Self { name: String::new(), number: 0, window_ms, windows }
    }

    /// All requests of it.
    pub fn requests(&self) -> f64 {
        self.windows.iter().map(|window| window.count).sum()
    }

    /// Whether it is of a client that is used in few windows of ten minutes.
    pub fn is_sparse(&self) -> bool {
        let (mut activity, mut due) = (None::<Activity>, 0.0);
        for (number, window) in (0_i64..).zip(&self.windows) {
            due += window.count;
            if due >= 1.0 {
                due = due.fract();
                let time = EventTime::from_ms(number * i64::from(self.window_ms));
                activity.get_or_insert(Activity::begin(time)).note(time);
            }
        }
        activity.is_some_and(|activity| activity.is_sparse())
    }

    /// How long it is. Unit: milliseconds.
    pub fn length_ms(&self) -> i64 {
        i64::from(self.window_ms) * i64::try_from(self.windows.len()).unwrap_or(0)
    }

    /// How many windows a time takes, at least one.
    pub fn windows_in(&self, ms: i64) -> usize {
        usize::try_from(ms / i64::from(self.window_ms.max(1))).unwrap_or(0).max(1)
    }

    /// The mean rate over the windows `from` (included) to `to` (left out).
    /// Unit: requests per minute.
    pub fn rate_per_min(&self, from: usize, to: usize) -> f64 {
        let to = to.min(self.windows.len());
        let windows = self.windows.get(from.min(to)..to).unwrap_or_default();
        let minutes = f64::from(self.window_ms) / 60_000.0 * windows.len().max(1) as f64;
        windows.iter().map(|window| window.count).sum::<f64>() / minutes
    }

    /// Cuts it off after that many days.
    pub fn cut(&mut self, days: f64) {
        self.windows.truncate(self.windows_in(ms(days * 86_400_000.0)));
    }
}

/// Reads every trace of a file, in order of their numbers.
///
/// # Errors
/// When it can't be read, or holds no trace.
pub fn read(path: &Path) -> io::Result<Vec<Trace>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let file = File::open(path)?;
    let endings: Vec<&str> = name.rsplit('.').take(2).collect();
    let raw: Box<dyn Read> = if matches!(endings.first(), Some(&"gz" | &"tgz")) {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut raw = raw.take(BYTES_MAX);
    let mut traces = Vec::new();
    if endings.iter().any(|ending| matches!(*ending, "tar" | "tgz")) {
        let mut archive = tar::Archive::new(raw);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let inner = entry.path()?.to_string_lossy().into_owned();
            let is_csv = Path::new(&inner).extension().is_some_and(|ending| ending == "csv");
            if entry.header().entry_type().is_file() && is_csv {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                traces.extend(parse(&inner, &text)?);
            }
        }
    } else {
        let mut text = String::new();
        raw.read_to_string(&mut text)?;
        traces = parse(&name, &text)?;
    }
    if traces.is_empty() {
        return Err(wrong("holds no rate trace", 0));
    }
    traces.sort_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
    Ok(traces)
}

fn wrong(what: &str, line: usize) -> io::Error {
    let place = if line > 0 { format!("line {line}: ") } else { String::new() };
    io::Error::new(io::ErrorKind::InvalidData, format!("{place}{what}"))
}

/// The traces that a text holds.
///
/// # Errors
/// At the first line that makes no sense.
pub fn parse(name: &str, text: &str) -> io::Result<Vec<Trace>> {
    if text.starts_with("func,minute") {
        minute_counts(text)
    } else {
        Ok(vec![windows(name, text)?])
    }
}

fn windows(name: &str, text: &str) -> io::Result<Trace> {
    let mut starts: Vec<f64> = Vec::new();
    let mut rows: Vec<(f64, Gaps)> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let number = |at: usize| {
            let value = fields.get(at).and_then(|field| field.parse::<f64>().ok());
            value.filter(|value| value.is_finite() && *value >= 0.0)
        };
        let (Some(start), Some(rate)) = (number(0), number(1)) else {
            return Err(wrong(
                "needs `start_s, rate_per_s[, cv, family, shape, scale]`",
                index + 1,
            ));
        };
        let shape = number(4).filter(|shape| *shape > 0.0);
        let gaps = match (fields.get(3).copied().unwrap_or(""), shape) {
            ("Gamma", Some(shape)) => Gaps::Gamma(shape.max(SHAPE_MIN)),
            ("Weibull", Some(shape)) => Gaps::Weibull(shape.max(SHAPE_MIN)),
            _ => Gaps::of_cv(number(2).unwrap_or(1.0)),
        };
        starts.push(start);
        rows.push((rate, gaps));
    }
    let steps = starts.iter().zip(starts.iter().skip(1)).map(|(start, next)| next - start);
    let step = steps.fold(f64::INFINITY, f64::min);
    let seconds = if step.is_finite() && step > 0.0 { step } else { 600.0 };
    let stretch = |(rate, gaps)| Stretch { count: rate * seconds, gaps };
    Ok(Trace {
        name: name.to_owned(),
        number: number_in(name),
        window_ms: whole(seconds * 1000.0),
        windows: rows.into_iter().map(stretch).collect(),
    })
}

/// The last number in a file's name.
fn number_in(name: &str) -> u32 {
    let digits = name.rsplit('/').next().unwrap_or(name).split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).next_back().unwrap_or(0)
}

/// Minute counts say nothing of the gaps within a minute; they get a coefficient of variation as
/// LLM clients have, drawn by function: lognormal with a median of 1.4 and a 95th percentile of
/// 9.5, cut off at 4, as a minute's few requests show no more.
fn minute_counts(text: &str) -> io::Result<Vec<Trace>> {
    let mut functions: BTreeMap<u32, Vec<(usize, f64)>> = BTreeMap::new();
    let mut minutes = 1440;
    for (index, line) in text.lines().enumerate().skip(1) {
        let mut fields = line.split(',').map(|field| field.trim().parse::<u32>().ok());
        let (Some(Some(function)), Some(Some(minute)), Some(Some(count))) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(wrong("needs `func,minute_of_day,invocations`", index + 1));
        };
        minutes = minutes.max(minute as usize + 1);
        functions.entry(function).or_default().push((minute as usize, f64::from(count)));
    }
    let trace = |(function, counts): (u32, Vec<(usize, f64)>)| {
        let cv = Random::of(u64::from(function), &[1440]).lognormal(1.4, 1.16).min(4.0);
        let gaps = Gaps::of_cv(cv);
        let mut windows = vec![Stretch { count: 0.0, gaps }; minutes];
        for (minute, count) in counts {
            if let Some(window) = windows.get_mut(minute) {
                window.count += count;
            }
        }
        Trace { name: format!("function-{function}"), number: function, window_ms: 60_000, windows }
    };
    Ok(functions.into_iter().map(trace).collect())
}

/// Traces where there are none of real clients: rates as 421 LLM clients have them (lognormal with
/// a median of 67 requests a minute and a 95th percentile of 3,139, cut off at 6,000 or where
/// there would be more than half of `requests_max`), a daily rhythm of seeded strength, and noise
/// from window to window.
pub fn invented(clients: u32, days: f64, requests_max: f64, seed: u64) -> Vec<Trace> {
    let most = 6000.0_f64.min(requests_max / (days * 2880.0));
    let client = |number: u32| {
        let mut random = Random::of(seed, &[u64::from(number), 77]);
        let rate = random.lognormal(67.0, 2.34).min(most) / 60.0;
        let (depth, phase) = (random.unit(), random.unit());
        let cv = random.lognormal(1.4, 1.16).min(9.5);
        let windows = whole(days * 144.0).max(1);
        let rates = (0..windows).map(|window| {
            let day = (f64::from(window) / 144.0 + phase) * std::f64::consts::TAU;
            rate * (1.0 + depth * day.sin()) * random.lognormal(1.0, 0.2)
        });
        let mut trace = Trace::of_rates(600_000, Gaps::of_cv(cv), rates);
        trace.name = format!("invented-{number}");
        trace.number = number;
        trace
    };
    (0..clients).map(client).collect()
}

/// The clients that take part.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Their traces.
    pub traces: Vec<Arc<Trace>>,
    /// How many were left out as too large.
    pub left_out: u64,
    /// How long a client is watched before it is attacked. Unit: milliseconds.
    pub warm_up_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::{Gaps, invented, parse, whole};

    #[test]
    fn windows_of_rates_become_counts_with_their_gap_distribution() {
        let text = "0,0,0,,0,0\n600,0.5,2,Gamma,0.25,8\n1200,1,1.4,Weibull,0.7,0.8\n";
        let traces = parse("m/chunk-12-trace.csv", text).expect("a trace");
        let trace = &traces[0];
        assert_eq!((trace.number, trace.window_ms), (12, 600_000));
        let counts: Vec<u32> = trace.windows.iter().map(|w| whole(w.count)).collect();
        assert_eq!(counts, [0, 300, 600]);
        assert_eq!(trace.windows[1].gaps, Gaps::Gamma(0.25));
        assert_eq!(trace.windows[2].gaps, Gaps::Weibull(0.7));
        assert!((trace.rate_per_min(1, 2) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn minute_counts_become_a_trace_a_function() {
        let text = "func,minute_of_day,invocations\n3,0,1\n3,1439,7\n5,2,2\n";
        let traces = parse("minutes.csv", text).expect("traces");
        assert_eq!(traces.len(), 2);
        assert_eq!(traces[0].windows.len(), 1440);
        assert!((traces[0].requests() - 8.0).abs() < 1e-9);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_told_by_its_number() {
        let error = parse("x.csv", "0,1\nrate,2\n").expect_err("wrong");
        assert!(error.to_string().starts_with("line 2: "), "{error}");
    }

    #[test]
    fn invented_traces_depend_on_the_seed() {
        assert_eq!(invented(3, 1.0, 1e6, 5), invented(3, 1.0, 1e6, 5));
        assert_ne!(invented(3, 1.0, 1e6, 5), invented(3, 1.0, 1e6, 6));
    }
}
