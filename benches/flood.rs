//! A flood of made-up credentials: what it displaces, what it costs, and what memory it takes.
//!
//! `cargo bench --bench flood` has 1,000,000 credentials used in three hours, then in one more hour
//! 100,000,000 made-up ones beside them, a tenth of which come twice and so are taken in; within
//! 1 GB; each made-up one names a made-up tenant. It prints how many of the real ones are still known, the throughput beside that without a
//! flood, and the memory of the process. `-- --test` runs a hundredth of it.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tripline::data_plane::batch::{Batch, HashSeed};
use tripline::data_plane::counters::Counters;
use tripline::data_plane::partition::Params;
use tripline::data_plane::partition::{Clock, Partition};
use tripline::data_plane::shard_driver::ShardDriver;
use tripline::model::credential::Kind;
use tripline::model::event::AuthEvent;
use tripline::model::time::EventTime;

const SEED: HashSeed = HashSeed(0x5eed, 0x5eed);
const START_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;
/// The memory that the whole may take. Unit: bytes.
const BUDGET: u64 = 1_000_000_000;
/// What of it is for other things than credentials. Unit: bytes.
const BESIDE: u64 = 60_000_000;
/// Events in a batch.
const BATCH: usize = 512;

/// A memory figure of this process: `VmRSS` now, `VmHWM` at most. Unit: bytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// A partition, and how long it worked.
struct World {
    shard: ShardDriver,
    counters: Counters,
    batch: Batch,
    offset: i64,
    worked: Duration,
    events: u64,
}

impl World {
    fn push(&mut self, (id, tenant): (&str, &str), ms: i64) {
        let mut event = AuthEvent::new(EventTime::from_ms(ms), Cow::Borrowed(id));
        event.tenant = Some(Cow::Borrowed(tenant));
        event.ip = Some(IpAddr::from([10, 1, 2, 7]));
        event.user_agent = Some(Cow::Borrowed("openai-python/1.54"));
        event.endpoint = Some(Cow::Borrowed("/v1/models"));
        self.batch.push(&event, self.offset, SEED);
        self.offset += 1;
        if self.batch.len() == BATCH {
            self.apply(ms);
        }
    }

    fn apply(&mut self, ms: i64) {
        let begun = Instant::now();
        let output = self.shard.step(&self.batch, Clock::Source(EventTime::from_ms(ms)));
        self.worked += begun.elapsed();
        self.counters.add(&output.counters);
        self.events += self.batch.len() as u64;
        self.batch.clear();
    }

    /// Events in a second since the last call.
    fn throughput(&mut self) -> f64 {
        let rate = self.events as f64 / self.worked.as_secs_f64();
        (self.events, self.worked) = (0, Duration::ZERO);
        rate
    }
}

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let scale: u64 = if small { 100 } else { 1 };
    let (real, made_up) = (1_000_000 / scale, 100_000_000 / scale);
    let memory_bytes = usize::try_from((BUDGET - BESIDE) / scale).unwrap_or(usize::MAX);
    let params = Params::default().with_memory(memory_bytes);
    let before = memory("VmRSS:");
    let mut world = World {
        shard: ShardDriver::empty(Arc::new(params), SEED),
        counters: Counters::default(),
        batch: Batch::default(),
        offset: 0,
        worked: Duration::ZERO,
        events: 0,
    };
    let (mut id, mut tenant) = (String::new(), String::new());
    // Real ones are of a thousand tenants; each made-up one makes up a tenant, too.
    let mut push = |world: &mut World, kind: &str, number: u64, ms: i64| {
        id.clear();
        tenant.clear();
        let of = if kind == "key" { number % 1000 } else { number };
        // Writing to a text can't fail.
        let _ok = write!(id, "{kind}_{number:012}");
        let _ok = write!(tenant, "tenant_of_{kind}_{of}");
        world.push((&id, &tenant), ms);
    };
    // The real ones: once in each of three hours, and again and again in a fourth.
    for hour in 0..3_i64 {
        for number in 0..real {
            let within =
                i64::try_from(number).unwrap_or(0) * HOUR_MS / i64::try_from(real).unwrap_or(1);
            push(&mut world, "key", number, START_MS + hour * HOUR_MS + within);
        }
    }
    world.throughput();
    let uses = real * 3;
    let step = |turn: u64, of: u64| {
        i64::try_from(turn * 1000 / (of / 3600).max(1)).unwrap_or(0).min(HOUR_MS)
    };
    for turn in 0..uses {
        let number = turn * 7919 % real;
        push(&mut world, "key", number, START_MS + 3 * HOUR_MS + step(turn, uses));
    }
    let normal = world.throughput();
    world.counters = Counters::default();
    for turn in 0..made_up {
        let ms = START_MS + 4 * HOUR_MS + step(turn, made_up);
        push(&mut world, "made", turn, ms);
        if turn % 10 == 0 {
            push(&mut world, "made", turn, ms);
            push(&mut world, "key", turn / 10 * 7919 % real, ms);
        }
    }
    let flooded = world.throughput();
    let counters = world.counters;
    let known = |number: u64| {
        let view = world.shard.partition().look_up(Kind::ApiKey, &format!("key_{number:012}"));
        view.is_some_and(|view| view.first_seen.ms() < START_MS + HOUR_MS)
    };
    let kept = (0..real).filter(|number| known(*number)).count() as f64 / real as f64;
    println!(
        "a flood of {made_up} made-up credentials beside {real}: {:.2} % of these are known as before",
        100.0 * kept
    );
    println!(
        "throughput {:.2} M events/s, {:.2} of the {:.2} M without a flood; {:?}",
        flooded / 1e6,
        flooded / normal,
        normal / 1e6,
        counters.evictions
    );
    print_memory(world.shard.partition(), before);
}

/// Prints what the partition says that it takes, and what the process does; it had `before` bytes.
fn print_memory(partition: &Partition, before: u64) {
    println!(
        "memory: credentials and tenants {:.0} MB, process {:.0} MB now, {:.0} MB at most",
        partition.memory_bytes() as f64 / 1e6,
        memory("VmRSS:") as f64 / 1e6,
        memory("VmHWM:") as f64 / 1e6
    );
    let resident = memory("VmRSS:").saturating_sub(before);
    println!(
        "resident memory grew by {:.2} of what the partition says that it takes",
        resident as f64 / partition.memory_bytes() as f64
    );
}
