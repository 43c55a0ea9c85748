//! Reports of scanners: gitleaks, `TruffleHog`, and a plain form of tripline's own.
//!
//! ```text
//! {"RuleID": …, "Secret": …, "File": …}              gitleaks, an array
//! {"DetectorName": …, "Raw": …, "SourceMetadata": …} TruffleHog, one a line or an array
//! {"token": …, "place": …, "type": …}                any other, one or an array
//! ```
//! Source: `report/finding.go` of gitleaks 8, `pkg/output/json.go` of `TruffleHog` 3. `GitGuardian`'s custom
//! webhook describes an incident without its secret, so it is refused with that reason.

use super::report::{Fields, LeakReport, ReportError, bounded};
use serde_json::{Map, Value};

/// In the place of a secret in a report of `gitleaks --redact`.
const REDACTED: &str = "REDACTED";

/// Reads a report of any known form.
///
/// # Errors
/// When it is of none, has too many entries, or holds no secrets.
pub fn parse(body: &[u8]) -> Result<Vec<LeakReport>, ReportError> {
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        let value = value.map_err(|_| ReportError::Form)?;
        if let Value::Array(elements) = value {
            found.extend(elements);
        } else {
            found.push(value);
        }
        found = bounded(found)?;
    }
    if body.trim_ascii().is_empty() {
        return Err(ReportError::Form);
    }
    found.iter().map(entry).collect()
}

fn entry(value: &Value) -> Result<LeakReport, ReportError> {
    let fields = Fields::of(value)?;
    if fields.get("Secret").is_some() && fields.get("RuleID").is_some() {
        gitleaks(fields)
    } else if fields.get("DetectorName").is_some() {
        trufflehog(fields)
    } else if fields.get("token").is_some() {
        let token = fields.text("token")?.to_owned();
        LeakReport::new(token, fields.text("place")?, fields.text("type")?, "report")
    } else if is_of_gitguardian(fields) {
        Err(ReportError::NoSecretSent)
    } else {
        Err(ReportError::Form)
    }
}

fn gitleaks(fields: Fields<'_>) -> Result<LeakReport, ReportError> {
    let secret = fields.text("Secret")?;
    if secret == REDACTED {
        return Err(ReportError::Redacted);
    }
    let place = match fields.text("Link")? {
        "" => place_in_file(fields.text("File")?, fields.get("StartLine"), fields.text("Commit")?),
        link => link.to_owned(),
    };
    LeakReport::new(secret.to_owned(), &place, fields.text("RuleID")?, "gitleaks")
}

fn trufflehog(fields: Fields<'_>) -> Result<LeakReport, ReportError> {
    let secret = match fields.text("Raw")? {
        "" => fields.text("RawV2")?,
        raw => raw,
    };
    // One member, named after the kind of source: Git, Github, Filesystem and so on.
    let data = fields.get("SourceMetadata").and_then(|metadata| metadata.get("Data"));
    let of_source = data.and_then(Value::as_object).and_then(|data| data.values().next());
    let place = of_source.and_then(|of_source| Fields::of(of_source).ok());
    let place = place.map_or(Ok(String::new()), |place| {
        Ok(match place.text("link")? {
            "" => place_in_file(place.text("file")?, place.get("line"), place.text("commit")?),
            link => link.to_owned(),
        })
    })?;
    LeakReport::new(secret.to_owned(), &place, fields.text("DetectorName")?, "trufflehog")
}

/// `file:line`, and the commit where there is one.
fn place_in_file(file: &str, line: Option<&Value>, commit: &str) -> String {
    let line = line.and_then(Value::as_u64).map_or(String::new(), |line| format!(":{line}"));
    let commit = if commit.is_empty() { String::new() } else { format!(" in {commit}") };
    format!("{file}{line}{commit}")
}

fn is_of_gitguardian(fields: Fields<'_>) -> bool {
    let has_link = |object: &Map<String, Value>| {
        object.contains_key("gitguardian_url") || object.contains_key("gitguardian_link")
    };
    let incident = fields.get("incident").and_then(Value::as_object);
    fields.text("source").is_ok_and(|source| source.eq_ignore_ascii_case("gitguardian"))
        || fields.get("gitguardian_link").is_some()
        || incident.is_some_and(has_link)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::formats::leaks::report::{LeakReport, ReportError};

    fn shown(report: &LeakReport) -> String {
        let place = report.place.as_deref().unwrap_or("");
        format!("{} {} {} at {place}", report.source, report.kind, report.exposed())
    }

    fn check(body: &str, expected: &[&str]) {
        let read = parse(body.as_bytes()).expect(body);
        assert_eq!(read.iter().map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_report_of_gitleaks_is_read() {
        check(
            r#"[{"RuleID":"acme","Description":"d","StartLine":7,"Match":"k = s1","Secret":"s1",
                 "File":"a/b.py","Commit":"","Entropy":3.1,"Tags":[],"Fingerprint":"a/b.py:acme:7"},
                {"RuleID":"acme","Secret":"s2","File":"c","Commit":"0a1b"}]"#,
            &["gitleaks acme s1 at a/b.py:7", "gitleaks acme s2 at c in 0a1b"],
        );
        check("[]", &[]);
    }

    #[test]
    fn a_report_of_trufflehog_is_read_a_line_at_a_time_or_as_an_array() {
        let line = r#"{"SourceMetadata":{"Data":{"Filesystem":{"file":"a.env","line":3}}},"SourceID":1,"DetectorType":17,"DetectorName":"Acme","Verified":false,"Raw":"s1","RawV2":"s1s2","Redacted":"","ExtraData":null}"#;
        let other = r#"{"SourceMetadata":{"Data":{"Github":{"link":"https://x/y#L3"}}},"DetectorName":"Acme","Raw":"","RawV2":"s2"}"#;
        let expected = ["trufflehog Acme s1 at a.env:3", "trufflehog Acme s2 at https://x/y#L3"];
        check(&format!("{line}\n{other}\n"), &expected);
        check(&format!("[{line},{other}]"), &expected);
        check(r#"{"DetectorName":"Acme","Raw":"s3"}"#, &["trufflehog Acme s3 at "]);
    }

    #[test]
    fn the_plain_form_is_read_alone_and_as_an_array() {
        check(r#"{"token":"s1","place":"a chat","type":"t"}"#, &["report t s1 at a chat"]);
        check(r#"[{"token":"s1"},{"token":"s2"}]"#, &["report  s1 at ", "report  s2 at "]);
    }

    #[test]
    fn a_report_without_its_secrets_is_refused_with_the_reason() {
        for (body, error) in [
            (r#"[{"RuleID":"a","Secret":"REDACTED"}]"#, ReportError::Redacted),
            (r#"{"source":"GitGuardian","action":"new_incident"}"#, ReportError::NoSecretSent),
            (r#"{"incident":{"gitguardian_url":"https://x"}}"#, ReportError::NoSecretSent),
            (r#"[{"token":""}]"#, ReportError::Secret),
            (r#"{"x":1}"#, ReportError::Form),
            ("7", ReportError::Form),
            ("", ReportError::Form),
            (r#"{"token":"s1"} PLANTED"#, ReportError::Form),
        ] {
            assert_eq!(parse(body.as_bytes()).err(), Some(error), "{body}");
        }
        let many = r#"{"token":"s"} "#.repeat(1_001);
        assert_eq!(parse(many.as_bytes()).err(), Some(ReportError::TooMany));
    }
}
