//! Templates of store keys and commands: words with placeholders, `HSET apikey:{id} active 0`.
//!
//! A template is split into words before anything is put in, so a credential's id can never become
//! a further word: what an attacker chose stays data. A literal brace is written twice.

use crate::model::credential::Credential;
use crate::model::decision::Decision;

/// The placeholders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Kind,
    Id,
    Status,
    Generation,
    Reason,
    Finding,
    Decision,
    Tenant,
    Until,
    Expires,
}

/// All placeholders by name; `jti` is another name of `id`.
const PLACEHOLDERS: [(&str, Placeholder); 11] = [
    ("kind", Placeholder::Kind),
    ("id", Placeholder::Id),
    ("jti", Placeholder::Id),
    ("status", Placeholder::Status),
    ("generation", Placeholder::Generation),
    ("reason", Placeholder::Reason),
    ("finding", Placeholder::Finding),
    ("decision", Placeholder::Decision),
    ("tenant", Placeholder::Tenant),
    ("until", Placeholder::Until),
    ("expires", Placeholder::Expires),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    Placeholder(Placeholder),
}

/// A mistake in a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It has no word.
    #[error("it is empty")]
    Empty,
    /// A brace has no partner.
    #[error("a brace has no partner; a literal brace is written twice, {{{{ or }}}}")]
    LoneBrace,
    /// No such placeholder.
    #[error(
        "there is no placeholder {{{0}}}; there are kind, id, jti, status, generation, reason, \
         finding, decision, tenant, until and expires"
    )]
    UnknownPlaceholder(String),
}

/// One word with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<TemplatePart>);

impl Template {
    /// Reads one word.
    ///
    /// # Errors
    /// When it is empty, a brace has no partner, or a placeholder is unknown.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '{' | '}' if chars.peek() == Some(&char) => {
                    chars.next();
                    literal.push(char);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(char) => name.push(char),
                            None => return Err(TemplateError::LoneBrace),
                        }
                    }
                    let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
                    let (_, placeholder) =
                        known.ok_or(TemplateError::UnknownPlaceholder(name.clone()))?;
                    if !literal.is_empty() {
                        pieces.push(TemplatePart::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(TemplatePart::Placeholder(*placeholder));
                }
                '}' => return Err(TemplateError::LoneBrace),
                _ => literal.push(char),
            }
        }
        if !literal.is_empty() {
            pieces.push(TemplatePart::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// Fills in what `decision` says. `lifetime_default_s` is in for an unknown `expires`,
    /// counted from the decision. Unit: seconds.
    pub fn fill(&self, decision: &Decision, lifetime_default_s: i64) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                TemplatePart::Literal(literal) => text.push_str(literal),
                TemplatePart::Placeholder(which) => {
                    text.push_str(&value(*which, decision, lifetime_default_s));
                }
            }
        }
        text
    }

    /// Whether it reports credentials apart, and follows nothing but the credential.
    pub fn names_the_credential(&self) -> bool {
        let of_credential = |piece: &TemplatePart| {
            !matches!(piece, TemplatePart::Placeholder(which)
                if !matches!(which, Placeholder::Kind | Placeholder::Id))
        };
        self.0.contains(&TemplatePart::Placeholder(Placeholder::Id))
            && self.0.iter().all(of_credential)
    }

    /// The pattern of Redis that all fillings match.
    pub fn pattern(&self) -> String {
        let mut pattern = String::new();
        for piece in &self.0 {
            match piece {
                TemplatePart::Placeholder(_) => pattern.push('*'),
                TemplatePart::Literal(literal) => {
                    for char in literal.chars() {
                        if matches!(char, '*' | '?' | '[' | ']' | '^' | '\\') {
                            pattern.push('\\');
                        }
                        pattern.push(char);
                    }
                }
            }
        }
        pattern
    }

    /// Fills in a template that follows nothing but the credential, as a key does.
    pub fn of(&self, credential: &Credential) -> String {
        let text = |piece: &TemplatePart| match piece {
            TemplatePart::Literal(literal) => literal.clone(),
            TemplatePart::Placeholder(Placeholder::Kind) => credential.kind().as_str().to_owned(),
            TemplatePart::Placeholder(_) => credential.id().to_owned(),
        };
        self.0.iter().map(text).collect()
    }
}

fn value(which: Placeholder, decision: &Decision, lifetime_default_s: i64) -> String {
    let second = |ms: i64| ms.div_euclid(1000).to_string();
    match which {
        Placeholder::Kind => decision.credential.kind().as_str().to_owned(),
        Placeholder::Id => decision.credential.id().to_owned(),
        Placeholder::Status => {
            decision.order.status().map_or("active", |status| status.as_str()).to_owned()
        }
        Placeholder::Generation => decision.generation.0.to_string(),
        Placeholder::Reason => decision.reason.clone(),
        Placeholder::Finding => decision.finding.map_or(String::new(), |id| id.to_string()),
        Placeholder::Decision => decision.id.to_string(),
        Placeholder::Tenant => decision.tenant.as_deref().unwrap_or("").to_owned(),
        Placeholder::Until => decision.until.map_or(String::new(), |until| second(until.ms())),
        Placeholder::Expires => decision.expires.map_or_else(
            || second(decision.at.ms() + lifetime_default_s * 1000),
            |expires| second(expires.ms()),
        ),
    }
}

/// A command: words with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(Vec<Template>);

impl Command {
    /// Reads a command, split at white space.
    ///
    /// # Errors
    /// When it is empty or one of its words is no template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let words: Vec<_> =
            text.split_whitespace().map(Template::parse).collect::<Result<_, _>>()?;
        if words.is_empty() { Err(TemplateError::Empty) } else { Ok(Self(words)) }
    }

    /// Its words, filled in.
    pub fn fill(&self, decision: &Decision, lifetime_default_s: i64) -> Vec<String> {
        self.0.iter().map(|word| word.fill(decision, lifetime_default_s)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Template, TemplateError};

    #[test]
    fn braces_are_placeholders_unless_they_are_doubled() {
        assert!(Template::parse("tripline:{{{kind}:{id}}}").is_ok());
        assert_eq!(Template::parse("a{b"), Err(TemplateError::LoneBrace));
        assert_eq!(Template::parse("a}b"), Err(TemplateError::LoneBrace));
        assert_eq!(Template::parse(""), Err(TemplateError::Empty));
        let unknown = TemplateError::UnknownPlaceholder("key".to_owned());
        assert_eq!(Template::parse("{key}"), Err(unknown));
        assert_eq!(Command::parse("  "), Err(TemplateError::Empty));
    }
}
