//! `--format`: how records of files are read.

use super::exit::Exit;
use crate::config::settings::Settings;
use crate::formats::events::decoder;
use clap::ValueEnum;

/// How records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// tripline's own format: one JSON object a line.
    Native,
    /// AWS CloudTrail.
    #[value(name = "cloudtrail")]
    CloudTrail,
    /// Access logs in the common or the combined format.
    AccessLog,
    /// Your own JSON, mapped by the configuration.
    Mapping,
}

/// The most severe action that the events of each source can lead to, a line each.
pub(crate) fn consequences(settings: &Settings) -> String {
    let severe = settings.control.modes.most_severe();
    let line = |source: &str, section: &str, format: &decoder::Format| {
        let name = format.as_str();
        match format.counts() {
            Some(counted) => format!(
                "  {source} ({name}): a request {counted} counts; by mode, that leads to {severe} \
                 at most\n"
            ),
            None => format!(
                "  {source} ({name}): no request counts, so its events lead to alerts at most; \
                 say in [{section}.{name}] which do, as verified = \"2xx\"\n"
            ),
        }
    };
    let mut text = line("HTTP and files", "source", &settings.decoder.format);
    if let Some(kafka) = &settings.kafka {
        text.push_str(&line("Kafka", "kafka", &kafka.decoder.format));
    }
    text.trim_end().to_owned()
}

/// Takes the format of the command line into the settings.
///
/// # Errors
/// The exit code, once it has been said why it can't be.
pub(crate) fn set(format: Option<Format>, settings: &mut Settings) -> Result<(), Exit> {
    let kept = &mut settings.decoder.format;
    match (format, &*kept) {
        (None, _) | (Some(Format::Mapping), decoder::Format::Mapping(_)) => {}
        (Some(Format::Mapping), _) => {
            super::output::print_problem(
                "--format mapping needs a configuration with [source] format = \"mapping\" and [source.mapping]",
            );
            return Err(Exit::Usage);
        }
        (Some(Format::Native), _) => *kept = decoder::Format::Native,
        (Some(Format::CloudTrail), _) => *kept = decoder::Format::CloudTrail,
        (Some(Format::AccessLog), _) => *kept = decoder::Format::AccessLog(settings.access_log),
    }
    Ok(())
}
