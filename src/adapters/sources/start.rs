//! Where reading begins in a partition or a file of which nothing is known.

/// Where reading begins in a partition that is new to the group, or in a new file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is there.
    #[default]
    Earliest,
    /// With what comes from now on.
    Latest,
}

impl Start {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Earliest, Self::Latest];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
        }
    }
}
