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
    /// The class of endpoint: method, path without ids, and model.
    Endpoint,
}

impl Aspect {
    /// Every aspect.
    pub const ALL: [Self; 4] = [Self::Network, Self::Country, Self::Agent, Self::Endpoint];
}

/// Units of a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CostUnit {
    /// The operator's, LLM tokens say.
    #[default]
    Tokens,
    /// Millionths of a unit of money.
    MoneyMicros,
}

/// The cost of one request, up to 2^31 - 1 of its unit; 0: not said. Shape: 4 bytes, of which the highest bit
/// is the unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCost(u32);

impl RequestCost {
    const MONEY: u32 = 1 << 31;

    /// A cost of that amount, or the largest that there is.
    pub fn new(amount: u64, unit: CostUnit) -> Self {
        let amount = u32::try_from(amount).unwrap_or(u32::MAX).min(Self::MONEY - 1);
        let bit = if unit == CostUnit::MoneyMicros { Self::MONEY } else { 0 };
        Self(if amount == 0 { 0 } else { amount | bit })
    }

    /// How much.
    pub const fn amount(self) -> u32 {
        self.0 & !Self::MONEY
    }

    /// Of what.
    pub const fn unit(self) -> CostUnit {
        if self.0 & Self::MONEY == 0 { CostUnit::Tokens } else { CostUnit::MoneyMicros }
    }

    /// Both in one number, and back by [`Self::from_bits`].
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The cost of these bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// The features of an event. Each is a hash of 24 bits or more; 0: not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// By aspect, in the order of [`Aspect::ALL`].
    pub values: [u32; Aspect::ALL.len()],
    /// The /24 or /48 of the address, whatever its autonomous system.
    pub prefix: u32,
    /// The cost.
    pub cost: RequestCost,
}

impl Facts {
    /// The class of endpoint; 0: not said.
    pub const fn endpoint(&self) -> u32 {
        let [_, _, _, endpoint] = self.values;
        endpoint
    }
}
