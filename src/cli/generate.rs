//! `tripline generate`: what goes with tripline, from the binary itself.

use super::exit::Exit;
use super::output::{print_error, print_out};
use crate::adapters::metrics::registrar::MetricsError;
use crate::config::sections::catalog;
use crate::config::table::render;
use crate::daemon::metrics::Metrics;
use crate::formats::events::schema as event;
use clap::builder::PossibleValuesParser;
use clap::{Command, Subcommand};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The files that come with tripline.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// The configuration with every setting, its default and why, on standard output.
    Config,
    /// A JSON Schema of the configuration, for editors, or of an auth event, on standard output.
    Schema {
        /// Of what.
        #[arg(default_value = "config", value_parser = ["config", "event"])]
        of: String,
    },
    /// The mapping of a format of events, to start from, on standard output.
    Format {
        /// Its name.
        #[arg(value_parser = PossibleValuesParser::new(catalog::formats().iter().map(|it| it.name)))]
        name: String,
    },
    /// The scrape configuration for Prometheus, with rule files, on standard output.
    Prometheus,
    /// Recording rules and alerts for Prometheus.
    Alerts {
        /// The output folder.
        folder: PathBuf,
    },
    /// Dashboards for Grafana, and their provisioning.
    Grafana {
        /// The output folder.
        folder: PathBuf,
    },
    /// A hardened unit for systemd, and the settings that fit it.
    Systemd {
        /// The output folder.
        folder: PathBuf,
    },
    /// The manifests for Kubernetes, for kustomize.
    K8s {
        /// The output folder.
        folder: PathBuf,
    },
    /// The reference: settings, metrics, command line and API.
    Reference {
        /// The output folder.
        folder: PathBuf,
    },
    /// Shell completions, on standard output.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Man pages, one a command.
    Man {
        /// The output folder.
        folder: PathBuf,
    },
    /// The OpenAPI document of the API, on standard output.
    Openapi,
}

/// A file and what it holds.
type File = (&'static str, &'static str);

macro_rules! files {
    ($base:literal: $($name:literal)*) => {
        [$(($name, include_str!(concat!("../../", $base, "/", $name)))),*]
    };
}

const ALERTS: [File; 2] = files!("dashboards/rules": "recording.yml" "alerts.yml");
const GRAFANA: [File; 5] = files!("dashboards":
    "overview.json" "detection.json" "operations.json"
    "provisioning/dashboards.yml" "provisioning/datasource.yml");
const SYSTEMD: [File; 2] = files!("config/systemd": "tripline.service" "tripline.toml");
/// As they lie in the repository, since the boards are named from there.
const K8S: [File; 18] = files!(".":
    "config/k8s/base/kustomization.yaml" "config/k8s/base/networkpolicy.yaml"
    "config/k8s/base/poddisruptionbudget.yaml" "config/k8s/base/service.yaml"
    "config/k8s/base/serviceaccount.yaml" "config/k8s/base/statefulset.yaml"
    "config/k8s/base/tripline.toml" "config/k8s/kafka/autoscaler.yaml"
    "config/k8s/kafka/egress.yaml"
    "config/k8s/kafka/kustomization.yaml" "config/k8s/kafka/instances.yaml"
    "config/k8s/kafka/tripline.toml" "config/k8s/monitoring/kustomization.yaml"
    "config/k8s/monitoring/prometheusrule.yaml" "config/k8s/monitoring/servicemonitor.yaml"
    "dashboards/overview.json" "dashboards/detection.json" "dashboards/operations.json");

