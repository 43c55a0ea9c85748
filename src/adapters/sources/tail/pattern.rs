//! Which files a source follows.

use regex::Regex;
use std::path::{Path, PathBuf};

/// Files of one folder by name, in which `*` stands for any text.
#[derive(Clone, Debug)]
pub struct PathPattern {
    folder: PathBuf,
    /// As it is written.
    text: String,
    name: Regex,
}

/// Why a text is no pattern of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It names no file.
    #[error("it names no file")]
    NoFile,
    /// An asterisk stands for a folder.
    #[error("`*` stands for a part of the file's name, not of a folder's")]
    InFolder,
}

impl PathPattern {
    /// Reads a pattern, `/var/log/nginx/*.log` say.
    ///
    /// # Errors
    /// When it names no file, or has an asterisk in a folder.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (folder, name) = text.rsplit_once('/').unwrap_or((".", text));
        if matches!(name, "" | "." | "..") {
            return Err(PatternError::NoFile);
        }
        if folder.contains('*') {
            return Err(PatternError::InFolder);
        }
        let parts: Vec<String> = name.split('*').map(regex::escape).collect();
        let name = Regex::new(&format!("(?s)^{}$", parts.join(".*")));
        let folder = if folder.is_empty() { "/" } else { folder };
        let name = name.map_err(|_| PatternError::NoFile)?;
        Ok(Self { folder: PathBuf::from(folder), text: text.to_owned(), name })
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a file of that folder belongs to it.
    pub fn has(&self, name: &str) -> bool {
        self.name.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::{PathPattern, PatternError};

    #[test]
    fn an_asterisk_stands_for_any_part_of_a_name() {
        let pattern = PathPattern::parse("/var/log/access*.log").expect("a pattern");
        assert_eq!(pattern.folder().to_str(), Some("/var/log"));
        for name in ["access.log", "access-2.log", "access.log.log"] {
            assert!(pattern.has(name), "{name}");
        }
        for name in ["access.log.1", "my-access.log", "accessxlog", "access.log\n"] {
            assert!(!pattern.has(name), "{name}");
        }
        assert!(PathPattern::parse("a.log").expect("a pattern").has("a.log"));
        assert_eq!(PathPattern::parse("/a.log").expect("a pattern").folder().to_str(), Some("/"));
    }

    #[test]
    fn a_folder_and_an_asterisk_in_one_are_refused() {
        assert_eq!(PathPattern::parse("/var/log/").err(), Some(PatternError::NoFile));
        assert_eq!(PathPattern::parse("/var/*/a.log").err(), Some(PatternError::InFolder));
    }
}
