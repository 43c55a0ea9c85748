//! Asks the other instances, side by side.

use super::signature::{Asked, FleetKey, SIGNATURE};
use crate::adapters::clock;
use crate::adapters::egress::{Egress, EgressError};
use crate::adapters::target::Target;
use crate::control_plane::roster::{KnownInstance, Roster};
use crate::model::decision::InstanceId;
use crate::model::registration::Registration;
use futures_util::future::join_all;
use parking_lot::RwLock;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use std::sync::Arc;

/// The roster, as the task that exchanges it keeps it.
pub type SharedRoster = Arc<RwLock<Arc<Roster>>>;

/// The answer of another instance, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerAnswer {
    /// The instance.
    pub instance: InstanceId,
    /// Its name.
    pub name: String,
    /// Its answer: a status, and JSON.
    pub answer: Result<(u16, Value), String>,
}

/// The way to the other instances.
#[derive(Clone, Debug)]
pub struct Peers {
    /// This instance.
    pub me: InstanceId,
    /// Its name.
    pub name: String,
    /// Where the others reach this one, `host:port`.
    pub authority: String,
    /// The key by which instances know each other.
    pub key: FleetKey,
    /// Makes the requests.
    pub egress: Egress,
    /// Those that are known.
    pub roster: SharedRoster,
}

impl Peers {
    /// Asks all others for `path`, with its query.
    pub async fn ask_all(&self, path: &str) -> Vec<PeerAnswer> {
        let others: Vec<KnownInstance> = self.roster.read().besides(self.me).cloned().collect();
        join_all(others.iter().map(|known| self.ask(known, path))).await
    }

    /// Asks one of them.
    pub async fn ask(&self, known: &KnownInstance, path: &str) -> PeerAnswer {
        let Registration { instance, name, .. } = known.registration.clone();
        if known.is_silent() {
            let silent_s = known.age_ms / 1000;
            return PeerAnswer { instance, name, answer: Err(format!("silent for {silent_s} s")) };
        }
        PeerAnswer { instance, name, answer: self.fetch(known, path).await }
    }

    async fn fetch(&self, known: &KnownInstance, path: &str) -> Result<(u16, Value), String> {
        let Some(url) = &known.registration.url else {
            return Err("it has no [fleet] url".to_owned());
        };
        let target = Target::parse(url).and_then(|target| target.join(path));
        let target = target.map_err(|_| "its [fleet] url is none".to_owned())?;
        let asked = Asked {
            instance: known.registration.instance,
            authority: &target.authority(),
            path: &target.path(),
        };
        let signature = self.key.sign(asked, clock::now());
        let mut headers = HeaderMap::new();
        let signature = HeaderValue::from_str(&signature).map_err(|error| error.to_string())?;
        headers.insert(SIGNATURE, signature);
        let answer = self.egress.get(&target, headers).await;
        let answer = answer.map_err(|error: EgressError| error.to_string())?;
        let body = serde_json::from_slice(&answer.body);
        Ok((
            answer.status,
            body.map_err(|_| format!("it answered {} without JSON", answer.status))?,
        ))
    }
}
