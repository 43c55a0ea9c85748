//! The tenants that a partition tells apart, by number.

use compact_str::CompactString;
use hashbrown::HashMap;

/// How many a partition tells apart; credentials of further ones have none. It bounds what made-up
/// tenants can cost.
const TENANTS_MAX: u16 = u16::MAX;

/// The number of no tenant.
pub const NO_TENANT: u16 = u16::MAX;

/// The tenants, numbered in the order in which they were first seen.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    names: Vec<CompactString>,
    numbers: HashMap<CompactString, u16>,
}

impl Tenants {
    /// The number of that tenant, now or from now on.
    pub fn number_of(&mut self, tenant: &str) -> u16 {
        if let Some(number) = self.numbers.get(tenant) {
            return *number;
        }
        let number = u16::try_from(self.names.len()).unwrap_or(TENANTS_MAX);
        if number < TENANTS_MAX {
            self.names.push(CompactString::new(tenant));
            self.numbers.insert(CompactString::new(tenant), number);
        }
        number
    }

    /// The tenant of that number.
    pub fn name(&self, number: u16) -> Option<&CompactString> {
        self.names.get(usize::from(number))
    }
}
