//! A thread of the data plane: owns its slots, and nothing else does.

use super::http_shards::{Slot, restored};
use super::start_error::{StartError, spawn};
use crate::adapters::channels::{
    ControlMessage, ControlPlane, DataMessage, DataPlane, InUse, SLOTS,
};
use crate::adapters::checkpoint::scheduler::{Saving, oldest_checkpoint};
use crate::adapters::checkpoint::store::Snapshots;
use crate::adapters::clock;
use crate::adapters::data_plane::reporter::{Reporter, Stage};
use crate::adapters::event_log::appender::Appender;
use crate::adapters::event_log::log::{Ends, EventLog, ReadLog, Replayed};
use crate::adapters::sources::ingest::Source;
use crate::adapters::sources::kafka::consumer;
use crate::adapters::sources::kafka::manager;
use crate::adapters::sources::metrics::SourceMetrics;
use crate::config::settings::Settings;
use crate::data_plane::batch::Batch;
use crate::data_plane::lifetimes::audit::LifetimeAudit;
use crate::data_plane::partition::Clock;
use crate::data_plane::partition_view::View;
use crate::data_plane::shard_driver::{Backlog, ShardUsage};
use crate::model::signal::ShardId;
use crate::model::time::EventTime;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// How far apart the moments are by which time goes on as the event log is read.
/// Unit: milliseconds. As often as it does otherwise.
const STEP_MS: i64 = 200;

/// The data plane as it runs, and the ways to it.
pub(super) struct DataHandle {
    /// The ways to its threads.
    pub(super) data: DataPlane,
    /// The way in for what comes by HTTP.
    pub(super) source: Arc<Source>,
    /// Its threads.
    pub(super) threads: Vec<JoinHandle<()>>,
    /// The task that writes checkpoints of slots.
    pub(super) writes: tokio::task::JoinHandle<()>,
    /// The way to the event log, and its thread.
    pub(super) event_log: (Appender, JoinHandle<()>),
}

/// Starts the threads that own slots, each as its checkpoint and the event log have it, and the
/// Kafka source if it is configured.
pub(super) async fn start(
    settings: &Settings,
    (snapshots, event_log): (Snapshots, EventLog),
    kafka: consumer::Shared,
) -> Result<DataHandle, StartError> {
    let params = super::memory::of_slots(settings);
    let mut slots = restored(&snapshots, &params, kafka.seed).await?;
    for slot in &mut slots {
        slot.driver.partition_mut().set_markers(kafka.markers.read().clone());
    }
    recall(&mut slots, &kafka.control).await;
    let (writer, writes) = snapshots.start();
    let kept = slots.iter().map(|slot| Arc::clone(&slot.kept)).collect();
    let mut from: Ends = [0; SLOTS];
    for (from, slot) in from.iter_mut().zip(&slots) {
        *from = slot.driver.partition().next_offset();
    }
    let of_slots = settings.threads.max(1);
    let workers = if settings.sources.kafka.is_some() { of_slots } else { 0 };
    let (data, mut ends) = DataPlane::new(of_slots, workers);
    let kafka_ends = ends.split_off(of_slots);
    let mut threads = Vec::new();
    for (number, end) in ends.into_iter().enumerate() {
        let stage = Stage { name: "data_plane", number, thread: number };
        let reporter = Reporter::new(stage, kafka.control.clone(), kafka.threads.clone());
        let (own, others) = slots.into_iter().partition(|one| one.number % of_slots == number);
        slots = others;
        // From here on it is missed if it never shows that it lives.
        kafka.threads.heartbeat_at.set("data_plane", number, Some(clock::now()));
        let owned = (own, Saving::new(writer.clone(), kafka.checkpoint_interval_ms));
        let records = kafka.records.clone();
        threads
            .push(spawn(&format!("data-{number}"), move || run(owned, (reporter, records), end))?);
    }
    let (event_log, replayed) = replay(event_log, data.clone(), from).await;
    let event_log = event_log.start(kept).map_err(StartError::Thread)?;
    if let Some(params) = settings.sources.kafka.clone() {
        threads.push(spawn("kafka", move || manager::run(&params, &kafka, kafka_ends))?);
    }
    let source = Arc::new(Source::new(data.clone(), event_log.0.clone(), replayed));
    Ok(DataHandle { data, source, threads, writes, event_log })
}

