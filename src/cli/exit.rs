//! Exit codes.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well. 0.
    Good,
    /// There were findings, or it failed. 1.
    Findings,
    /// The command line makes no sense. 64, `EX_USAGE` of sysexits.h.
    Usage,
    /// Something it needs can't be reached. 69, `EX_UNAVAILABLE`.
    Unavailable,
    /// The configuration has mistakes. 78, `EX_CONFIG`.
    Configuration,
}

impl Exit {
    /// Its number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Findings => 1,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
