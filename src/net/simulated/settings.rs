//! What a simulated network is like, and what it has done.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How a simulated network behaves.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) latency: RangeInclusive<Duration>,
    pub(crate) short_reads: bool,
    pub(crate) short_writes: bool,
    pub(crate) reset_chance: f64,
    pub(crate) loss: f64,
    pub(crate) duplication: f64,
    pub(crate) window: usize,
    pub(crate) max_datagram: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) send_timeout: Duration,
}

/// A datagram of IPv4 has a length of 16 bits, and headers of 28 bytes.
const MAX_DATAGRAM: usize = 65_507;

/// What Linux tries a connection for: six times more, after 1, 2, 4, 8, 16 and 32 s, and then it waits 64 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);

/// What Linux tries to get data across for, as its documents have it: 924.6 s.
const SEND_TIMEOUT: Duration = Duration::from_millis(924_600);

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            latency: Duration::ZERO..=Duration::ZERO,
            short_reads: false,
            short_writes: false,
            reset_chance: 0.0,
            loss: 0.0,
            duplication: 0.0,
            window: 64 * 1024,
            max_datagram: MAX_DATAGRAM,
            connect_timeout: CONNECT_TIMEOUT,
            send_timeout: SEND_TIMEOUT,
        }
    }
}

/// What a simulated network has done so far: see [`testing::SimulatedNetwork::statistics`](crate::testing::SimulatedNetwork::statistics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkStatistics {
    /// Connections that were set up.
    pub connections: u64,
    /// Connections that somebody wanted and that were refused.
    pub refused: u64,
    /// Connections that were reset by chance or by the test.
    pub resets: u64,
    /// Bytes of connections that have arrived.
    pub bytes: u64,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Datagrams that were lost: by chance, at a partition, because nobody was there or because there was no room.
    pub lost_datagrams: u64,
    /// Datagrams that came twice.
    pub duplicated_datagrams: u64,
    /// Sockets that are open.
    pub sockets: usize,
}
