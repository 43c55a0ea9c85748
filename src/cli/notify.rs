//! `tripline notify`: whether receivers of notifications can be reached.

use super::exit::Exit;
use super::output::{print_error, print_out, print_problem};
use crate::adapters::clock;
use crate::adapters::egress::Egress;
use crate::adapters::notify::attempt::Attempt;
use crate::adapters::notify::receiver::Receiver;
use crate::config::settings::Settings;
use crate::control_plane::notifications::notice::{Message, NotifiedFinding, Stage};
use crate::formats::outbound::notification::test_finding;
use crate::model::finding::Finding;
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Actions on receivers.
#[derive(Debug, Subcommand)]
pub enum Notify {
    /// Send each receiver a test message, and its end. Needs no daemon. Exit code 1 if a receiver
    /// did not accept it.
    Test {
        /// The configuration.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Only this receiver, for example `slack.NAME`.
        receiver: Option<String>,
    },
}

/// Sends a test message to the receivers of `settings`, which are in the file `config`, or to the
/// one that is `named`.
pub fn test(settings: &Settings, config: Option<&Path>, named: Option<&str>) -> Exit {
    let wanted = |name: &str| named.is_none_or(|named| named == name);
    if !settings.receivers.iter().any(|params| wanted(&params.name)) {
        let names: Vec<&str> = settings.receivers.iter().map(|one| one.name.as_str()).collect();
        print_problem(&nobody(&names, config, named));
        return Exit::Configuration;
    }
    let egress = match Egress::new(&settings.egress) {
        Ok(egress) => egress,
        Err(error) => {
            print_error(&error);
            return Exit::Configuration;
        }
    };
    let chosen = settings.receivers.iter().filter(|params| wanted(&params.name));
    let opened = chosen.map(|params| Receiver::open(params.clone(), egress.clone()));
    let receivers: Vec<Receiver> = match opened.collect() {
        Ok(receivers) => receivers,
        Err(error) => {
            print_error(&error);
            return Exit::Configuration;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(test_all(&receivers)),
        Err(error) => {
            print_error(&error);
            Exit::Unavailable
        }
    }
}

/// Why no one can be tried.
fn nobody(names: &[&str], config: Option<&Path>, named: Option<&str>) -> String {
    match (named, config) {
        (Some(named), _) if !names.is_empty() => {
            format!("unknown receiver {named}; configured are: {}", names.join(", "))
        }
        (_, Some(config)) => format!(
            "no receiver is configured in {}; add [notify.slack.NAME] or another",
            config.display()
        ),
        (_, None) => "no receiver is configured; name the configuration: --config FILE".to_owned(),
    }
}

async fn test_all(receivers: &[Receiver]) -> Exit {
    let mut exit = Exit::Good;
    for receiver in receivers {
        let attempt = test_one(receiver).await;
        if attempt != Some(Attempt::Delivered) {
            exit = Exit::Findings;
        }
        print_out(&format!("{} {}", receiver.name(), told(attempt)));
    }
    exit
}

/// The outcome of an attempt, and what to do.
fn told(attempt: Option<Attempt>) -> String {
    match attempt {
        Some(Attempt::Delivered) => "took it".to_owned(),
        Some(Attempt::Refused(why)) => {
            format!("REJECTED it: {why}; check its address and its secret")
        }
        Some(Attempt::NotAsked(why)) => format!("was NOT contacted: {why}"),
        Some(Attempt::NotNow(status, _)) => {
            format!("did NOT accept it now: answered {status}; `tripline run` would retry")
        }
        Some(Attempt::Unanswered(why)) => {
            format!("could NOT be reached: {why}; check its address and the network")
        }
        None => "was NOT contacted: there is no test message".to_owned(),
    }
}

async fn test_one(receiver: &Receiver) -> Option<Attempt> {
    let now = clock::now();
    let finding = test_finding(now)?;
    let message = |stage, finding: Finding, at| {
        let known =
            NotifiedFinding { told: finding.action, finding: Arc::new(finding), decision: None };
        Message::finding(stage, known, None, at)
    };
    let attempt = receiver.attempt(&message(Stage::Opened, finding.clone(), now)).await;
    if attempt != Attempt::Delivered {
        return Some(attempt);
    }
    let over = clock::now();
    let closed = Finding { updated: over, closed: Some(over), ..finding };
    Some(receiver.attempt(&message(Stage::Closed, closed, over)).await)
}
