//! The open connections of a listener, and which of them makes room for a new one.
//!
//! A stranger can open connections, so their number is bounded, over all and for each network of
//! peers. At a bound the new connection is not refused while there is one without a whole request
//! under way: first those that never sent one make room, then those whose next head takes long, then
//! the one that was silent for longest. So thousands of idle connections, or heads that trickle,
//! keep no one else out, and one network of peers never uses up the bound of all.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long the head of a request may take from its first byte on, that of the first request from the
/// connection on. Unit: milliseconds. Chosen: a gateway sends at once.
const HEAD_MS_MAX: u64 = 10_000;
/// How long a connection may be silent. Unit: milliseconds. Chosen: longer than gateways keep an
/// idle connection (nginx 60 s, Traefik 90 s, Caddy 120 s), so that it is they who close it.
pub const IDLE_MS_MAX: u64 = 150_000;
/// How long a head may take before its connection makes room before those that are idle. Unit:
/// milliseconds. Chosen.
const HEAD_MS: u64 = 1_000;
/// Stands for no head that has begun.
const NONE: u64 = u64::MAX;
/// Connections that may be open for a moment beyond the bound, as those that make room end.
const SLACK: usize = 64;

/// How many networks are asked for room, those that take most first. Chosen: one of them has an idle
/// connection, unless thousands are busy.
const ASKED_MAX: usize = 8;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Over all peers.
    pub all: usize,
    /// For each network of peers: an IPv4 address, or a /64 of IPv6.
    pub of_network: usize,
}

/// Files that are open besides connections over TCP: the journal, stores, Kafka, the Unix socket with
/// [`Bounds::of_socket`], and what a backup or a rotation opens. Chosen.
const OTHER_FILES: u64 = 320;
/// More connections than that are no gateways. Chosen.
const ALL_MAX: u64 = 8_192;
/// Fewer would be no service, whatever the limit of files. Chosen.
const ALL_MIN: u64 = 32;

impl Bounds {
    /// Of the TCP listener of a process that may have `files` open: some are left for the rest, and
    /// one network of peers gets half.
    pub fn of_tcp(files: u64) -> Self {
        let all = files.saturating_sub(OTHER_FILES).clamp(ALL_MIN, ALL_MAX);
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        Self { all, of_network: all / 2 }
    }

    /// Of the Unix socket, which has a place of its own.
    pub const fn of_socket() -> Self {
        Self { all: 64, of_network: 64 }
    }
}

/// Why a connection was closed before its peer closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It was silent for too long, or sent no request.
    Idle,
    /// It made room for another one.
    Displaced,
    /// There was no room for it.
    NoRoom,
}

impl Closed {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Displaced, Self::NoRoom];

    /// Its name as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Displaced => "displaced",
            Self::NoRoom => "no_room",
        }
    }
}

/// A connection's activity. Times are in milliseconds of a clock that never steps.
#[derive(Debug)]
pub struct Activity {
    number: u64,
    opened_ms: u64,
    moved_ms: AtomicU64,
    /// When the first byte of the next head came.
    head_ms: AtomicU64,
    has_asked: AtomicBool,
    under_way: AtomicUsize,
    /// Whether its last answer is a stream, which goes on.
    streams: AtomicBool,
    closing: CancellationToken,
}

impl Activity {
    /// Bytes moved.
    pub fn moved(&self, now_ms: u64) {
        self.moved_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Bytes came. Those that come while no request is under way are the head of the next one.
    pub fn received(&self, now_ms: u64) {
        self.moved(now_ms);
        if self.is_idle() {
            let (set, read) = (Ordering::Relaxed, Ordering::Relaxed);
            // One that has begun goes on.
            let _begun = self.head_ms.compare_exchange(NONE, now_ms, set, read);
        }
    }

    /// A request is there: the connection is busy as long as what this gives lives.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.has_asked.store(true, Ordering::Relaxed);
        self.streams.store(false, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.head_ms.store(NONE, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Its answer is a stream: the connection is busy until the next request.
    pub fn stream(&self) {
        self.streams.store(true, Ordering::Relaxed);
    }

    /// Comes to its end once the connection is to be closed at once.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    fn silent_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.moved_ms.load(Ordering::Relaxed))
    }

    /// Whether no whole request is under way.
    fn is_idle(&self) -> bool {
        !self.streams.load(Ordering::Relaxed) && self.under_way.load(Ordering::Relaxed) == 0
    }

    /// For how long the next head has been coming.
    fn head_takes_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.head_ms.load(Ordering::Relaxed))
    }

    /// Which of those that are idle make room first: the least.
    fn rank(&self, now_ms: u64) -> (bool, bool, u64, u64) {
        let has_asked = self.has_asked.load(Ordering::Relaxed);
        let is_quick = self.head_takes_ms(now_ms) < HEAD_MS;
        (has_asked, is_quick, self.moved_ms.load(Ordering::Relaxed), self.number)
    }

