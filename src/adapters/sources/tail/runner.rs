//! The thread of the file sources: reads what files have grown by, and hands it over, each chunk once.

use super::follower::Follower;
use super::lines::split;
use super::params::Params;
use super::positions::{Position, Positions};
use super::source::SourceFiles;
use crate::adapters::clock;
use crate::adapters::sources::decoded::Decoded;
use crate::adapters::sources::event_sink::EventSink;
use crate::adapters::sources::rejects::RecordPlace;
use crate::formats::events::refusal::Limits;
use crate::model::time::EventTime;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often files are looked at. Chosen: an event is seen well within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often folders are listed. Chosen: a new file is seen within a second or so.
const LIST_INTERVAL: Duration = Duration::from_millis(500);
/// The thread's state.
#[derive(Debug)]
pub struct Runner {
    sink: EventSink,
    /// The runtime of the event log's answers.
    runtime: Handle,
    positions: Positions,
    sources: Vec<SourceFiles>,
    listed_at: Option<Instant>,
}

impl Runner {
    /// Goes on from the positions in `folder`.
    ///
    /// # Errors
    /// When they can't be read or written.
    pub fn open(
        sources: BTreeMap<String, Params>,
        folder: &Path,
        (sink, runtime): (EventSink, Handle),
    ) -> io::Result<Self> {
        let positions = Positions::open(folder)?;
        let sources = sources
            .into_iter()
            .map(|(name, params)| SourceFiles::new(&name, params, positions.of(&name), sink.seed))
            .collect();
        Ok(Self { sink, runtime, positions, sources, listed_at: None })
    }

    /// Follows all files until tripline stops. Blocks.
    pub fn run(mut self) {
        let now = clock::now();
        for source in &mut self.sources {
            let (mut begun, _) = source.discover(now);
            begun.extend(source.find_renamed(now));
            note(&mut self.positions, source, begun, now);
        }
        while !self.sink.is_stopping() {
            if !self.poll() {
                std::thread::sleep(POLL_INTERVAL);
            }
        }
    }

    /// Looks at each file once; returns whether there is more to read.
    fn poll(&mut self) -> bool {
        let now = clock::now();
        let Self { sink, runtime, positions, sources, listed_at } = self;
        let lists = listed_at.is_none_or(|at| at.elapsed() >= LIST_INTERVAL);
        if lists {
            *listed_at = Some(Instant::now());
        }
        let mut has_more = false;
        for source in sources {
            let mut faults = 0;
            let begun = if lists {
                let (begun, unreadable) = source.discover(now);
                faults += unreadable;
                begun
            } else {
                source.begin_emptied_again(now)
            };
            note(positions, source, begun, now);
            // Where several have history, the one that is furthest behind goes first.
            source.followers.sort_by_key(|follower| follower.newest);
            let (mut ended, mut failed) = (Vec::new(), Vec::new());
            for at in 0..source.followers.len() {
                match step((sink, runtime), positions, source, at) {
                    Ok(Step::More) => has_more = true,
                    Ok(Step::Waits) => {}
                    Ok(Step::Ended) => ended.push(at),
                    Err(error) => {
                        faults += 1;
                        let follower = source.followers.get(at);
                        let path = follower.map(|one| one.path.clone()).unwrap_or_default();
                        if follower.is_some_and(Follower::is_packed) {
                            failed.push(at);
                        }
                        source.report(&path, &error, now);
                    }
                }
            }
            ended.extend(failed.iter().copied());
            ended.sort_unstable();
            for at in ended.into_iter().rev() {
                if failed.contains(&at) { source.give_up(at) } else { source.end(at) }
            }
            let unread: u64 =
                source.followers.iter().filter_map(|follower| follower.unread().ok()).sum();
            sink.records.show_files(&source.name, (source.followers.len(), unread, faults));
        }
        has_more
    }
}

/// Writes down where reading begins in files that are new, or were emptied.
fn note(positions: &mut Positions, source: &mut SourceFiles, begun: Vec<Position>, now: EventTime) {
    for position in begun {
        if let Err(error) = positions.set(&source.name, position) {
            source.report(positions.path(), &error, now);
        }
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
    by: (&EventSink, &Handle),
    positions: &mut Positions,
    source: &mut SourceFiles,
    at: usize,
) -> io::Result<Step> {
    let now = clock::now();
    let SourceFiles { name, params, followers, .. } = source;
    if by.0.bounds.wait(name, now).is_some() {
        // The thread is that of all files.
        by.0.records.count_rate_bound(name);
        return Ok(Step::Waits);
    }
    let Some(follower) = followers.get_mut(at) else { return Ok(Step::Waits) };
    let again = follower.position.to;
    let is_quiet = SourceFiles::is_quiet(follower, now);
    let Some(chunk) = follower.read(again)? else {
        // A packed file is still passed over.
        let waits = if is_quiet { Step::Ended } else { Step::Waits };
        return Ok(if follower.is_packed() { Step::More } else { waits });
    };
    let is_over = again.is_none() || chunk.text.is_empty();
    let is_done = chunk.is_last && is_over && (follower.is_packed() || is_quiet);
    let mut passing_over = follower.position.passing_over;
    let limits = Limits::at(now);
    let mut decoded = Decoded::default();
    let decoder = &params.decoder;
    let ended = is_done || again.is_some();
    let used =
        split(&chunk.text, (&mut passing_over, ended), limits.record_bytes_max, |start, line| {
            by.0.decode(decoder, (chunk.from + start, line), &limits, &mut decoded);
        });
    if used == 0 {
        return Ok(if is_done { Step::Ended } else { Step::Waits });
    }
    let to = chunk.from + used as u64;
    let file = (name.as_str(), follower.path.to_string_lossy().into_owned());
    let position = follower.position;
    let next = Position { at: to, to: None, passing_over, ..position };
    let handed_over = chunk.text.get(..used).unwrap_or_default();
    let next = follower.advance(next, handed_over, by.0.seed);
    let newest = decoded.newest;
    let written = hand_over(by, positions, &file, (position, next), decoded);
    let HandedOver::Taken(fault) = written else { return Ok(Step::Waits) };
    (follower.position, follower.grew_at) = (next, now);
    follower.newest = follower.newest.max(newest);
    if let Some(error) = fault {
        source.report(positions.path(), &error, now);
    }
    Ok(if is_done { Step::Ended } else { Step::More })
}

/// The outcome of handing a chunk over.
enum HandedOver {
    /// It was taken; positions could not be written, if there is a fault.
    Taken(Option<io::Error>),
    /// tripline stops: it is handed over again after the next start.
    Stopping,
}

/// Hands a chunk over once, from one position to the next. Where positions can't be written it is handed over all the
/// same: what is watched twice after a crash is less bad than what is never seen.
fn hand_over(
    (sink, runtime): (&EventSink, &Handle),
    positions: &mut Positions,
    (name, file): &(&str, String),
    (position, next): (Position, Position),
    decoded: Decoded,
) -> HandedOver {
    let (from, to) = (position.at, next.at);
    let mut fault = positions.set(name, Position { to: Some(to), ..position }).err();
    let key = sink.seed.hash_all(&[
        b"tail",
        name.as_bytes(),
        &position.content.to_le_bytes(),
        &from.to_le_bytes(),
        &to.to_le_bytes(),
    ]);
    let place = |offset| RecordPlace::Offset { source: name, file, offset };
    if runtime.block_on(sink.take(name, Some(key), decoded, place)).is_err() {
        return HandedOver::Stopping;
    }
    fault = fault.or(positions.set(name, next).err());
    HandedOver::Taken(fault)
}
