//! `tripline notify`: whether receivers of notifications can be reached.

use super::exit::Exit;
use super::settings::Settings;
use super::{say, say_error, say_problem};
use crate::edge::clock;
use crate::edge::notify::Receiver;
use crate::edge::outgoing::Outgoing;
use crate::engine::notices::mailbox::Outcome;
use crate::engine::notices::{Known, Message, Stage};
use crate::wire::notify::test_finding;
use clap::Subcommand;
use std::path::PathBuf;
use std::sync::Arc;

/// What to do with receivers.
#[derive(Debug, Subcommand)]
pub enum Notify {
    /// Send each receiver a message that says it is a test, and its end. Needs no daemon. Exit code 1
    /// if one of them did not take it.
    Test {
        /// The configuration.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Only this one, `slack.NAME` say.
        receiver: Option<String>,
    },
}

/// Sends a test message to the receivers of `settings`, or to the one that is `named`.
pub fn test(settings: &Settings, named: Option<&str>) -> Exit {
    let wanted = |name: &str| named.is_none_or(|named| named == name);
    let outgoing = match Outgoing::new(&settings.outgoing) {
        Ok(outgoing) => outgoing,
        Err(error) => {
            say_error(&error);
            return Exit::Configuration;
        }
    };
    let chosen = settings.receivers.iter().filter(|params| wanted(&params.name));
    let opened = chosen.map(|params| Receiver::open(params.clone(), outgoing.clone()));
    let receivers: Vec<Receiver> = match opened.collect() {
        Ok(receivers) => receivers,
        Err(error) => {
            say_error(&error);
            return Exit::Configuration;
        }
    };
    if receivers.is_empty() {
        say_problem("there is no such receiver; set up [notify.slack.NAME] or another");
        return Exit::Configuration;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(test_all(&receivers)),
        Err(error) => {
            say_error(&error);
            Exit::Unavailable
        }
    }
}

async fn test_all(receivers: &[Receiver]) -> Exit {
    let mut exit = Exit::Good;
    for receiver in receivers {
        let outcome = test_one(receiver).await;
        let told = match outcome {
            Some(Outcome::Delivered) => "took it",
            Some(Outcome::Refused) => {
                "REFUSED it: check its address and its secret; the line above says why"
            }
            Some(Outcome::Later(_)) | None => {
                "could NOT be reached: check its address, the network and outgoing.networks"
            }
        };
        if outcome != Some(Outcome::Delivered) {
            exit = Exit::Findings;
        }
        say(&format!("{} {told}", receiver.name()));
    }
    exit
}

async fn test_one(receiver: &Receiver) -> Option<Outcome> {
    let now = clock::now();
    let finding = Arc::new(test_finding(now)?);
    let known = Known { told: finding.action, finding, decision: None };
    let opened = Message::finding(Stage::Opened, known.clone(), None, now);
    let outcome = receiver.deliver(&opened).await;
    if outcome != Outcome::Delivered {
        return Some(outcome);
    }
    Some(receiver.deliver(&Message::finding(Stage::Closed, known, None, clock::now())).await)
}
