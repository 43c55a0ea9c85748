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
    let raw_secrets = matches!(settings.decoder, Decoder::RawSecrets(_));
    let decoder = match (format, settings.decoder.inner()) {
        (None, _) | (Some(Format::Mapping), Decoder::Mapping(_)) => return Ok(()),
        (Some(Format::Mapping), _) => {
            super::say_problem(
                "--format mapping needs a configuration with [intake] format = \"mapping\" and [intake.mapping]",
            );
            return Err(Exit::Usage);
        }
        (Some(Format::Native), _) => Decoder::Native,
        (Some(Format::CloudTrail), _) => Decoder::CloudTrail,
        (Some(Format::AccessLog), _) => Decoder::AccessLog(settings.access_log),
    };
    settings.decoder = decoder.of_raw_secrets(raw_secrets);
    Ok(())
}
