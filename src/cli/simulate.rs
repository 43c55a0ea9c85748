//! `tripline simulate`: writes a labelled stream of events.

use super::exit::Exit;
use crate::formats::events::native;
use crate::model::event::AuthEvent;
use crate::model::time::EventTime;
use crate::sim::fixture::{AttackPlan, Fixture};
use crate::sim::labels::Label;
use crate::sim::random::{Random, whole};
use crate::sim::runner::{blank, draw_moments, honest};
use crate::sim::scenario::{self, Scenario};
use crate::sim::stream::{Party, TwoParties, minutes};
use crate::sim::trace::Clients;
use crate::sim::trace::{self, Trace};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::{ProgressBar, ProgressStyle};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is written at once. Unit: bytes.
const WRITTEN_BYTES: usize = 1 << 20;

/// Which clients take part; the same for `simulate` and `backtest`.
#[derive(Clone, Debug, Args)]
pub struct Source {
    /// Rate traces of real clients: a `.tar.gz` of CSV files or one CSV file with windows
    /// `start_s, rate_per_s, cv, family, shape, scale` (as ServeGen has them), or a CSV file of
    /// minute counts `func, minute_of_day, invocations`. [default: invented clients]
    #[arg(long)]
    pub traces: Option<PathBuf>,
    /// The most clients; those with the lowest numbers take part. [default: all, or 50 invented]
    #[arg(long)]
    pub clients: Option<u32>,
    /// The most days. [default: as long as the traces, or 4 of invented clients]
    #[arg(long)]
    pub days: Option<f64>,
    /// Leave out clients with more requests than this. [default: 30 million; 1 million where a
    /// stream is written]
    #[arg(long)]
    pub requests_max: Option<f64>,
    /// Hours of normal use before a client is attacked. [default: 192 where traces have
    /// more than 10 days, so that clients are mature; 48 where they have 3; 12 else]
    #[arg(long)]
    pub warm_up_h: Option<f64>,
    /// The seed of all draws.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Source {
    /// Reads the traces, those that `keeps` wants, and cuts them to what was asked for.
    /// `requests_max` holds where none was asked for.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn clients(
        &self,
        requests_max: f64,
        keeps: impl Fn(&Trace) -> bool,
    ) -> io::Result<Clients> {
        let requests_max = self.requests_max.unwrap_or(requests_max);
        let mut traces = if let Some(path) = &self.traces {
            trace::read(path)?
        } else {
            let clients = self.clients.unwrap_or(50);
            trace::invented(clients, self.days.unwrap_or(4.0), requests_max, self.seed)
        };
        traces.retain(keeps);
        if let Some(days) = self.days {
            for trace in &mut traces {
                trace.cut(days);
            }
        }
        let before = traces.len();
        traces.retain(|trace| trace.requests() <= requests_max);
        let left_out = (before - traces.len()) as u64;
        traces.truncate(self.clients.map_or(usize::MAX, |clients| clients as usize));
        let longest = traces.iter().map(Trace::length_ms).max().unwrap_or(0);
        let default_h = if longest > minutes(10.0 * 1440.0) {
            192.0
        } else if longest > minutes(3.0 * 1440.0) {
            48.0
        } else {
            12.0_f64.min(longest as f64 / 7_200_000.0)
        };
        let warm_up_ms = minutes(60.0 * self.warm_up_h.unwrap_or(default_h));
        Ok(Clients { traces: traces.into_iter().map(Arc::new).collect(), left_out, warm_up_ms })
    }

    /// The names of the clients in reports.
    pub fn name(&self) -> String {
        self.traces
            .as_ref()
            .map_or_else(|| "invented clients".to_owned(), |path| path.display().to_string())
    }
}

/// The arguments of `simulate`.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// The clients.
    #[command(flatten)]
    pub source: Source,
    /// Output file for the events, one JSON object a line in order of time; `-` is standard output;
    /// `.gz` and `.zst` are packed.
    #[arg(long)]
    pub out: PathBuf,
    /// Output file for the labels, one JSON object a line.
    #[arg(long)]
    pub labels: Option<PathBuf>,
    /// The share of clients with an attack or a look-alike, one each.
    #[arg(long, default_value_t = 0.5)]
    pub labelled_ratio: f64,
    /// Only these attacks and look-alikes, by name, separated by commas. [default: all that fit]
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
}

/// Runs the command.
pub fn run(args: &SimulateArgs) -> Exit {
    let names: Vec<&str> = library(&[]).iter().map(|scenario| scenario.name).collect();
    if let Some(unknown) = args.only.iter().find(|name| !names.contains(&name.as_str())) {
        let names = names.join(", ");
        super::output::print_problem(&format!("unknown attack `{unknown}`, expected {names}"));
        return Exit::Usage;
    }
    let clients = match args.source.clients(1e6, |_| true) {
        Ok(clients) => clients,
        Err(error) => {
            super::output::print_problem(&format!("can't read {}: {error}", args.source.name()));
            return Exit::Findings;
        }
    };
    match write(args, &clients) {
        Ok((events, labels)) => {
            let clients = clients.traces.len();
            super::output::print_err(&format!(
                "{events} events of {clients} clients, {labels} labels"
            ));
            Exit::Good
        }
        Err(error) => {
            super::output::print_problem(&format!(
                "can't write to {}: {error}",
                args.out.display()
            ));
            Exit::Findings
        }
    }
}

/// The scenarios that fit into a stream: a second delivery doesn't, nor a limit of the operator.
fn library(only: &[String]) -> Vec<Scenario> {
    let fits = |scenario: &Scenario| {
        let told = only.is_empty() || only.iter().any(|name| name == scenario.name);
        told && !["replayed_topic", "first_day", "flood_10k_contract"].contains(&scenario.name)
    };
    scenario::all().map(|(_, scenario)| scenario).filter(fits).collect()
}

