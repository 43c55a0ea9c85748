//! State update without parsing, and what a credential costs in memory.
//!
//! `cargo bench --bench engine` prints nanoseconds per event at 1,000,000 credentials under
//! Zipf(1.0), the resident growth per credential, and the cost of a checkpoint of all of them.
//! `-- --test` runs it small.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tripline::data_plane::batch::{Batch, HashSeed};
use tripline::data_plane::partition::Clock;
use tripline::data_plane::partition::Params;
use tripline::data_plane::shard_driver::{Backlog, ShardDriver};
use tripline::detect::cold_profile::ColdProfile;
use tripline::detect::profile::Profile;
use tripline::formats::storage::checkpoint;
use tripline::model::event::AuthEvent;
use tripline::model::time::EventTime;

const SEED: HashSeed = HashSeed(0x5eed, 0x5eed);
const START_MS: i64 = 1_700_000_000_000;
/// Events in a batch: what a source hands over at once.
const BATCH: usize = 256;

/// A small generator of pseudo-random numbers. Source: Vigna, "xorshift64*".
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A rank under Zipf(1.0) over `n`, by inverting the continuous law.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank below n")]
    fn zipf(&mut self, n: usize) -> usize {
        ((((n as f64) + 1.0).ln() * self.unit()).exp() as usize - 1).min(n - 1)
    }
}

/// Resident memory of this process. Unit: bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn name(rank: usize) -> String {
    format!("key_{rank:012}")
}

/// An event with all that the detectors look at: each credential has its home network and client,
/// and calls one of three endpoints.
fn event_of(rank: usize, id: &str, ms: i64, turn: u64) -> AuthEvent<'_> {
    let mut event = AuthEvent::new(EventTime::from_ms(ms), Cow::Borrowed(id));
    let [.., high, low] = rank.to_be_bytes();
    event.ip = Some(IpAddr::from([10, high, low, 7]));
    event.country = Some(*b"DE");
    event.user_agent = Some(Cow::Borrowed("openai-python/1.54"));
    let endpoints = ["/v1/chat/completions", "/v1/embeddings", "/v1/models"];
    event.endpoint = endpoints.get((turn % 3) as usize).map(|path| Cow::Borrowed(*path));
    event.tokens = Some(turn % 2000);
    event
}

/// What a credential costs once it is cold: `credentials` come in 20 waves, an hour apart.
fn cold_entries(credentials: usize) {
    let before = resident();
    let mut shard = ShardDriver::empty(Arc::new(Params::default()), SEED);
    let (mut batch, mut offset) = (Batch::default(), 0);
    for wave in 0..22_i64 {
        let now = START_MS + wave * 3_700_000;
        let share = if wave < 20 { credentials / 20 } else { 0 };
        let first = usize::try_from(wave).unwrap_or(0) * (credentials / 20);
        for rank in (first..first + share).chain([credentials]) {
            let id = name(rank);
            batch.push(&event_of(rank, &id, now, 0), offset, SEED);
            offset += 1;
        }
        let _signals = shard.step(&batch, Clock::Source(EventTime::from_ms(now)));
        batch.clear();
        for step in 1..=740 {
            let _signals = shard.tick(EventTime::from_ms(now + step * 5000), Backlog::Empty);
        }
    }
    let growth = resident().saturating_sub(before) as f64 / credentials as f64;
    println!(
        "cold: {} of {} credentials, {growth:.0} bytes each as resident growth",
        shard.partition().cold_entries(),
        shard.partition().credentials()
    );
}

/// What a checkpoint costs: how long a part holds the partition up, while `batches` go on between
/// the parts, and how long it takes to write and to read back.
fn checkpoint(shard: &mut ShardDriver, batches: &[Batch]) {
    let (mut longest, mut writing, mut parts) = (0.0_f64, 0.0, Vec::new());
    let mut timed = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        longest = longest.max(begun.elapsed().as_secs_f64());
        writing += begun.elapsed().as_secs_f64();
    };
    timed(&mut || parts.push(shard.partition_mut().begin_checkpoint()));
    let mut going = batches.iter().cycle();
    let mut is_last = false;
    while !is_last {
        timed(&mut || {
            let (part, last) = shard.partition_mut().checkpoint_part(10_000);
            parts.push(part);
            is_last = last;
        });
        if let Some(batch) = going.next() {
            let _signals = shard.step(batch, Clock::Events);
        }
    }
    let bytes: usize = parts.iter().map(Vec::len).sum();
    let begun = Instant::now();
    let file = checkpoint::write(parts.iter().map(Vec::as_slice)).unwrap_or_default();
    let packing = begun.elapsed().as_secs_f64();
    println!(
        "a checkpoint of {} credentials: {:.0} MB, {:.0} MB packed; {writing:.1} s of the \
         partition, {:.1} ms at a time at the most, {packing:.1} s to pack",
        shard.partition().credentials(),
        bytes as f64 / 1e6,
        file.len() as f64 / 1e6,
        longest * 1000.0
    );
    let begun = Instant::now();
    let read = checkpoint::partition(&file, &Arc::new(Params::default()), SEED);
    println!("  read back: {:.1} s, whole: {}", begun.elapsed().as_secs_f64(), read.is_ok());
}

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let (credentials, events) = if small { (10_000, 200_000) } else { (1_000_000, 20_000_000) };
    println!("a profile: {} bytes warm, {} cold", size_of::<Profile>(), size_of::<ColdProfile>());
    let before = resident();
    let mut shard = ShardDriver::empty(Arc::new(Params::default()), SEED);
    let mut batch = Batch::default();
    let mut offset = 0_i64;
    for first in (0..credentials).step_by(BATCH) {
        batch.clear();
        for rank in first..(first + BATCH).min(credentials) {
            let id = name(rank);
            batch.push(&event_of(rank, &id, START_MS, 0), offset, SEED);
            offset += 1;
        }
        let _signals = shard.step(&batch, Clock::Source(EventTime::from_ms(START_MS)));
    }
    let growth = resident().saturating_sub(before) as f64 / credentials as f64;
    println!("resident growth per credential: {growth:.0} bytes at {credentials} credentials");

    // The batches are laid out ahead, so that only the state update is timed; event time moves at
    // 100,000 events a second, the rate of a large fleet.
    let mut random = Random(42);
    let (mut spent, mut signals, mut at) = (0.0, 0, 0_i64);
    let rounds = events / (BATCH * 1000);
    let mut batches = vec![Batch::default(); 1000];
    for _ in 0..rounds.max(1) {
        for batch in &mut batches {
            batch.clear();
            for _ in 0..BATCH {
                let rank = random.zipf(credentials);
                let (id, turn) = (name(rank), random.next());
                batch.push(&event_of(rank, &id, START_MS + at / 100, turn), offset, SEED);
                offset += 1;
                at += 1;
            }
        }
        let begun = Instant::now();
        for batch in &batches {
            let clock = Clock::Source(EventTime::from_ms(START_MS + at / 100));
            signals += shard.step(batch, clock).signals.len();
        }
        spent += begun.elapsed().as_secs_f64();
    }
    let applied = (rounds.max(1) * batches.len() * BATCH) as f64;
    println!(
        "state update: {:.0} ns an event over {applied} events, {signals} signals",
        spent / applied * 1e9
    );
    checkpoint(&mut shard, &batches);
    drop(shard);
    cold_entries(credentials);
}
