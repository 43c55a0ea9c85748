//! `--format`: how records of files are read.

use super::exit::Exit;
use super::settings::Settings;
use crate::wire::decoder::Decoder;
use clap::ValueEnum;

/// How records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// The contract: one JSON object a line.
    Native,
    /// AWS CloudTrail.
    #[value(name = "cloudtrail")]
    CloudTrail,
    /// Access logs in the common or the combined format.
    AccessLog,
    /// The operator's own JSON, by the configuration.
    Mapping,
}

/// Takes the format of the command line into the settings.
///
/// # Errors
/// The exit code, once it has been said why it can't be.
pub(super) fn set(format: Option<Format>, settings: &mut Settings) -> Result<(), Exit> {
    match (format, &settings.decoder) {
        (None, _) | (Some(Format::Mapping), Decoder::Mapping(_)) => {}
        (Some(Format::Mapping), _) => {
            super::say_problem(
                "--format mapping needs a configuration with [intake] format = \"mapping\" and [intake.mapping]",
            );
            return Err(Exit::Usage);
        }
        (Some(Format::Native), _) => settings.decoder = Decoder::Native,
        (Some(Format::CloudTrail), _) => settings.decoder = Decoder::CloudTrail,
        (Some(Format::AccessLog), _) => settings.decoder = Decoder::AccessLog(settings.access_log),
    }
    Ok(())
}
