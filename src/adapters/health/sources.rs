//! How each source does: whether what comes can be read, and whether anything comes.

use super::recent::{MINUTE_MS, Measurements, Recent, count, critical, warning};
use crate::formats::api::status::{DEFAULT_SOURCE, IssueJson, Part, SourceJson};
use crate::formats::time::rfc3339;

/// After how long a source is silent, and after how many of its mean intervals. Unit: milliseconds. Chosen: as
/// `TriplineNoEvents`; a night's pause of people is shorter than a hundred intervals of what is slow.
const SOURCE_SILENT_MS: i64 = 15 * MINUTE_MS;
const SOURCE_SILENT_INTERVALS: i64 = 100;
/// Whether one source is blind.
pub(super) fn of_source(
    recent: &Recent,
    now: &Measurements,
    source: &SourceJson,
) -> Option<IssueJson> {
    let rose = |total: fn(&SourceJson) -> u64| {
        let of_it = |one: &Measurements| {
            one.sources.iter().find(|it| it.name == source.name).map_or(0, total)
        };
        recent.risen(now, of_it).map_or(0, |(by, _)| by)
    };
    let refused = rose(|one| one.refused - one.without_credential);
    let never_read = source.events == 0 && source.refused > 0;
    let came = count(source.refused, "record");
    let issue = if rose(|one| one.read_errors) > 0 {
        critical(Part::Source, "source-unreadable", "can't be read".to_owned())
    } else if never_read && source.refused == source.without_credential {
        let found = format!("no credential is named in {came}");
        critical(Part::Source, "records-refused", found)
    } else if never_read {
        let found = format!("{came} came, and none could be read");
        critical(Part::Source, "records-refused", found)
    } else if refused > 0 && rose(|one| one.events) == 0 {
        let found = format!("all {refused} records of the last minute were refused");
        critical(Part::Source, "records-refused", found)
    } else {
        warning(Part::Source, "no-events", silence(now, source)?)
    };
    Some(IssueJson { source: Some(source.name.clone()), ..issue })
}

/// For how long nothing came of a source from which something was to come.
fn silence(now: &Measurements, source: &SourceJson) -> Option<String> {
    let Some(last) = source.last_event.as_deref().and_then(rfc3339) else {
        // The source `default` is there whether it is used or not.
        let is_meant = source.name != DEFAULT_SOURCE && source.refused == 0;
        let is_late = now.at.ms_since(now.started) >= SOURCE_SILENT_MS;
        return (is_meant && is_late).then(|| "no record came since the start".to_owned());
    };
    let events = i64::try_from(source.events).unwrap_or(i64::MAX).max(1);
    let interval_ms = last.ms_since(now.started).max(0) / events;
    let silent_ms = now.at.ms_since(last);
    let most = SOURCE_SILENT_MS.max(interval_ms.saturating_mul(SOURCE_SILENT_INTERVALS));
    (silent_ms >= most).then(|| format!("no event for {} min", silent_ms / MINUTE_MS))
}

#[cfg(test)]
mod tests {
    use super::super::issues::tests::{finds, found_after, total, well};
    use super::super::recent::{Measurements, Recent};
    use crate::formats::api::status::{Part, SourceJson};

    #[test]
    fn a_source_that_is_blind_is_named() {
        let source = |(events, refused, read_errors)| SourceJson {
            name: "web".to_owned(),
            events,
            refused,
            read_errors,
            ..SourceJson::default()
        };
        let blind = "all 60 records of the last minute were refused";
        finds(Part::Source, true, blind, |now, at| {
            now.sources = vec![source((7, total(1, at), 0))];
        });
        let junk = "7 records came, and none could be read";
        finds(Part::Source, true, junk, |now, _| now.sources = vec![source((0, 7, 0))]);
        let without = |events| {
            move |now: &mut Measurements, at| {
                let without_credential = total(1, at);
                let some = source((events, without_credential, 0));
                now.sources = vec![SourceJson { without_credential, ..some }];
            }
        };
        let keyless = "no credential is named in 119 records";
        finds(Part::Source, true, keyless, without(0));
        assert_eq!(found_after(without(7)), [], "requests without a credential are usual");
        assert_eq!(
            found_after(|now, at| now.sources = vec![source((total(1, at), total(1, at), 0))]),
            []
        );
        finds(Part::Source, true, "can't be read", |now, at| {
            now.sources = vec![source((total(1, at), 0, total(10, at)))];
        });
    }

    #[test]
    fn a_source_that_falls_silent_is_named_by_its_own_pace() {
        let of = |name: &str, events: u64, silent_min: i64| SourceJson {
            name: name.to_owned(),
            events,
            last_event: (events > 0).then(|| well(0).at.plus_ms(-silent_min * 60_000).to_string()),
            ..SourceJson::default()
        };
        let found = |source: SourceJson| {
            let now = Measurements { sources: vec![source], ..well(0) };
            let issues = Recent::default().issues(&now).into_iter();
            issues.map(|one| (one.source.unwrap_or_default(), one.found)).collect::<Vec<_>>()
        };
        let silent = |text: &str| vec![("web".to_owned(), text.to_owned())];
        assert_eq!(found(of("web", 100_000, 16)), silent("no event for 16 min"));
        assert_eq!(found(of("web", 100_000, 14)), []);
        assert_eq!(found(of("web", 24, 600)), [], "one an hour may be silent for days");
        assert_eq!(found(of("web", 0, 0)), silent("no record came since the start"));
        assert_eq!(found(of("default", 0, 0)), []);
    }
}
