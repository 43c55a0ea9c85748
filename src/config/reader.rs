//! Reads a configuration field by field and collects every mistake, each with its place.
//!
//! A field of the file is overridden by the environment: `[http] listen` by
//! `TRIPLINE_HTTP__LISTEN`.

use super::mask;
use super::table::all::find;
use super::table::setting::{Kind, Setting};
use super::units;
use crate::config::value::InvalidValue;
use crate::config::value::Value;
use crate::model::time::EventTime;
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The mistake.
    pub message: String,
    /// The remedy.
    pub remedy: String,
    /// Where it stands.
    pub place: Place,
}

/// Where a mistake stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file: offset and length. Unit: bytes.
    File(usize, usize),
    /// In that variable of the environment.
    Environment(String),
    /// Nowhere: something is missing.
    Missing,
}

/// All mistakes of a configuration, for people.
#[derive(Debug)]
pub struct Problems {
    source: NamedSource<String>,
    problems: Vec<Problem>,
}

impl Problems {
    /// The mistakes found in the file of that name and text.
    pub fn new(name: &str, text: &str, problems: Vec<Problem>) -> Self {
        Self { source: NamedSource::new(name, mask::source(text)), problems }
    }

    /// The mistakes.
    pub fn all(&self) -> &[Problem] {
        &self.problems
    }

    /// All mistakes as text, each with its line, for a terminal or a log.
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour {
            miette::GraphicalTheme::unicode()
        } else {
            miette::GraphicalTheme::unicode_nocolor()
        };
        let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(96);
        let mut text = String::new();
        for problem in &self.problems {
            let one = RenderedProblem { problem, source: &self.source };
            if handler.render_report(&mut text, &one).is_err() {
                text.push_str(&problem.message);
            }
        }
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

#[derive(Debug)]
struct RenderedProblem<'a> {
    problem: &'a Problem,
    source: &'a NamedSource<String>,
}

impl fmt::Display for RenderedProblem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)?;
        match &self.problem.place {
            Place::Environment(name) => write!(f, " (environment variable {name})"),
            Place::File(..) | Place::Missing => Ok(()),
        }
    }
}

impl std::error::Error for RenderedProblem<'_> {}

impl Diagnostic for RenderedProblem<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.problem.remedy))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        matches!(self.problem.place, Place::File(..)).then_some(self.source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Place::File(offset, length) = self.problem.place else { return None };
        let span = SourceSpan::new(offset.into(), length);
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), span))))
    }
}

/// Collects mistakes while sections are read.
#[derive(Debug)]
pub struct Reader {
    problems: RefCell<Vec<Problem>>,
    environment: BTreeMap<String, String>,
    used: RefCell<BTreeSet<String>>,
    now: Option<EventTime>,
}

/// The prefix of variables of the environment.
pub const PREFIX: &str = "TRIPLINE_";
/// Stands for a value of the environment that is no UTF-8; no variable can have it.
pub const NO_UTF8: &str = "\0";

impl Reader {
    /// A reader with those variables of the environment. With the time, what has expired by then
    /// is a mistake, too.
    pub fn new(environment: BTreeMap<String, String>, now: Option<EventTime>) -> Self {
        Self { problems: RefCell::default(), environment, used: RefCell::default(), now }
    }

    /// The root of a file.
    pub fn root<'a>(&'a self, table: &'a Spanned<DeTable<'a>>) -> Section<'a> {
        Section {
            reader: self,
            path: Vec::new(),
            table: Some(table.get_ref()),
            taken: RefCell::default(),
        }
    }

    /// Notes a mistake.
    pub fn report(&self, place: Place, wrong: InvalidValue) {
        let InvalidValue(message, remedy) = wrong;
        let (message, remedy) = (mask::message(&message), mask::message(&remedy));
        self.problems.borrow_mut().push(Problem { message, remedy, place });
    }

    /// All mistakes, in the order of the file; variables that no field has are mistakes too.
    pub fn finish(self) -> Vec<Problem> {
        let used = self.used.into_inner();
        let mut problems = self.problems.into_inner();
        for name in self.environment.keys().filter(|name| !used.contains(*name)) {
            problems.push(Problem {
                message: format!("the environment variable {name} matches no setting"),
                remedy: near(&name.to_uppercase(), used.iter().map(String::as_str)),
                place: Place::Environment(name.clone()),
            });
        }
        problems.sort_by_key(|problem| match problem.place {
            Place::File(offset, _) => offset,
            Place::Environment(_) | Place::Missing => usize::MAX,
        });
        problems
    }
}