    fn is_over(&self, now_ms: u64) -> bool {
        let waits_ms = now_ms.saturating_sub(self.opened_ms);
        let has_asked = self.has_asked.load(Ordering::Relaxed);
        (!has_asked && waits_ms >= HEAD_MS_MAX)
            || self.head_takes_ms(now_ms) >= HEAD_MS_MAX
            || self.silent_ms(now_ms) >= IDLE_MS_MAX
    }
}

/// A request that is under way on a connection.
#[derive(Debug)]
pub struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The open connections of a listener.
#[derive(Debug)]
pub struct Connections {
    bounds: Bounds,
    open: Mutex<Open>,
    /// A permit for each connection that is open, those that are being closed included.
    sockets: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    count: usize,
    by_network: BTreeMap<IpAddr, Vec<Arc<Activity>>>,
}

/// The place of a connection among the others, until it is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    among: Arc<Connections>,
    network: IpAddr,
    activity: Arc<Activity>,
    _socket: OwnedSemaphorePermit,
}

impl ConnectionSlot {
    /// The activity of its connection.
    pub const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.among.open.lock().remove(self.network, self.activity.number);
    }
}

impl Open {
    fn remove(&mut self, network: IpAddr, number: u64) {
        let Some(all) = self.by_network.get_mut(&network) else { return };
        let before = all.len();
        all.retain(|one| one.number != number);
        self.count -= before - all.len();
        if all.is_empty() {
            self.by_network.remove(&network);
        }
    }

    /// The networks that take most, first: they give before others do.
    fn largest(&self) -> Vec<IpAddr> {
        let mut all: Vec<_> = self.by_network.iter().map(|(of, all)| (all.len(), *of)).collect();
        all.sort_unstable_by_key(|(taken, _)| std::cmp::Reverse(*taken));
        all.truncate(ASKED_MAX);
        all.into_iter().map(|(_, network)| network).collect()
    }

    /// Lets an idle connection of that network make room; says whether there was one.
    fn displace(&mut self, network: IpAddr, now_ms: u64) -> bool {
        let all = self.by_network.get(&network).into_iter().flatten();
        let idle = all.filter(|one| one.is_idle());
        let Some(found) = idle.min_by_key(|one| one.rank(now_ms)).map(Arc::clone) else {
            return false;
        };
        found.closing.cancel();
        self.remove(network, found.number);
        true
    }
}

/// The network of a peer: one who has an IPv6 address has all of its /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