const PROMETHEUS: &str = "\
# Merge this into prometheus.yml. The rules are written by `tripline generate alerts rules`.
rule_files:
  - rules/*.yml
scrape_configs:
  - job_name: tripline
    scrape_interval: 15s
    static_configs:
      - targets: ['127.0.0.1:7878']   # each daemon; /metrics needs no token
";

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
enum GenerateError {
    #[error("can't write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} exists with other content: remove it, or name another folder", .0.display())]
    Differs(PathBuf),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// Writes it; `command` is the whole command line.
pub fn run(what: &Generate, mut command: Command) -> Exit {
    let written = match what {
        Generate::Config => print_generated(&render::toml()),
        Generate::Format { name } => {
            print_generated(catalog::format(name).map_or("", |format| format.text))
        }
        Generate::Schema { of } if of == "event" => print_generated(&event_schema()),
        Generate::Schema { .. } => print_generated(&schema()),
        Generate::Prometheus => print_generated(PROMETHEUS),
        Generate::Openapi => print_generated(&crate::adapters::http::router::open_api()),
        Generate::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut command, "tripline", &mut text);
            print_generated(&String::from_utf8_lossy(&text))
        }
        Generate::Alerts { folder } => write_all(folder, &ALERTS),
        Generate::Grafana { folder } => write_all(folder, &GRAFANA),
        Generate::Systemd { folder } => write_all(folder, &SYSTEMD),
        Generate::K8s { folder } => write_all(folder, &K8S),
        Generate::Reference { folder } => reference(folder, command),
        Generate::Man { folder } => {
            command.build();
            man_pages(folder, &command)
        }
    };
    match written {
        Ok(()) => Exit::Good,
        Err(error) => {
            print_error(&error);
            Exit::Findings
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as what writes files")]
fn print_generated(text: &str) -> Result<(), GenerateError> {
    print_out(text);
    Ok(())
}

fn write_all(folder: &Path, files: &[File]) -> Result<(), GenerateError> {
    files.iter().try_for_each(|(name, content)| write(&folder.join(name), content))
}

/// A page for a command and for each of its own.
fn man_pages(folder: &Path, command: &Command) -> Result<(), GenerateError> {
    let page = clap_mangen::Man::new(command.clone());
    let path = folder.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).map_err(|source| GenerateError::Write { path: path.clone(), source })?;
    write(&path, &String::from_utf8_lossy(&text))?;
    let own = command.get_subcommands().filter(|one| one.get_name() != "help");
    own.filter(|one| !one.is_hide_set()).try_for_each(|one| man_pages(folder, one))
}

/// Writes a file, unless something is there that someone may have changed; a link is not followed.
fn write(path: &Path, content: &str) -> Result<(), GenerateError> {
    let failed = |source| GenerateError::Write { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => {
            let same = std::fs::read(path).map_err(failed)? == content.as_bytes();
            return if same { Ok(()) } else { Err(GenerateError::Differs(path.to_owned())) };
        }
        Ok(_) => return Err(GenerateError::Differs(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    file.write_all(content.as_bytes()).map_err(failed)?;
    print_out(&path.display().to_string());
    Ok(())
}

fn reference(folder: &Path, command: Command) -> Result<(), GenerateError> {
    write(&folder.join("metrics.md"), &Metrics::reference()?)?;
    write(&folder.join("command-line.md"), &command_line(command))?;
    write(&folder.join("settings.md"), &render::markdown())?;
    write(&folder.join("settings.schema.json"), &format!("{}\n", schema()))?;
    write(&folder.join("event.schema.json"), &format!("{}\n", event_schema()))?;
    write(&folder.join("openapi.json"), &format!("{}\n", crate::adapters::http::router::open_api()))
}

fn schema() -> String {
    serde_json::to_string_pretty(&render::schema()).unwrap_or_default()
}

fn event_schema() -> String {
    serde_json::to_string_pretty(&event::json_schema()).unwrap_or_default()
}

/// The help of every command.
fn command_line(command: Command) -> String {
    let mut text =
        "# The command line\nWritten by `tripline generate reference`; `--help` says the \
                    same.\n"
            .to_owned();
    let mut command = command.term_width(100);
    command.build();
    help_of(&mut command, &mut text);
    text
}

fn help_of(command: &mut Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!("\n## {name}\n```text\n{}\n```\n", lines.join("\n").trim_end()));
    for one in command.get_subcommands_mut().filter(|one| one.get_name() != "help") {
        help_of(one, text);
    }
}
