//! `SQLite` files of the data folder: which of them can be used, and what happens to one that can't.

use crate::adapters::clock;
use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};

/// Returns the version of a file's layout; 0: it is new.
///
/// # Errors
/// When a newer tripline wrote it, which is left as it is; or what `SQLite` says.
pub fn version_up_to(known: i64, connection: &Connection) -> rusqlite::Result<i64> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > known {
        let message = format!(
            "it is of version {version}, and this tripline knows {known}: use the tripline that wrote \
             it, or move the file away"
        );
        return Err(rusqlite::Error::ToSqlConversionFailure(message.into()));
    }
    Ok(version)
}

/// Whether the file at `path` isn't what was written, so that another try changes nothing.
pub fn is_damaged(path: &Path, error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{InvalidColumnType, QueryReturnedNoRows};
    // `Unknown` is the plain SQL error: a table or a column is missing.
    let code = error.sqlite_error_code();
    path.is_dir()
        || matches!(error, QueryReturnedNoRows | InvalidColumnType(..))
        || matches!(
            code,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
        )
}

/// Moves a file and its companions aside, as `NAME.damaged-MILLISECONDS`; returns the new name.
///
/// # Errors
/// When the file can't be moved.
pub fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let with = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = with(&format!(".damaged-{}", clock::now().ms()));
    std::fs::rename(path, &aside)?;
    for ending in ["-wal", "-shm"] {
        let mut name = aside.as_os_str().to_owned();
        name.push(ending);
        // There may be none.
        let _gone = std::fs::rename(with(ending), name);
    }
    Ok(aside)
}
