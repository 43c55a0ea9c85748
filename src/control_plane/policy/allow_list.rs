//! The allow list: credentials and tenants that never get more than an alert (invariant S-6).

use crate::model::credential::Credential;
use crate::model::time::EventTime;
use hashbrown::HashMap;

/// Why something is on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The responsible person.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends; none for good.
    pub expires: Option<EventTime>,
}

impl Entry {
    fn holds(&self, now: EventTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// The credentials and tenants that never get more than an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// By credential, `kind:id`.
    pub credentials: HashMap<String, Entry>,
    /// By tenant.
    pub tenants: HashMap<String, Entry>,
}

impl AllowList {
    /// Whether an entry for the credential or its tenant holds at `now`.
    pub fn holds(&self, credential: &Credential, tenant: Option<&str>, now: EventTime) -> bool {
        let by_tenant = tenant.and_then(|tenant| self.tenants.get(tenant));
        by_tenant.is_some_and(|entry| entry.holds(now))
            || (!self.credentials.is_empty()
                && self
                    .credentials
                    .get(&credential.to_string())
                    .is_some_and(|entry| entry.holds(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::{AllowList, Entry};
    use crate::model::credential::Credential;
    use crate::model::time::EventTime;

    #[test]
    fn an_entry_holds_until_it_expires() {
        let mut list = AllowList::default();
        let entry = Entry {
            owner: "sre".to_owned(),
            reason: "load test".to_owned(),
            expires: Some(EventTime::from_ms(1000)),
        };
        list.credentials.insert("api_key:k".to_owned(), entry.clone());
        list.tenants.insert("acme".to_owned(), entry);
        let (k, other) = (Credential::parse("k"), Credential::parse("other"));
        let (k, other) = (k.expect("valid"), other.expect("valid"));
        assert!(list.holds(&k, None, EventTime::from_ms(999)));
        assert!(!list.holds(&k, None, EventTime::from_ms(1000)));
        assert!(list.holds(&other, Some("acme"), EventTime::from_ms(0)));
        assert!(!list.holds(&other, Some("bloom"), EventTime::from_ms(0)));
    }
}