/// Reports to the control plane what was open, before anything else is reported.
async fn recall(slots: &mut [Slot], control: &ControlPlane) {
    let now = clock::now();
    // Of all threads together; they tell for themselves soon.
    let mut in_use = InUse::default();
    for Slot { driver, .. } in &*slots {
        in_use.usage += driver.usage();
    }
    control.send(ControlMessage::InUse(in_use)).await;
    let mut signals = Vec::new();
    for slot in slots {
        signals.extend(slot.driver.recall(now).signals);
    }
    control.send(ControlMessage::Signals(signals, now, None)).await;
}

/// Gives the threads what the event log holds beyond their checkpoints, as it arrived.
async fn replay(event_log: EventLog, data: DataPlane, from: Ends) -> (ReadLog, Replayed) {
    let replayed = tokio::task::spawn_blocking(move || {
        let mut ticked: Option<EventTime> = None;
        let (event_log, replayed) = event_log.replay(from, |slot, batch, arrived| {
            if ticked.is_none_or(|at| arrived.ms_since(at) >= STEP_MS) {
                ticked = Some(arrived);
                data.tick_blocking(arrived);
            }
            data.send_blocking(slot, batch, arrived);
        });
        if replayed.events > 0 {
            tracing::info!(
                events = replayed.events,
                "replaying events after the last checkpoints from the event log"
            );
        }
        (event_log, replayed)
    });
    match replayed.await {
        Ok(replayed) => replayed,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// One thread's slots.
struct Owner {
    slots: Vec<Slot>,
    saving: Saving,
    reporter: Reporter,
    records: SourceMetrics,
}

/// Runs a thread that owns `slots`, until the stop message. Blocks.
fn run(
    (slots, saving): (Vec<Slot>, Saving),
    (reporter, records): (Reporter, SourceMetrics),
    mut messages: mpsc::Receiver<DataMessage>,
) {
    let mut owner = Owner { slots, saving, reporter, records };
    loop {
        let message = if owner.saving.is_under_way() {
            match messages.try_recv() {
                Ok(message) => Some(message),
                Err(mpsc::error::TryRecvError::Empty) => {
                    owner.save();
                    continue;
                }
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            }
        } else {
            messages.blocking_recv()
        };
        if !message.is_some_and(|message| owner.take(message)) {
            break;
        }
        owner.save();
    }
    // Messages handed over before the end are applied.
    messages.close();
    while let Some(message) = messages.blocking_recv() {
        owner.take(message);
    }
    owner.reporter.flush_hours();
    let Owner { mut slots, reporter, saving, .. } = owner;
    saving.end(&mut slots, reporter.ticket());
}

impl Owner {
    fn take(&mut self, message: DataMessage) -> bool {
        match message {
            DataMessage::Batch(slot, batch, arrived) => {
                self.apply((slot, &batch), arrived, Clock::Source(arrived));
            }
            DataMessage::Again(slot, batch, arrived) => {
                self.apply((slot, &batch), arrived, Clock::Again { arrived, now: clock::now() });
            }
            DataMessage::LookUp(credential, reply) => {
                let (kind, id) = (credential.kind(), credential.id());
                let found =
                    self.slots.iter().find_map(|one| one.driver.partition().look_up(kind, id));
                // The caller may have gone away.
                let _gone = reply.send(found);
            }
            DataMessage::Busiest(most, reply) => {
                let of = |one: &mut Slot| one.driver.partition_mut().busiest(most);
                let mut views: Vec<View> = self.slots.iter_mut().flat_map(of).collect();
                views.sort_by_key(|view| std::cmp::Reverse(view.last_minute()));
                views.truncate(most);
                let _gone = reply.send(views);
            }
            DataMessage::OpenFindings(reply) => {
                let of = |one: &Slot| one.driver.partition().open_finding_ids().collect::<Vec<_>>();
                let _gone = reply.send(self.slots.iter().flat_map(of).collect());
            }
            DataMessage::Mark(credential, mark, now, reply) => {
                for Slot { number, driver, .. } in &mut self.slots {
                    let output = driver.mark(&credential, mark.clone(), now);
                    self.reporter.report(ShardId::Slot(*number), output, now);
                }
                let _gone = reply.send(());
            }
            DataMessage::Lifetimes(reply) => {
                let parts = self.slots.iter().map(|one| one.driver.partition().lifetimes());
                let _gone = reply.send(LifetimeAudit::merged(parts));
            }
            DataMessage::SeenFrom(address, reply) => {
                let of = |one: &Slot| one.driver.partition().seen_from(address);
                let _gone = reply.send(self.slots.iter().flat_map(of).collect());
            }
            DataMessage::Params(params) => {
                for one in &mut self.slots {
                    one.driver.partition_mut().set_params(Arc::clone(&params));
                }
            }
            DataMessage::Tick(now) => self.tick(now),
            DataMessage::Stop => return false,
        }
        true
    }

    fn apply(&mut self, (slot, batch): (usize, &Batch), arrived: EventTime, clock: Clock) {
        let Some(one) = self.slots.iter_mut().find(|one| one.number == slot) else { return };
        #[cfg(feature = "failpoints")]
        fail::fail_point!("data_plane.batch");
        let output = one.driver.step(batch, clock);
        if let Some(newest) = batch.newest() {
            let lag_s = clock::now().ms_since(newest) as f64 / 1000.0;
            self.records.lag.observe(lag_s.max(0.0));
        }
        self.reporter.report(ShardId::Slot(slot), output, arrived);
    }

    fn tick(&mut self, now: EventTime) {
        let mut usage = ShardUsage::default();
        for Slot { number, driver, .. } in &mut self.slots {
            // Messages sent before this tick are applied: they come in order.
            let output = driver.tick(now, Backlog::Empty);
            usage += driver.usage();
            self.reporter.report(ShardId::Slot(*number), output, now);
        }
        self.saving.tick(now, &mut self.slots, self.reporter.ticket());
        self.reporter.beat(usage, oldest_checkpoint(&self.slots));
    }

    /// Writes down a part of what it owns, if it is time.
    fn save(&mut self) {
        self.saving.go_on(&mut self.slots, self.reporter.ticket());
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Arc, Backlog, Batch, Clock, ControlMessage, DataMessage, EventTime, Reporter, SLOTS,
        Saving, ShardId, Slot, Stage, run,
    };
    use crate::adapters::channels::ControlPlane;
    use crate::adapters::checkpoint::store::{KeptOffset, Snapshots};
    use crate::daemon::metrics::Metrics;
    use crate::data_plane::batch::HashSeed;
    use crate::data_plane::partition::Params;
    use crate::data_plane::shard_driver::ShardDriver;
    use crate::detect::limit::Limit;
    use crate::model::event::{AuthEvent, Outcome};
    use crate::model::signal::{HoursOfUse, MinuteTotals, Signal};
    use proptest::prelude::*;
    use tokio::sync::mpsc;

    const SEED: HashSeed = HashSeed(1, 2);

    /// The next message to a thread.
    #[derive(Clone, Debug)]
    enum Step {
        /// So many uses of that key, after that many milliseconds.
        Uses(u8, u16, u16),
        /// Time passes by that many milliseconds.
        Tick(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..6, 1_u16..400, 0_u16..20_000).prop_map(|(key, n, ms)| Step::Uses(key, n, ms)),
            (200_u32..400_000).prop_map(Step::Tick),
        ]
    }

    /// The messages to the control plane, in order, but for usage.
    #[derive(Debug, Default, PartialEq)]
    struct Reports {
        signals: Vec<(Vec<Signal>, EventTime)>,
        minutes: Vec<(ShardId, (u32, MinuteTotals))>,
        hours: HoursOfUse,
    }

    impl Reports {
        fn add_hours(&mut self, more: HoursOfUse) {
            for (user, hours) in more {
                *self.hours.entry(user).or_default() += hours;
            }
        }

        fn add(&mut self, message: ControlMessage) {
            if let ControlMessage::Signals(signals, at, _) = message {
                self.signals.push((signals, at));
            } else if let ControlMessage::MinuteEnded(shard, minute) = message {
                self.minutes.push((shard, minute));
            } else if let ControlMessage::ActiveHours(hours) = message {
                self.add_hours(hours);
            }
        }
    }

    fn params() -> Arc<Params> {
        let mut params = Params::default().with_memory(16 << 20);
        params.profile.limits.by_kind = [Limit::written(600); 5];
        Arc::new(params)
    }

    /// The messages of a thread with two slots, and what drivers in this thread report of them.
    fn expected(steps: &[Step]) -> (Vec<DataMessage>, Reports) {
        let mut drivers = [(); 2].map(|()| ShardDriver::empty(params(), SEED));
        let (mut now_ms, mut offsets) = (1_700_000_000_000, [0_i64; 2]);
        let (mut messages, mut reports) = (Vec::new(), Reports::default());
        for step in steps {
            let outputs = match step {
                Step::Uses(key, count, ms) => {
                    now_ms += i64::from(*ms);
                    let (slot, now) = (usize::from(*key) % 2, EventTime::from_ms(now_ms));
                    let mut batch = Batch::default();
                    for _ in 0..*count {
                        let mut event = AuthEvent::new(now, format!("key_{key}").into());
                        event.tenant = Some(format!("tenant_{}", key % 3).into());
                        event.set_outcome(Outcome::Accepted);
                        batch.push(&event, offsets[slot], SEED);
                        offsets[slot] += 1;
                    }
                    let output = drivers[slot].step(&batch, Clock::Source(now));
                    messages.push(DataMessage::Batch(slot, batch, now));
                    vec![(slot, output)]
                }
                Step::Tick(ms) => {
                    now_ms += i64::from(*ms);
                    let now = EventTime::from_ms(now_ms);
                    messages.push(DataMessage::Tick(now));
                    let tick = |slot: usize| (slot, drivers[slot].tick(now, Backlog::Empty));
                    (0..2).map(tick).collect()
                }
            };
            for (slot, output) in outputs {
                output.hours.into_iter().for_each(|user| reports.add_hours([(user, 1)].into()));
                if !output.signals.is_empty() {
                    reports.signals.push((output.signals, EventTime::from_ms(now_ms)));
                }
                let shard = ShardId::Slot(slot);
                reports.minutes.extend(output.ended_minute.map(|minute| (shard, minute)));
            }
        }
        messages.push(DataMessage::Stop);
        (messages, reports)
    }

    /// A thread's reports of those messages.
    fn reported(messages: Vec<DataMessage>) -> Reports {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let _entered = runtime.enter();
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Metrics::register(&[], &[], (&[], &[])).expect("metrics");
        let snapshots = Snapshots::open(folder.path(), &metrics.checkpoint).expect("a folder");
        let (writer, _writes) = snapshots.start();
        let slots = (0..2).map(|number| Slot {
            number,
            driver: ShardDriver::empty(params(), SEED),
            place: format!("http/slot-{number:02}"),
            kept: Arc::new(KeptOffset::since(EventTime::MIN)),
        });
        let (control, mut told) = ControlPlane::new();
        let (sender, receiver) = mpsc::channel(messages.len().max(SLOTS));
        for message in messages {
            sender.blocking_send(message).expect("there is room");
        }
        let owned = (slots.collect(), Saving::new(writer, i64::MAX / 4));
        let stage = Stage { name: "data_plane", number: 0, thread: 0 };
        let reporter = Reporter::new(stage, control, metrics.thread());
        let reporting = (reporter, metrics.sources);
        let thread = std::thread::spawn(move || run(owned, reporting, receiver));
        let mut reports = Reports::default();
        while let Some(message) = told.blocking_recv() {
            reports.add(message);
        }
        thread.join().expect("it ends");
        reports
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// D-1: a thread of the daemon is a host of the driver, and adds nothing of its own.
        #[test]
        fn a_thread_reports_what_drivers_of_its_shards_report(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let (messages, expected) = expected(&steps);
            prop_assert_eq!(reported(messages), expected);
        }
    }
}
