//! Labels: which credential was abused (or behaved oddly and honestly), from when to when. One
//! JSON object a line.

use super::fixture::Class;
use crate::formats::time::rfc3339;
use crate::model::credential::Kind;
use crate::model::time::EventTime;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// The label of one stretch of a credential's use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The credential's id.
    pub credential: String,
    /// Its kind.
    pub kind: Kind,
    /// Its name; labels of one name are scored together.
    pub label: String,
    /// Whether it ought to be found.
    pub class: Class,
    /// When it begins.
    pub start: EventTime,
    /// When it ends.
    pub end: EventTime,
}

#[derive(Serialize, Deserialize)]
struct Line {
    credential: String,
    #[serde(default)]
    kind: Option<String>,
    label: String,
    #[serde(default)]
    class: Option<String>,
    start: String,
    end: String,
}

impl Label {
    /// The label as a line.
    pub fn line(&self) -> String {
        let line = Line {
            credential: self.credential.clone(),
            kind: Some(self.kind.as_str().to_owned()),
            label: self.label.clone(),
            class: Some(self.class.as_str().to_owned()),
            start: self.start.to_string(),
            end: self.end.to_string(),
        };
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The label of a line; `kind` defaults to `api_key` and `class` to `attack`.
    pub fn parse(line: &str) -> Option<Self> {
        let line: Line = serde_json::from_str(line).ok()?;
        let class = match line.class.as_deref() {
            None | Some("attack") => Class::Attack,
            Some("control") => Class::Control,
            Some(_) => return None,
        };
        let kind = line.kind.map_or(Some(Kind::default()), |kind| Kind::parse(&kind))?;
        let (start, end) = (rfc3339(&line.start)?, rfc3339(&line.end)?);
        let (credential, label) = (line.credential, line.label);
        (start <= end).then_some(Self { credential, kind, label, class, start, end })
    }
}

/// Reads a file of labels.
///
/// # Errors
/// When it can't be read, or a line is no label.
pub fn read(path: &Path) -> io::Result<Vec<Label>> {
    let mut labels = Vec::new();
    for (index, line) in BufReader::new(File::open(path)?).lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let wrong = || {
            let needs = "needs credential, label, start and end (RFC 3339), start first";
            io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {needs}", index + 1))
        };
        labels.push(Label::parse(&line).ok_or_else(wrong)?);
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::Label;
    use crate::model::credential::Kind;
    use crate::model::time::EventTime;
    use crate::sim::fixture::Class;

    #[test]
    fn a_label_comes_back_from_its_line_and_little_is_required() {
        let label = Label {
            credential: "k".to_owned(),
            kind: Kind::Jwt,
            label: "step_x3".to_owned(),
            class: Class::Control,
            start: EventTime::from_s(1_736_121_600),
            end: EventTime::from_s(1_736_121_700),
        };
        assert_eq!(Label::parse(&label.line()), Some(label));
        let least = r#"{"credential":"k","label":"leak","start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"}"#;
        let least = Label::parse(least).expect("a label");
        assert_eq!((least.kind, least.class), (Kind::ApiKey, Class::Attack));
        assert_eq!(Label::parse(r#"{"credential":"k"}"#), None);
    }
}
