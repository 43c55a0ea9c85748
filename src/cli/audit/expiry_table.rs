//! The report of `tripline audit expiry` for people.

use crate::cli::top::text::{clean, fit, width};
use crate::formats::api::expiry::{ExpiryGroup, ExpiryReport, LifetimeJson, span};
use crate::model::credential::Kind;
use std::fmt::Write as _;

/// The widest column. Unit: columns of a terminal. Chosen: an issuer's address mostly fits.
const COLUMN_MAX: usize = 40;
/// The titles. Shape: the first three columns are names; the last one is as wide as it is.
const TITLES: [&str; 14] = [
    "KIND",
    "ISSUER",
    "GATEWAY",
    "CREDENTIALS",
    "NO END",
    "MEDIAN",
    "P99",
    "MAX",
    "OVER",
    "USES",
    "EXPIRED",
    "REVOKED",
    "EARLY",
    "REJECTED",
];
/// How many columns are names.
const NAMES: usize = 3;

/// The report as a table, with what is wrong and where at its end.
pub fn table(report: &ExpiryReport) -> String {
    let mut text = format!(
        "{} verified uses of {} events ({} records refused); clocks may differ by {}\n\n",
        report.uses,
        report.events,
        report.refused,
        report.skew()
    );
    let rows: Vec<_> =
        std::iter::once(TITLES.map(str::to_owned)).chain(report.groups.iter().map(row)).collect();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
        cells.max().unwrap_or(0).min(COLUMN_MAX)
    };
    let widths: Vec<usize> = (0..TITLES.len() - 1).map(widest).collect();
    for row in &rows {
        let mut cells = row.iter();
        let mut line = String::new();
        for (column, (width, cell)) in widths.iter().zip(cells.by_ref()).enumerate() {
            line.push_str(&fit(cell, *width, column >= NAMES));
            line.push_str("  ");
        }
        line.push_str(cells.next().map_or("", String::as_str));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&conclusion(report));
    text
}

fn row(group: &ExpiryGroup) -> [String; 14] {
    let name = |name: &Option<String>| name.as_deref().map_or_else(|| "-".to_owned(), clean);
    let lifetime = |of: fn(&LifetimeJson) -> u32| {
        let seconds = group.lifetime.as_ref().map(of);
        seconds.map_or_else(|| "-".to_owned(), |seconds| span(i64::from(seconds) * 1000))
    };
    let rejections = group.rejections.iter().map(|(reason, count)| format!("{count} {reason}"));
    [
        group.kind.clone().unwrap_or_else(|| "others".to_owned()),
        name(&group.issuer),
        name(&group.gateway),
        group.credentials.to_string(),
        group.without_end.to_string(),
        lifetime(|of| of.median_s),
        lifetime(|of| of.p99_s),
        lifetime(|of| of.max_s),
        group.over_policy.to_string(),
        group.uses.to_string(),
        group.after_expiry.uses.to_string(),
        group.after_revocation.uses.to_string(),
        group.before_issue.uses.to_string(),
        rejections.collect::<Vec<_>>().join(", "),
    ]
}

/// Credentials without end, and breaches.
fn conclusion(report: &ExpiryReport) -> String {
    let mut text = String::new();
    // An API key without an end is usual.
    let is_unusual = |group: &&ExpiryGroup| {
        group.without_end > 0 && group.kind.as_deref() != Some(Kind::ApiKey.as_str())
    };
    for group in report.groups.iter().filter(is_unusual) {
        let of = group.credentials_of(group.without_end);
        let at = group.gateway.as_deref().unwrap_or("other gateways");
        // Writing to a string can't fail.
        let _ok = write!(text, "\nWithout end: {} at {}", clean(&of), clean(at));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    match report.breaches.len() {
        0 if !report.doubts.is_empty() => {
            text.push_str("\nNo breach was found, but there may be some.\n");
        }
        0 => {
            let policy = if report.has_policy { ", and no lifetime is over policy" } else { "" };
            let _ok = writeln!(
                text,
                "\nNo breach: no use was accepted outside its credential's life{policy}."
            );
        }
        count => {
            let _ok =
                writeln!(text, "\n{count} {}:", if count == 1 { "breach" } else { "breaches" });
            for breach in &report.breaches {
                let _ok = writeln!(text, "- {}.", clean(breach));
            }
        }
    }
    text
}
