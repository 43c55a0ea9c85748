//! The thread of the file sources: reads what files have grown by, and hands it over, each chunk once.

use super::follower::{CHUNK_BYTES, Chunk, Follower};
use super::lines::split;
use super::params::Params;
use super::positions::{Position, Positions};
use super::source::SourceFiles;
use crate::adapters::channels::NotTaken;
use crate::adapters::clock;
use crate::adapters::sources::decoded::Decoded;
use crate::adapters::sources::ingest::{Request, Source};
use crate::adapters::sources::metrics::SourceMetrics;
use crate::adapters::sources::rejects::{RecordPlace, RejectLog, letter};
use crate::data_plane::batch::HashSeed;
use crate::formats::events::refusal::Limits;
use crate::formats::secrets::secret::Fingerprinter;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// How often files are looked at. Chosen: an event is seen well within a second, and a look takes some
/// microseconds a file.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it is waited where a queue is full.
const FULL_WAIT: Duration = Duration::from_millis(20);

/// What the thread needs besides its sources.
#[derive(Debug)]
pub struct Shared {
    /// Stands for secrets.
    pub fingerprints: Arc<Fingerprinter>,
    /// The hash seed of the data plane.
    pub seed: HashSeed,
    /// Counters of all sources.
    pub records: SourceMetrics,
    /// Where the places of refused lines go.
    pub rejects: Arc<RejectLog>,
    /// The runtime of the event log's answers.
    pub runtime: Handle,
    /// Whether tripline is stopping.
    pub stopping: Arc<AtomicBool>,
}

/// The thread's state.
#[derive(Debug)]
pub struct Runner {
    shared: Shared,
    ingest: Arc<Source>,
    positions: Positions,
    sources: Vec<SourceFiles>,
}

impl Runner {
    /// Goes on from the positions in `folder`.
    ///
    /// # Errors
    /// When they can't be read or written.
    pub fn open(
        sources: BTreeMap<String, Params>,
        folder: &Path,
        (shared, ingest): (Shared, Arc<Source>),
    ) -> io::Result<Self> {
        let positions = Positions::open(folder)?;
        let sources = sources
            .into_iter()
            .map(|(name, params)| SourceFiles::new(&name, params, positions.of(&name), shared.seed))
            .collect();
        Ok(Self { shared, ingest, positions, sources })
    }

    /// Follows all files until tripline stops. Blocks.
    pub fn run(mut self) {
        let now = clock::now();
        for source in &mut self.sources {
            source.discover(now);
            source.find_renamed();
        }
        while !self.is_stopping() {
            if !self.look() {
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed)
    }

    /// Looks at each file once; says whether there is more to read.
    fn look(&mut self) -> bool {
        let now = clock::now();
        let Self { shared, ingest, positions, sources } = self;
        let mut has_more = false;
        for source in sources {
            let mut faults = source.discover(now);
            // Where several have history, the one that is furthest behind goes first.
            source.followers.sort_by_key(|follower| follower.newest);
            let mut ended = Vec::new();
            for at in 0..source.followers.len() {
                match step((shared, ingest), positions, source, at) {
                    Ok(Step::More) => has_more = true,
                    Ok(Step::Waits) => {}
                    Ok(Step::Ended) => ended.push(at),
                    Err(error) => {
                        faults += 1;
                        let path = source.followers.get(at).map(|one| one.path.clone());
                        source.report(&path.unwrap_or_default(), &error, now);
                    }
                }
            }
            for at in ended.into_iter().rev() {
                source.end(at);
            }
            let unread: u64 =
                source.followers.iter().filter_map(|follower| follower.unread().ok()).sum();
            shared.records.show_files(&source.name, (source.followers.len(), unread, faults));
        }
        has_more
    }
}

/// The outcome of a look at a file.
enum Step {
    /// There may be more to read.
    More,
    /// All was read.
    Waits,
    /// It was read to its end, and is followed no longer.
    Ended,
}

/// Reads a chunk of a file, and hands it over.
fn step(
    (shared, ingest): (&Shared, &Source),
    positions: &mut Positions,
    source: &mut SourceFiles,
    at: usize,
) -> io::Result<Step> {
    let SourceFiles { name, params, followers, .. } = source;
    let Some(follower) = followers.get_mut(at) else { return Ok(Step::Waits) };
    if follower.was_emptied(shared.seed)? {
        let old = follower.begin_again(shared.seed);
        positions.set(name, follower.position)?;
        source.remember(old);
        return Ok(Step::More);
    }
    let again = follower.position.to;
    let chunk = follower.read(CHUNK_BYTES, again)?;
    let is_done =
        chunk.ended && (follower.is_packed() || SourceFiles::is_quiet(follower, clock::now()));
    let ended = is_done || again.is_some();
    let mut long_line = follower.long_line;
    let limits = Limits::at(clock::now());
    let mut decoded = Decoded::default();
    let decoder = &params.decoder;
    let length = chunk.text.len();
    let used =
        split(&chunk.text, (&mut long_line, ended), limits.record_bytes_max, |start, line| {
            let place = chunk.from + start;
            match line {
                Ok(line) => decoder.decode(line, &limits, &shared.fingerprints, &mut |answer| {
                    decoded.add(place, answer, shared.seed);
                }),
                Err(refusal) => decoded.add(place, Err(refusal), shared.seed),
            }
        });
    if used == 0 {
        return Ok(if is_done { Step::Ended } else { Step::Waits });
    }
    let to = chunk.from + used as u64;
    if !hand_over((shared, ingest), positions, name, (follower, &chunk, to), decoded)? {
        return Ok(Step::Waits);
    }
    follower.long_line = long_line;
    Ok(if is_done && used == length { Step::Ended } else { Step::More })
}

/// Hands a chunk over once, as its position says; false where tripline stops before it was taken.
fn hand_over(
    (shared, ingest): (&Shared, &Source),
    positions: &mut Positions,
    name: &str,
    (follower, chunk, to): (&mut Follower, &Chunk, u64),
    mut decoded: Decoded,
) -> io::Result<bool> {
    let from = chunk.from;
    let position = Position { at: from, to: Some(to), ..follower.position };
    positions.set(name, position)?;
    follower.position = position;
    let arrived = clock::now();
    let batches = decoded.take_batches();
    let key = shared.seed.hash_all(&[
        b"tail",
        name.as_bytes(),
        &position.file.bytes(),
        &position.generation.to_le_bytes(),
        &from.to_le_bytes(),
        &to.to_le_bytes(),
    ]);
    let durable = loop {
        let request = Request::new(arrived, Some(key), batches.clone());
        match shared.runtime.block_on(ingest.take(request)) {
            Ok(durable) => break durable,
            Err(NotTaken::Full) if !shared.stopping.load(Ordering::Relaxed) => {
                std::thread::sleep(FULL_WAIT);
            }
            // It is handed over again after the next start.
            Err(NotTaken::Full | NotTaken::Stopping) => return Ok(false),
        }
    };
    if !durable {
        shared.records.not_durable.inc_by(decoded.accepted as u64);
    }
    follower.newest = follower.newest.max(decoded.newest);
    decoded.count(name, arrived, &shared.records);
    for (offset, refusal) in &decoded.refusals.first {
        let file = follower.path.to_string_lossy();
        let place = RecordPlace::Offset { source: name, file: &file, offset: *offset };
        let written = shared.rejects.write(&letter(place, *refusal, arrived), arrived);
        shared.records.count_reject(written);
    }
    follower.position = Position { at: to, to: None, ..position };
    positions.set(name, follower.position)?;
    Ok(true)
}
