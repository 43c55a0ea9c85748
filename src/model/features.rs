//! Who, from where, to what: what one event says about the circumstances, as hashes.

/// One aspect of the circumstances of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Aspect {
    /// The network: the autonomous system where it is known, else the /24 or /48.
    Network,
    /// The country.
    Country,
    /// The family of the user agent: its text without versions.
    Agent,
    /// The class of endpoint: method and path without ids.
    Endpoint,
}

impl Aspect {
    /// Every aspect.
    pub const ALL: [Self; 4] = [Self::Network, Self::Country, Self::Agent, Self::Endpoint];
}

/// The features of an event. Each is a hash of 24 bits or more; 0: not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// By aspect, in the order of [`Aspect::ALL`].
    pub values: [u32; Aspect::ALL.len()],
    /// The /24 or /48 of the address, whatever its autonomous system.
    pub prefix: u32,
    /// The cost. Unit: the operator's, LLM tokens say; 0: not said.
    pub tokens: u32,
}

impl Facts {
    /// The class of endpoint; 0: not said.
    pub const fn endpoint(&self) -> u32 {
        let [_, _, _, endpoint] = self.values;
        endpoint
    }
}
