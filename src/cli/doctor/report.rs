//! Checks and their results, with remedies.

use crate::cli::exit::Exit;
use serde::Serialize;
use std::fmt::Write;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and a person should look.
    Warning,
    /// It does not work.
    Failed,
    /// It was not looked at.
    Skipped,
}

impl State {
    const fn shown(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "WARNING",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its subject: `redis`, say.
    pub area: String,
    /// The thing checked.
    pub check: &'static str,
    /// How it ended.
    pub state: State,
    /// The result, or why it was not checked.
    pub found: String,
    /// The remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Makes checks of one area.
#[derive(Clone, Debug)]
pub struct Area(pub String);

impl Area {
    /// The area of that name.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    fn check(&self, check: &'static str, state: State, found: String) -> Check {
        Check { area: self.0.clone(), check, state, found, remedy: None }
    }

    /// As it should be.
    pub fn ok(&self, check: &'static str, found: impl Into<String>) -> Check {
        self.check(check, State::Ok, found.into())
    }

    /// It works, and a person should look.
    pub fn warning(
        &self,
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        let check = self.check(check, State::Warning, found.into());
        Check { remedy: Some(remedy.into()), ..check }
    }

    /// It does not work.
    pub fn failed(
        &self,
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        let check = self.check(check, State::Failed, found.into());
        Check { remedy: Some(remedy.into()), ..check }
    }

    /// It was not looked at, and why.
    pub fn skipped(&self, check: &'static str, why: impl Into<String>) -> Check {
        self.check(check, State::Skipped, why.into())
    }
}

/// All checks.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version that looked.
    pub version: &'static str,
    /// When.
    pub at: String,
    /// How many ended in each way.
    pub counts: Counts,
    /// Whether the configuration has mistakes.
    pub mistakes: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

/// How many checks ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// As they should be.
    pub ok: usize,
    /// Of which a person should look.
    pub warning: usize,
    /// Which failed.
    pub failed: usize,
    /// Which were not done.
    pub skipped: usize,
}

impl Report {
    /// Of these checks, made at that time.
    pub fn new(checks: Vec<Check>, mistakes: bool, at: String) -> Self {
        let count = |state| checks.iter().filter(|check| check.state == state).count();
        let counts = Counts {
            ok: count(State::Ok),
            warning: count(State::Warning),
            failed: count(State::Failed),
            skipped: count(State::Skipped),
        };
        Self { version: env!("CARGO_PKG_VERSION"), at, counts, mistakes, checks }
    }

    /// How the command ends.
    pub const fn exit(&self) -> Exit {
        if self.mistakes {
            Exit::Configuration
        } else if self.counts.failed > 0 {
            Exit::Findings
        } else {
            Exit::Good
        }
    }

    /// For people: a line a check, by area, and what to do below it.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut area = "";
        let width = self.checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
        for check in &self.checks {
            if check.area != area {
                area = &check.area;
                // Writing to a string can't fail.
                let _written = writeln!(text, "{area}");
            }
            let (state, name, found) = (check.state.shown(), check.check, &check.found);
            let _written = writeln!(text, "  {state:7}  {name:width$}  {}", below(found, width));
            if let Some(remedy) = &check.remedy {
                let _written = writeln!(text, "  {:7}  {:width$}  -> {}", "", "", remedy);
            }
        }
        let Counts { ok, warning, failed, skipped } = self.counts;
        let _written = write!(
            text,
            "{ok} ok, {warning} warning{}, {failed} failed, {skipped} skipped",
            if warning == 1 { "" } else { "s" }
        );
        text
    }
}

/// Further lines stand below the first.
fn below(text: &str, width: usize) -> String {
    text.trim_end().replace('\n', &format!("\n{}", " ".repeat(width + 13)))
}

#[cfg(test)]
mod tests {
    use super::{Area, Report};
    use crate::cli::exit::Exit;

    #[test]
    fn warnings_are_no_failure_and_mistakes_are_another() {
        let area = Area::new("redis");
        let good = area.ok("answers", "in 1 ms");
        let warned = area.warning("memory", "evicts", "do this");
        let failed = area.failed("rights", "none", "do that");
        let exit = |checks, mistakes| Report::new(checks, mistakes, String::new()).exit();
        assert_eq!(exit(vec![good.clone(), warned.clone()], false), Exit::Good);
        assert_eq!(exit(vec![good.clone(), failed.clone()], false), Exit::Findings);
        assert_eq!(exit(vec![failed.clone()], true), Exit::Configuration);
        let table = Report::new(vec![good, warned, failed], false, String::new()).table();
        assert!(table.contains("WARNING  memory   evicts\n"), "{table}");
        assert!(table.contains("-> do that") && table.ends_with("1 failed, 0 skipped"), "{table}");
    }
}
