//! Faults of Redis that keep decisions from it.

use crate::model::credential::Credential;
use ::redis::RedisError;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Keys with a fault that are named at most. Chosen: as many as a person mends at a time.
const NAMED_MAX: usize = 100;

/// Faults that Redis reported last.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// About all that it is asked.
    pub(super) server: Mutex<Option<String>>,
    /// About the key of one credential.
    keys: Mutex<BTreeMap<Credential, String>>,
}

impl Faults {
    /// The fault in words; none if all is well.
    pub(super) fn describe(&self) -> Option<String> {
        if let Some(server) = self.server.lock().clone() {
            return Some(server);
        }
        let keys = self.keys.lock();
        let (credential, error) = keys.first_key_value()?;
        let others = match keys.len() {
            1 => String::new(),
            many => format!(", and {} more", many - 1),
        };
        Some(format!("the key of {credential} can't be read ({error}){others}"))
    }

    /// Records what is wrong with the key of a credential, or that nothing is.
    pub(super) fn record(&self, credential: &Credential, fault: Option<&RedisError>) {
        let mut keys = self.keys.lock();
        let Some(error) = fault else {
            keys.remove(credential);
            return;
        };
        if keys.len() < NAMED_MAX && keys.insert(credential.clone(), error.to_string()).is_none() {
            tracing::error!(
                %credential, %error,
                "Redis can't read the key of this credential: remove it, and tripline writes it \
                 again"
            );
        }
    }
}