/// Sections that have another place now.
const RENAMED: [(&str, &str); 2] = [
    (
        "source",
        "[sources.default], with `credential`, `kind` and `verified` in it; threads is [engine] threads",
    ),
    ("kafka", "[sources.NAME] with type = \"kafka\""),
];

/// "did you mean", if something known is near.
fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    if name.to_ascii_lowercase().ends_with("credentials_max") {
        return "it is engine.memory now, a size: about 360 bytes a credential, so for 1000000 of \
                them \"360MiB\""
            .to_owned();
    }
    if let Some((_, now)) = RENAMED.into_iter().find(|(old, _)| *old == name) {
        return format!("it is {now} now");
    }
    let close = known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match close {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => "remove it; config/tripline.toml lists every setting".to_owned(),
    }
}

/// A table of the file.
#[derive(Debug)]
pub struct Section<'a> {
    reader: &'a Reader,
    path: Vec<String>,
    table: Option<&'a DeTable<'a>>,
    taken: RefCell<BTreeSet<String>>,
}

impl<'a> Section<'a> {
    fn path_of(&self, key: &str) -> String {
        let mut path = self.path.join(".");
        if !path.is_empty() {
            path.push('.');
        }
        path + key
    }

    fn at(&self, key: &str) -> Vec<String> {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        path
    }

    /// The description of a field.
    fn setting(&self, key: &str) -> Option<&'static Setting> {
        let path = self.at(key);
        find(&path.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Whether the table of settings has a field, or a table for names of the operator's.
    fn is_described(&self, key: &str) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        self.setting(key).is_some() || find(&path).is_some_and(|one| one.kind == Kind::Table)
    }