/// One client's stream.
struct Client {
    duo: TwoParties,
    event: AuthEvent<'static>,
    due: Option<(EventTime, usize)>,
    trial: Option<Running>,
}

/// A trial that goes on.
struct Running {
    scenario: Scenario,
    whose: Party,
    end: EventTime,
    seen: Option<(EventTime, EventTime)>,
}

impl Client {
    /// When something happens next: a request, or the begin of a trial.
    fn wakes(&mut self) -> Option<EventTime> {
        let next = self.duo.next_time()?;
        Some(self.due.map_or(next, |(start, _)| start.min(next)))
    }

    /// Begins what is due, tries the next one where it does not fit, ends what is over.
    fn turn(&mut self, library: &[Scenario], seed: u64, time: EventTime) {
        if let Some((start, first)) = self.due.filter(|(start, _)| *start <= time) {
            self.due = None;
            let Some(owner) = self.duo.owner.take() else { return };
            let begin = (0..library.len()).find_map(|step| {
                let scenario = *library.get((first + step) % library.len())?;
                let random = Random::of(seed, &[owner.fork(9).bits(), step as u64]);
                let level_per_min = owner.level_per_min();
                let mut scene = Fixture { owner: &owner, start, random, level_per_min };
                let plan = (scenario.plan)(&mut scene)?;
                Some((scenario, plan, scene.start))
            });
            let Some((scenario, AttackPlan { duo, whose, .. }, start)) = begin else {
                self.duo.owner = Some(owner);
                return;
            };
            self.duo = duo;
            let end = start.plus_ms(minutes(scenario.minutes));
            self.trial = Some(Running { scenario, whose, end, seen: None });
        }
        if self.trial.as_ref().is_some_and(|trial| time > trial.end) {
            self.duo.other = None;
        }
    }

    fn take(&mut self) {
        let by = self.duo.take(&mut self.event);
        let time = self.event.time;
        if let Some(trial) = self.trial.as_mut().filter(|trial| by == Some(trial.whose))
            && time <= trial.end
        {
            trial.seen = Some((trial.seen.map_or(time, |(first, _)| first), time));
        }
    }

    fn label(&self) -> Option<Label> {
        let trial = self.trial.as_ref()?;
        let (start, end) = trial.seen?;
        Some(Label {
            credential: self.event.credential.clone().into_owned(),
            kind: self.event.kind,
            label: trial.scenario.name.to_owned(),
            class: trial.scenario.class,
            start,
            end,
        })
    }
}

fn begin(args: &SimulateArgs, clients: &Clients) -> Vec<Client> {
    let seed = args.source.seed;
    let mut number = 0;
    let mut begin = |trace: &Arc<Trace>| {
        let mut random = Random::of(seed, &[u64::from(trace.number), 4]);
        let labelled = random.chance(args.labelled_ratio);
        let within = clients.warm_up_ms..trace.length_ms() - 3_600_000;
        let moment = draw_moments(trace, within, u32::from(labelled), &mut random);
        let due = moment.first().map(|moment| (*moment, number));
        number += usize::from(labelled);
        let duo = TwoParties { owner: Some(honest(trace, seed)), other: None };
        Client { duo, event: blank(trace.number), due, trial: None }
    };
    clients.traces.iter().map(&mut begin).collect()
}

fn write(args: &SimulateArgs, traces: &Clients) -> io::Result<(u64, u64)> {
    let library = library(&args.only);
    let mut clients = begin(args, traces);
    let mut out = create(&args.out)?;
    let requests = traces.traces.iter().map(|trace| trace.requests()).sum();
    let bar = progress(requests, "{bar:40} {human_pos}/{human_len} events {per_sec} {eta}");
    let mut queue = BinaryHeap::new();
    for (index, client) in clients.iter_mut().enumerate() {
        queue.extend(client.wakes().map(|time| Reverse((time, index))));
    }
    let mut events = 0_u64;
    while let Some(Reverse((time, index))) = queue.pop() {
        let Some(client) = clients.get_mut(index) else { continue };
        client.turn(&library, args.source.seed, time);
        // A stream that began may come later than what it replaces.
        if client.duo.next_time() == Some(time) {
            client.take();
            writeln!(out, "{}", native::encode(&client.event))?;
            events += 1;
            if events.is_multiple_of(65_536) {
                bar.set_position(events);
            }
        }
        queue.extend(client.wakes().map(|time| Reverse((time, index))));
    }
    out.flush()?;
    drop(out);
    bar.finish_and_clear();
    let mut labels: Vec<Label> = clients.iter().filter_map(Client::label).collect();
    labels.sort_by_key(|label| label.start);
    if let Some(path) = &args.labels {
        let mut out = create(path)?;
        for label in &labels {
            writeln!(out, "{}", label.line())?;
        }
        out.flush()?;
    }
    Ok((events, labels.len() as u64))
}

fn create(path: &Path) -> io::Result<Box<dyn Write>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = BufWriter::with_capacity(WRITTEN_BYTES, File::create(path)?);
    Ok(match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => Box::new(BufWriter::new(GzEncoder::new(file, Compression::fast()))),
        Some("zst") => Box::new(BufWriter::new(zstd::Encoder::new(file, 3)?.auto_finish())),
        _ => Box::new(file),
    })
}

/// A progress bar; hidden where standard error is no terminal.
pub fn progress(length: f64, style: &str) -> ProgressBar {
    let bar = ProgressBar::new(u64::from(whole(length)));
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
