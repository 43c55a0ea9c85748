//! The Unix socket: who may open it may operate, and is known by their user id.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// Where the socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Its path; none: there is no socket. Default: `tripline.sock` in the data folder.
    pub path: Option<PathBuf>,
    /// Permissions of the socket's file. Default: 0600, the user of the daemon.
    pub mode: u32,
}

/// The peer of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// `uid:1000`.
    pub(super) account: String,
}

impl Peer {
    /// The user at the other end of a connection.
    pub(super) fn of(stream: &UnixStream) -> Self {
        // A peer that is unknown has an account of its own.
        let account = stream
            .peer_cred()
            .map_or_else(|_| "uid:unknown".to_owned(), |cred| format!("uid:{}", cred.uid()));
        Self { account }
    }
}

/// Binds the socket; takes the place of one that a daemon left behind.
///
/// # Errors
/// When something else is at that path, or it can't be bound. Must be called within a tokio
/// runtime.
pub fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                let message = "another tripline listens there; stop that one first";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "this is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // No one may open it before its permissions are set: they are set on a name of its own.
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    if let Err(error) = std::fs::remove_file(&part)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&part)?;
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&part, path)?;
    Ok(listener)
}
