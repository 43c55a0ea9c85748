//! Sources of files: whether their files are there and can be read, and how the first records of the newest one are
//! understood.

use super::report::{Area, Check};
use crate::adapters::clock;
use crate::adapters::sources::file::{Layout, Records};
use crate::adapters::sources::tail::params::Params;
use crate::adapters::sources::tail::pattern::PathPattern;
use crate::cli::sample;
use crate::config::settings::Settings;
use crate::formats::events::refusal::Limits;
use crate::formats::secrets::secret::Fingerprinter;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

/// The first records of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FirstRecords {
    events: u64,
    verified: u64,
    refused: BTreeMap<&'static str, u64>,
    guess: Option<&'static str>,
}

/// Looks at all of them. Reads files.
pub(super) fn check(settings: &Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, params) in &settings.sources.files {
        let area = Area::new(&format!("source {name}"));
        let mut files = files(params);
        files.sort();
        let Some((_, newest)) = files.last().cloned() else {
            let patterns: Vec<&str> = params.paths.iter().map(PathPattern::as_str).collect();
            let found = format!("no file is named {}", patterns.join(", "));
            let remedy = "correct `paths`, or wait for the first line of the gateway";
            checks.push(area.warning("files", found, remedy));
            continue;
        };
        checks.push(match first_records(settings, params, &newest) {
            Ok(records) => judge(&area, name, (files.len(), &newest), &records),
            Err(error) => area.failed(
                "files",
                format!("can't read {}: {error}", newest.display()),
                "let tripline's user read the file and enter its folder: docs/runbooks/source-unreadable.md",
            ),
        });
    }
    checks
}

/// The files of a source, and when each was last written to.
fn files(params: &Params) -> Vec<(SystemTime, PathBuf)> {
    let mut files = Vec::new();
    for pattern in &params.paths {
        for entry in std::fs::read_dir(pattern.folder()).into_iter().flatten().flatten() {
            let fits = entry.file_name().to_str().is_some_and(|name| pattern.has(name));
            let metadata = std::fs::metadata(entry.path()).ok().filter(|_| fits);
            let modified = metadata.and_then(|metadata| metadata.modified().ok());
            files.extend(modified.map(|modified| (modified, entry.path())));
        }
    }
    files
}

fn first_records(
    settings: &Settings,
    params: &Params,
    path: &PathBuf,
) -> std::io::Result<FirstRecords> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let limits = Limits::at(clock::now());
    let fingerprints = Fingerprinter::new(vec![0; 32]).with_random_ids(settings.random_ids);
    let mut found = FirstRecords::default();
    let mut records = Records::open(path, Layout::Lines, limits.record_bytes_max, |raw| raw)?;
    records.decode_on(&params.decoder, (&limits, &fingerprints), |_, answer| match answer {
        Ok(event) => {
            found.events += 1;
            found.verified += u64::from(event.verified);
        }
        Err(refusal) => *found.refused.entry(refusal.as_str()).or_insert(0) += 1,
    })?;
    let is_blind = found.events == 0 && !found.refused.is_empty();
    found.guess = is_blind.then(|| sample::guess(path, params.decoder.format.as_str())).flatten();
    Ok(found)
}

fn judge(
    area: &Area,
    name: &str,
    (files, newest): (usize, &PathBuf),
    records: &FirstRecords,
) -> Check {
    let FirstRecords { events, verified, refused, guess } = records;
    let refused: Vec<String> =
        refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let refusals = if refused.is_empty() {
        String::new()
    } else {
        format!("; refused: {}", refused.join(", "))
    };
    let found = format!(
        "{files} files; in the newest, {}, {events} of its first records are read{refusals}",
        newest.display()
    );
    let look = format!("tripline check FILE --source {name} --sample {}", newest.display());
    match (events, verified) {
        (0, _) if refused.is_empty() => area.ok("files", found),
        (0, _) => {
            let guess = guess
                .map_or_else(String::new, |guess| format!("it looks like format = \"{guess}\"; "));
            area.failed("files", found, format!("{guess}{look}"))
        }
        (_, 0) => {
            let remedy = format!("say which do, as `verified` in [sources.{name}]; {look}");
            area.warning("files", format!("{found}; none counts as a use"), remedy)
        }
        _ => area.ok("files", found),
    }
}

#[cfg(test)]
mod tests {
    use super::{FirstRecords, judge};
    use crate::cli::doctor::report::{Area, State};
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    #[test]
    fn a_source_that_reads_nothing_fails_and_one_that_counts_nothing_is_a_warning() {
        let state = |records: FirstRecords| {
            let newest = PathBuf::from("/var/log/a.log");
            let check = judge(&Area::new("source a"), "a", (2, &newest), &records);
            (check.state, check.remedy.unwrap_or_default())
        };
        let read = FirstRecords { events: 9, verified: 9, ..FirstRecords::default() };
        assert_eq!(state(read.clone()).0, State::Ok);
        assert_eq!(state(FirstRecords::default()).0, State::Ok, "an empty file is no fault");
        let (found, remedy) = state(FirstRecords { verified: 0, ..read });
        assert_eq!(found, State::Warning);
        assert!(remedy.contains("[sources.a]"), "{remedy}");
        let refused = BTreeMap::from([("missing_time", 7)]);
        let blind = FirstRecords { refused, guess: Some("caddy"), ..FirstRecords::default() };
        let (found, remedy) = state(blind);
        assert_eq!(found, State::Failed);
        assert!(remedy.contains("format = \"caddy\"") && remedy.contains("--sample"), "{remedy}");
    }
}
