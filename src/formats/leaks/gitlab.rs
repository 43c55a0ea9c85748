//! GitLab's Token Revocation API: the types of tokens that can be revoked, and tokens to revoke.
//!
//! Source: GitLab Docs, "Token Revocation API". It answers 204 when all tokens were accepted, 400 for a body
//! that must not be sent again, 429 for one that may.

use super::report::{Fields, LeakReport, ReportError, elements};
use serde::Serialize;
use utoipa::ToSchema;

/// The answer of `GET /v1/revocable_token_types`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RevocableTypes {
    /// The types, as GitLab's analyzer names them.
    pub types: Vec<String>,
}

/// Reads the body of `POST /v1/revoke_tokens`; all of its types must be among `types`.
///
/// # Errors
/// When it is no array of tokens, or names another type.
pub fn parse(body: &[u8], types: &[String]) -> Result<Vec<LeakReport>, ReportError> {
    let read = |element: &serde_json::Value| {
        let fields = Fields::of(element)?;
        let kind = fields.text("type")?;
        if !types.iter().any(|known| known == kind) {
            return Err(ReportError::UnknownType);
        }
        // Older versions named the place so.
        let place = match fields.text("location")? {
            "" => fields.text("url")?,
            place => place,
        };
        LeakReport::new(fields.text("token")?.to_owned(), place, kind, "gitlab")
    };
    elements(body)?.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::formats::leaks::report::ReportError;

    #[test]
    fn tokens_of_announced_types_are_read_and_no_others() {
        let types = ["gitleaks_rule_id_acme".to_owned()];
        let body = |kind: &str| {
            format!(
                r#"[{{"type":"{kind}","token":"t1","location":"https://x/a"}},
                    {{"type":"{kind}","token":"t2","url":"https://x/b"}}]"#
            )
        };
        let read = parse(body("gitleaks_rule_id_acme").as_bytes(), &types).expect("tokens");
        let places: Vec<_> = read.iter().filter_map(|report| report.place.as_deref()).collect();
        assert_eq!(places, ["https://x/a", "https://x/b"]);
        assert_eq!(parse(body("aws").as_bytes(), &types).err(), Some(ReportError::UnknownType));
        assert_eq!(parse(b"{}", &types).err(), Some(ReportError::Form));
    }
}
