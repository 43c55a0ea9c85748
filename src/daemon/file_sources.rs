//! The thread that follows files of events.

use super::start_error::{StartError, spawn};
use crate::adapters::sources::ingest::Source;
use crate::adapters::sources::tail::runner::{Runner, Shared};
use crate::config::settings::Settings;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Starts the thread, where a source follows files.
///
/// # Errors
/// When the positions can't be read or written, or no thread can be had.
pub(super) fn start(
    settings: &Settings,
    shared: Shared,
    ingest: &Arc<Source>,
) -> Result<Option<JoinHandle<()>>, StartError> {
    let files = settings.sources.files.clone();
    if files.is_empty() {
        return Ok(None);
    }
    let folder = settings.data_dir.join("tail");
    let runner = Runner::open(files, &folder, (shared, Arc::clone(ingest)))
        .map_err(|source| StartError::Path { path: folder, source })?;
    spawn("tail", move || runner.run()).map(Some)
}
