//! `tripline rekey`: a Kafka topic written again, keyed by credential.

use super::exit::Exit;
use super::output::{print_err, print_error, print_problem};
use crate::adapters::sources::kafka::rekey::{self, Rekey, Totals};
use crate::adapters::storage::key_material;
use crate::config::settings::Settings;
use crate::formats::secrets::secret::Fingerprinter;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

/// The arguments of `rekey`.
#[derive(Debug, Args)]
pub struct RekeyArgs {
    /// The configuration: Kafka, the format of records, the fingerprint key.
    #[arg(long)]
    pub config: PathBuf,
    /// The source topic.
    #[arg(long)]
    pub from: String,
    /// The destination topic: events in the format `native`, without secrets.
    #[arg(long)]
    pub to: String,
    /// The consumer group; its instances share the partitions.
    #[arg(long, default_value = "tripline-rekey")]
    pub group: String,
    /// The name of this instance (static membership): after a crash it gets its partitions back at
    /// once.
    #[arg(long)]
    pub instance: Option<String>,
    /// Stop at the end of the topic.
    #[arg(long)]
    pub until_end: bool,
}

/// How often progress is said where there is no terminal. Unit: seconds.
const SAY_EVERY_S: f64 = 10.0;

/// Writes the topic again until SIGTERM, SIGINT, or its end where that is wanted.
pub fn run(args: RekeyArgs, settings: Settings) -> Exit {
    let rekey = match prepared(args, settings) {
        Ok(rekey) => rekey,
        Err(problem) => {
            print_problem(&problem);
            return Exit::Configuration;
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    runtime.spawn(stop_at_signal(Arc::clone(&stop)));
    let mut shown = ProgressLine::new();
    let written = rekey::run(&rekey, &stop, &mut |totals| shown.tell(totals));
    shown.bar.finish_and_clear();
    match written {
        Ok(totals) => {
            print_err(&shown.line(&totals));
            Exit::Good
        }
        Err(error) => {
            print_error(&error);
            Exit::Unavailable
        }
    }
}

async fn stop_at_signal(stop: Arc<AtomicBool>) {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    stop.store(true, Ordering::Relaxed);
}

fn prepared(args: RekeyArgs, settings: Settings) -> Result<Rekey, String> {
    let RekeyArgs { from, to, group, instance, until_end, config: _ } = args;
    let kafka = settings.sources.kafka.ok_or(
        "the configuration has no source of type kafka: write there where it is (brokers), and how \
         records are read (format)",
    )?;
    if from == to {
        return Err("--from and --to name the same topic: what is written would be read".to_owned());
    }
    if kafka.rejects_topic.as_ref().is_some_and(|letters| [&from, &to].contains(&letters)) {
        return Err("rejects_topic is --from or --to: rejected records need a topic of their own"
            .to_owned());
    }
    let own = settings.data_dir.join("fingerprint.key");
    let path = settings.fingerprint_key_file.unwrap_or(own);
    if !path.exists() {
        // One that is made here would name secrets as no other instance does.
        return Err(format!(
            "there is no fingerprint key at {}: set fingerprint_key_file to that of the daemons",
            path.display()
        ));
    }
    let key = key_material::fingerprint_key(&path)
        .map_err(|error| format!("can't read {}: {error}", path.display()))?;
    let instance = instance.filter(|name| !name.is_empty());
    Ok(Rekey {
        kafka: crate::adapters::sources::kafka::consumer::Params { instance, ..kafka },
        from,
        to,
        group,
        until_end,
        fingerprints: Fingerprinter::new(key).with_random_ids(settings.random_ids),
    })
}

/// Progress: a line that changes on a terminal, lines elsewhere.
struct ProgressLine {
    bar: ProgressBar,
    begun: Instant,
    said: Option<Instant>,
    before: (Instant, u64),
    per_s: f64,
}

impl ProgressLine {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        let begun = Instant::now();
        Self { bar, begun, said: None, before: (begun, 0), per_s: 0.0 }
    }

    fn tell(&mut self, totals: &Totals) {
        let (at, read) = self.before;
        let passed_s = at.elapsed().as_secs_f64();
        if passed_s > 0.5 {
            self.per_s = totals.read.saturating_sub(read) as f64 / passed_s;
            self.before = (Instant::now(), totals.read);
        }
        let line = format!(
            "{:.0} records/s, {} behind in {} partitions, {} written",
            self.per_s, totals.lag, totals.partitions, totals.written
        );
        self.bar.set_message(line.clone());
        let is_due = self.said.is_none_or(|said| said.elapsed().as_secs_f64() >= SAY_EVERY_S);
        if is_due && !std::io::stderr().is_terminal() {
            self.said = Some(Instant::now());
            print_err(&line);
        }
    }

    fn line(&self, totals: &Totals) -> String {
        let refused: u64 = totals.refused.values().sum();
        let mut line = format!(
            "{} records read, {} events written, {refused} refused, {} behind, in {:.1} s",
            totals.read,
            totals.written,
            totals.lag,
            self.begun.elapsed().as_secs_f64()
        );
        for (reason, count) in &totals.refused {
            line.push_str(&format!("\n  {count} {reason}"));
        }
        if totals.begun_anew > 0 {
            line.push_str(&format!("\n  restarted {} times", totals.begun_anew));
        }
        line
    }
}
