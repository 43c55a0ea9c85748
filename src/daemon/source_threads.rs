//! The threads of the sources that have one of their own: files, standard input, syslog,
//! streams of Redis, queues of SQS.

use super::start_error::{StartError, spawn};
use crate::adapters::sources::event_sink::EventSink;
use crate::adapters::sources::redis_stream::Readers;
#[cfg(feature = "cloud")]
use crate::adapters::sources::sqs::reader as sqs;
use crate::adapters::sources::stdin;
use crate::adapters::sources::syslog::receiver::Receiver;
use crate::adapters::sources::tail::runner::Runner;
use crate::config::settings::Settings;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle};

/// Starts a thread for all sources of a type, where there are any; gives those that end as tripline stops.
///
/// # Errors
/// When the positions in files can't be read or written, an address can't be bound, or no thread can be had.
pub(super) fn start(
    settings: &Settings,
    sink: &EventSink,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut threads = Vec::new();
    let sources = &settings.sources;
    if !sources.files.is_empty() {
        let folder = settings.data_dir.join("tail");
        let shared = (sink.clone(), Handle::current());
        let runner = Runner::open(sources.files.clone(), &folder, shared)
            .map_err(|source| StartError::Path { path: folder, source })?;
        threads.push(spawn("tail", move || runner.run())?);
    }
    if !sources.syslog.is_empty() {
        let receiver = Receiver::bind(&sources.syslog, sink)?;
        threads.push(spawn_async("syslog", || receiver.run())?);
    }
    if !sources.redis_streams.is_empty() {
        let readers = Readers::new(&sources.redis_streams, sink)?;
        threads.push(spawn_async("redis-stream", || readers.run())?);
    }
    #[cfg(feature = "cloud")]
    if !sources.sqs.is_empty() {
        let readers = sqs::Readers::new(&sources.sqs, sink)?;
        threads.push(spawn_async("sqs", || readers.run())?);
    }
    if let Some((name, decoder)) = sources.stdin.clone() {
        let (sink, runtime) = (sink.clone(), Handle::current());
        // It is not waited for: it may be waiting for input that never comes.
        drop(spawn("stdin", move || stdin::read(&name, &decoder, &sink, &runtime))?);
    }
    Ok(threads)
}

/// Starts a thread with a runtime of its own.
fn spawn_async<F: Future<Output = ()>>(
    name: &str,
    reads: impl FnOnce() -> F + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    spawn(name, move || runtime.block_on(reads()))
}