impl Connections {
    /// None yet.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        let sockets = Arc::new(Semaphore::new(bounds.all + SLACK));
        Arc::new(Self { bounds, open: Mutex::default(), sockets })
    }

    /// Waits until another socket may be open: a moment at most, while those that make room end.
    pub async fn socket(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sockets).acquire_owned().await.ok()
    }

    /// Waits until all connections are closed.
    pub async fn all_closed(&self) {
        let all = u32::try_from(self.bounds.all + SLACK).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _all = self.sockets.acquire_many(all).await;
    }

    /// A place for a new connection, and whether another one made room for it; none where there is
    /// no room.
    pub fn place(
        self: &Arc<Self>,
        socket: OwnedSemaphorePermit,
        peer: IpAddr,
        now_ms: u64,
    ) -> Option<(ConnectionSlot, bool)> {
        let network = network(peer);
        let mut open = self.open.lock();
        let of_network = open.by_network.get(&network).map_or(0, Vec::len);
        let from = if of_network >= self.bounds.of_network {
            vec![network]
        } else if open.count >= self.bounds.all {
            open.largest()
        } else {
            Vec::new()
        };
        let displaces = !from.is_empty();
        if displaces && !from.into_iter().any(|network| open.displace(network, now_ms)) {
            return None;
        }
        open.next += 1;
        open.count += 1;
        let activity = Arc::new(Activity {
            number: open.next,
            opened_ms: now_ms,
            moved_ms: now_ms.into(),
            head_ms: NONE.into(),
            has_asked: false.into(),
            under_way: 0.into(),
            streams: false.into(),
            closing: CancellationToken::new(),
        });
        open.by_network.entry(network).or_default().push(Arc::clone(&activity));
        let among = Arc::clone(self);
        Some((ConnectionSlot { among, network, activity, _socket: socket }, displaces))
    }

    /// Closes those that were silent for too long; says how many.
    pub fn close_idle(&self, now_ms: u64) -> u64 {
        let open = self.open.lock();
        let all = open.by_network.values().flatten();
        let idle = all.filter(|one| one.is_over(now_ms) && !one.closing.is_cancelled());
        idle.map(|one| one.closing.cancel()).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, ConnectionSlot, Connections, IDLE_MS_MAX};
    use std::net::IpAddr;
    use std::sync::Arc;

    fn connections() -> Arc<Connections> {
        Connections::new(Bounds { all: 6, of_network: 3 })
    }

    fn place(among: &Arc<Connections>, peer: &str, now_ms: u64) -> Option<ConnectionSlot> {
        let socket = Arc::clone(&among.sockets).try_acquire_owned().expect("within the slack");
        let peer: IpAddr = peer.parse().expect("an address");
        among.place(socket, peer, now_ms).map(|(place, _)| place)
    }

    fn is_closing(place: &ConnectionSlot) -> bool {
        place.activity().closing.is_cancelled()
    }

    #[test]
    fn one_that_never_asked_makes_room_before_one_that_did() {
        let among = connections();
        let asked = place(&among, "10.0.0.1", 0).expect("room");
        drop(asked.activity().begin());
        let silent = [1, 2].map(|at| place(&among, "10.0.0.1", at).expect("room"));
        let fourth = place(&among, "10.0.0.1", 5_000).expect("room is made");
        assert_eq!(silent.each_ref().map(is_closing), [true, false]);
        let _fifth = place(&among, "10.0.0.1", 5_001).expect("room is made");
        assert!(is_closing(&silent[1]) && !is_closing(&asked) && !is_closing(&fourth));
    }

    #[test]
    fn a_head_that_trickles_makes_room_before_an_idle_one_and_has_ten_seconds() {
        let among = connections();
        let all = [0, 1, 2].map(|at| place(&among, "10.0.0.1", at).expect("room"));
        for one in &all {
            drop(one.activity().begin());
        }
        for at in [1_000, 2_000, 2_100] {
            all[1].activity().received(at);
        }
        all[2].activity().received(2_100);
        let fourth = place(&among, "10.0.0.1", 2_101).expect("room is made");
        assert_eq!(all.each_ref().map(is_closing), [false, true, false]);
        drop(fourth.activity().begin());
        let fifth = place(&among, "10.0.0.1", 2_102).expect("room is made, as none is busy");
        assert_eq!(all.each_ref().map(is_closing), [true, true, false]);
        drop(fifth.activity().begin());
        all[2].activity().received(12_000);
        assert_eq!(among.close_idle(12_099), 0);
        assert_eq!(among.close_idle(12_100), 1);
        assert!(is_closing(&all[2]), "it began ten seconds before");
    }

    #[test]
    fn busy_ones_make_no_room_and_a_new_one_is_refused() {
        let among = connections();
        let all = [(); 3].map(|()| place(&among, "10.0.0.1", 0).expect("room"));
        let busy = all.each_ref().map(|one| one.activity().begin());
        assert!(place(&among, "10.0.0.1", 60_000).is_none());
        assert!(place(&among, "10.0.0.2", 60_000).is_some(), "another peer has room of its own");
        drop(busy);
        assert!(place(&among, "10.0.0.1", 60_000).is_some(), "an idle one makes room");
    }

    #[test]
    fn the_network_with_most_connections_gives_to_a_new_one() {
        let among = connections();
        let one = |peer, at| place(&among, peer, at).expect("room");
        // A /64 is one network of peers.
        let many = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|peer| one(peer, 9));
        let few = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|peer| one(peer, 0));
        let _new = one("10.0.0.4", 10);
        assert!(is_closing(&many[0]) && few.iter().all(|place| !is_closing(place)));
    }

    #[test]
    fn silence_ends_a_connection_and_a_place_that_is_dropped_is_free() {
        let among = connections();
        let one = place(&among, "10.0.0.1", 0).expect("room");
        let asked = place(&among, "10.0.0.1", 0).expect("room");
        drop(asked.activity().begin());
        assert_eq!(among.close_idle(9_999), 0);
        assert_eq!(among.close_idle(10_000), 1);
        assert!(is_closing(&one) && !is_closing(&asked));
        asked.activity().moved(10_000);
        assert_eq!(among.close_idle(IDLE_MS_MAX), 0);
        assert_eq!(among.close_idle(IDLE_MS_MAX + 10_000), 1);
        drop((one, asked));
        assert_eq!(among.open.lock().count, 0);
        assert!(among.open.lock().by_network.is_empty());
    }

    #[test]
    fn a_limit_of_files_leaves_some_for_the_journal_and_the_socket() {
        assert_eq!(Bounds::of_tcp(1024), Bounds { all: 704, of_network: 352 });
        assert_eq!(Bounds::of_tcp(1 << 20), Bounds { all: 8192, of_network: 4096 });
        assert_eq!(Bounds::of_tcp(64).all, 32);
    }
}