    /// Reads a field; its default in the table of settings where it is not there or wrong.
    pub fn read<T>(
        &self,
        key: &str,
        read: impl Fn(Value<'_>) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        self.get(key, &read).or_else(|| {
            let text = self.setting(key)?.default?.replace(['"', '[', ']'], "");
            read(Value::Environment(&text)).ok()
        })
    }

    /// The same of a field whose kind has a range.
    fn value<T>(
        &self,
        key: &str,
        read: impl Fn(Value<'_>, Kind) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        let kind = self.setting(key)?.kind;
        self.read(key, |value| read(value, kind))
    }

    /// A duration, within its range. Unit: milliseconds.
    pub fn duration_ms(&self, key: &str) -> i64 {
        self.value(key, units::duration_within).unwrap_or(0)
    }

    /// A size, within its range. Unit: bytes.
    pub fn size(&self, key: &str) -> u64 {
        self.value(key, units::size_within).unwrap_or(0)
    }

    /// A rate; 0 is none. Unit: requests per minute.
    pub fn rate_per_min(&self, key: &str) -> u32 {
        self.value(key, units::rate_within).unwrap_or(0)
    }

    /// A whole number, within its range.
    pub fn integer<T: TryFrom<i64> + Default>(&self, key: &str) -> T {
        let read = self.value(key, units::integer_within);
        read.and_then(|number| T::try_from(number).ok()).unwrap_or_default()
    }

    /// A number, within its range.
    pub fn number(&self, key: &str) -> f64 {
        self.number_or_none(key).unwrap_or(f64::INFINITY)
    }

    /// A number, within its range; none where that is allowed and written.
    pub fn number_or_none(&self, key: &str) -> Option<f64> {
        self.value(key, units::number_within).flatten()
    }

    /// Whether it is set.
    pub fn flag(&self, key: &str) -> bool {
        self.value(key, |value, _| value.flag()).unwrap_or(false)
    }

    fn entry(&self, key: &str) -> Option<(&'a Spanned<DeValue<'a>>, Place)> {
        let (_, value) = self.table?.iter().find(|(name, _)| name.get_ref() == key)?;
        let span = value.span();
        Some((value, Place::File(span.start, span.len())))
    }

    /// The time, where what has expired is a mistake.
    pub const fn now(&self) -> Option<EventTime> {
        self.reader.now
    }

    /// Whether the section is in the file, or the environment sets a field of it.
    pub fn is_there(&self) -> bool {
        let begin = format!("{}__", variable(&self.path.join(".")));
        let mut names = self.reader.environment.keys();
        self.table.is_some() || names.any(|name| name.starts_with(&begin))
    }

    /// Reads a field, if it is there; a wrong value is noted and read as none.
    pub fn get<T>(
        &self,
        key: &str,
        read: impl FnOnce(Value<'a>) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        debug_assert!(self.is_described(key), "the table of settings lacks {}", self.path_of(key));
        self.taken.borrow_mut().insert(key.to_owned());
        let name = variable(&self.path_of(key));
        self.reader.used.borrow_mut().insert(name.clone());
        let (value, place) = match self.reader.environment.get(&name) {
            Some(text) => (Value::Environment(text), Place::Environment(name)),
            None => self.entry(key).map(|(value, place)| (Value::File(value.get_ref()), place))?,
        };
        let read = match value {
            Value::Environment(NO_UTF8) => {
                Err(InvalidValue::new("invalid UTF-8", "set it to text, or unset it"))
            }
            Value::Environment(_) | Value::File(_) => read(value),
        };
        match read {
            Ok(value) => Some(value),
            Err(InvalidValue(message, remedy)) => {
                let message = format!("`{}`: {message}", self.path_of(key));
                self.reader.report(place, InvalidValue(message, remedy));
                None
            }
        }
    }

    /// A table in this one; an empty one if it is not there.
    #[must_use]
    pub fn section(&self, key: &str) -> Section<'a> {
        self.taken.borrow_mut().insert(key.to_owned());
        let found = self.entry(key);
        let table = found.as_ref().and_then(|(value, _)| value.get_ref().as_table());
        if let (Some((_, place)), None) = (found, table) {
            let message = format!("`{}`: expected a table", self.path_of(key));
            self.reader.report(
                place,
                InvalidValue::new(message, format!("write [{}]", self.path_of(key))),
            );
        }
        Section { reader: self.reader, path: self.at(key), table, taken: RefCell::default() }
    }

    /// The names of all fields and tables in it that were not yet read: a table whose keys are
    /// the operator's own names.
    pub fn names(&self) -> Vec<String> {
        let taken = self.taken.borrow();
        let keys = self.table.into_iter().flatten().map(|(name, _)| name.get_ref().to_string());
        keys.filter(|key| !taken.contains(key)).collect()
    }

    /// Whether a field or table of that name is in the file.
    pub fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The names of all tables in it, and of those that only the environment sets: a table of
    /// tables with the operator's own names.
    pub fn names_of_tables(&self) -> Vec<String> {
        let begin = format!("{}__", variable(&self.path.join(".")));
        let mut names = self.names();
        for variable in self.reader.environment.keys() {
            let Some((name, _)) =
                variable.strip_prefix(&begin).and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name.to_lowercase());
            }
        }
        names
    }

    /// Notes a mistake of the section as a whole.
    pub fn report(&self, wrong: InvalidValue) {
        let InvalidValue(message, remedy) = wrong;
        let place = self.table.and_then(|table| table.iter().next()).map(|(key, _)| key.span());
        let place = place.map_or(Place::Missing, |span| Place::File(span.start, span.len()));
        self.reader
            .report(place, InvalidValue(format!("[{}]: {message}", self.path.join(".")), remedy));
    }

    /// Notes a mistake of the field or table of that name.
    pub fn report_at(&self, name: &str, wrong: InvalidValue) {
        let InvalidValue(message, remedy) = wrong;
        let mut keys = self.table.into_iter().flatten().map(|(key, _)| key);
        let place = keys.find(|key| key.get_ref() == name).map(Spanned::span);
        let place = place.map_or(Place::Missing, |span| Place::File(span.start, span.len()));
        self.reader
            .report(place, InvalidValue(format!("[{}]: {message}", self.path.join(".")), remedy));
    }

    /// Notes those of `keys` that are neither in the file nor in the environment.
    pub fn report_missing(&self, keys: &[&str]) {
        let environment = &self.reader.environment;
        for key in keys {
            let name = variable(&self.path_of(key));
            if self.entry(key).is_none() && !environment.contains_key(&name) {
                self.report(InvalidValue::new(
                    format!("`{key}` is missing"),
                    format!("add {key} = …"),
                ));
            }
        }
    }

    /// Notes a field or table that there is no setting for.
    pub fn unknown(&self, name: &str) {
        let Some((key, _)) = self.table.into_iter().flatten().find(|(k, _)| k.get_ref() == name)
        else {
            return;
        };
        let span = key.span();
        let message = format!("unknown setting `{}`", self.path_of(name));
        let remedy = near(name, self.taken.borrow().iter().map(String::as_str));
        self.reader.report(Place::File(span.start, span.len()), InvalidValue(message, remedy));
    }

    /// Notes every field and table that nothing has read.
    pub fn finish(self) {
        for name in self.names() {
            self.unknown(&name);
        }
    }
}

/// The variable of the environment that sets the field at `path`.
fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}
