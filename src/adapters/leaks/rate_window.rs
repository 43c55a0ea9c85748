//! How many reports of holders are taken within a minute, in all and from each address.

use super::params::SelfServiceRates;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// The window. Unit: milliseconds.
const WINDOW_MS: i64 = 60_000;

/// The reports of the last minute: as many at most as are taken in all, from any address.
#[derive(Debug)]
pub struct RateWindow {
    rates: SelfServiceRates,
    taken: Mutex<VecDeque<(i64, IpAddr)>>,
}

impl RateWindow {
    /// A window in which nothing was taken yet.
    pub const fn new(rates: SelfServiceRates) -> Self {
        Self { rates, taken: Mutex::new(VecDeque::new()) }
    }

    /// Takes a report from `address` at `now_ms`, a time that never steps back.
    ///
    /// # Errors
    /// How long to wait until one may be taken.
    pub fn try_acquire(&self, address: IpAddr, now_ms: i64) -> Result<(), Duration> {
        let network = network(address);
        let mut taken = self.taken.lock();
        taken.retain(|(at, _)| now_ms.saturating_sub(*at) < WINDOW_MS);
        let of_network = taken.iter().filter(|(_, other)| *other == network);
        let oldest = if of_network.clone().count() >= self.rates.address_per_min {
            of_network.map(|(at, _)| *at).next()
        } else if taken.len() >= self.rates.all_per_min {
            taken.front().map(|(at, _)| *at)
        } else {
            taken.push_back((now_ms, network));
            return Ok(());
        };
        let wait_ms = oldest.map_or(WINDOW_MS, |at| at.saturating_add(WINDOW_MS) - now_ms);
        Err(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))
    }
}

/// The network that counts as one address: of IPv6 a /64, which one customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RateWindow, SelfServiceRates};
    use std::net::IpAddr;
    use std::time::Duration;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_address_and_all_of_them_have_a_rate() {
        let window = RateWindow::new(SelfServiceRates { all_per_min: 5, address_per_min: 2 });
        let take = |text: &str, at| window.try_acquire(address(text), at);
        assert_eq!(take("192.0.2.1", 0), Ok(()));
        assert_eq!(take("::ffff:192.0.2.1", 10_000), Ok(()));
        assert_eq!(take("192.0.2.1", 20_000), Err(Duration::from_secs(40)));
        assert_eq!(take("2001:db8::1", 20_000), Ok(()));
        assert_eq!(take("2001:db8::2", 20_000), Ok(()));
        assert!(take("2001:db8::3", 20_000).is_err(), "the same network");
        assert_eq!(take("2001:db8:0:1::1", 20_000), Ok(()));
        assert_eq!(take("192.0.2.2", 30_000), Err(Duration::from_secs(30)), "all are taken");
        assert_eq!(take("192.0.2.2", 60_000), Ok(()));
        assert!(window.taken.lock().len() <= 5);
    }
}
