//! Every timeout and limit of the protocol, in one place.

use core::fmt;
use core::time::Duration;

use crate::wire::{MCAST_OVERHEAD, PIECE_OVERHEAD};

/// Largest packet that is accepted from a peer, in bytes: what one UDP datagram can carry.
pub const PACKET_BYTES_CAP: usize = 65_000;
/// Smallest value of `packet_bytes_max`, in bytes.
pub const PACKET_BYTES_MIN: usize = 256;
/// Most bytes of a packet that is sent in pieces: more than the largest join or commit token.
pub const WHOLE_BYTES_MAX: usize = 288 << 10;
/// Most pieces of one packet: if each is as small as the smallest path wants it.
pub const PIECES_MAX: usize = WHOLE_BYTES_MAX.div_ceil(PACKET_BYTES_MIN - PIECE_OVERHEAD);
/// Most packets that a window can be configured to hold in flight.
pub const WINDOW_PACKETS_CAP: u32 = 4_096;
/// Most bytes that a window can be configured to hold in flight.
pub const WINDOW_BYTES_CAP: u32 = 64 << 20;
/// A ring that comes to this sequence number, or its token to this number, is formed anew, long
/// before a number can wrap (P13).
pub const SEQ_MAX: u64 = u64::MAX / 2;
/// Most ranges in a token's retransmission request list (`rtr_max`).
pub const RTR_MAX: usize = 32;
/// Most rows of "who hears whom" that a processor keeps (`rows_max`).
pub const ROWS_MAX: usize = 256;

/// The settings of one processor. The representative's values are in force in a ring: they travel
/// in its commit token as [`Terms`], so that mixed settings cannot split it (P33).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The detection target: how long a processor may be silent before it is excluded. Every
    /// other time derives from it. 50 ms to 60 s; default 1 s.
    pub detection: Duration,
    /// Largest encoded packet that this processor sends, in bytes: what the path carries without
    /// fragments. [`PACKET_BYTES_MIN`] to [`PACKET_BYTES_CAP`]; default 1,400.
    pub packet_bytes_max: usize,
    /// Most packets sent on the ring in one rotation, whatever their size. 16 to
    /// [`WINDOW_PACKETS_CAP`]; default 2,048.
    pub window_packets: u32,
    /// Most bytes sent on the ring in one rotation. A sixteenth of it may be sent in the beginning,
    /// and more while nothing is lost. 64 KiB to [`WINDOW_BYTES_CAP`]; default 2 MiB.
    pub window_bytes: u32,
    /// Most packets that wait to be sequenced (`backlog_packets_max`). 1 to 65,536; default 1,024.
    pub backlog_packets_max: usize,
    /// Most body bytes that wait to be sequenced (`backlog_bytes_max`). 64 KiB to 256 MiB; default
    /// 4 MiB.
    pub backlog_bytes_max: usize,
    /// How many of a visit's packets are sent after the token was passed on (the accelerated
    /// ring, `docs/protocol.md` §4). 0 to [`WINDOW_PACKETS_CAP`]; default 32.
    pub accelerated_packets: u32,
    /// Where the counters begin: at 0 but in simulations.
    pub origins: Origins,
}

/// Where this processor's counters begin. All are 0 but in simulations of what happens where a
/// counter nears the end of its type, which no processor lives to see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Origins {
    /// The sequence number before a ring's first; the same in all members of a ring. At most
    /// [`SEQ_MAX`].
    pub seq: u64,
    /// The token's number before a ring's first token; the same in all members. At most
    /// [`SEQ_MAX`].
    pub token: u64,
    /// The version before that of the first row.
    pub row: u64,
    /// The number before that of the first join.
    pub join: u64,
    /// What [`Ring::sequenced`](crate::Ring::sequenced) counts from. At most [`SEQ_MAX`].
    pub sequenced: u64,
    /// The number before that of the first packet that is cut.
    pub cut: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            detection: Duration::from_secs(1),
            packet_bytes_max: 1_400,
            window_packets: 2_048,
            window_bytes: 2 << 20,
            backlog_packets_max: 1_024,
            backlog_bytes_max: 4 << 20,
            accelerated_packets: 32,
            origins: Origins::default(),
        }
    }
}

/// A setting that is out of its range.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// The field of [`Config`].
    pub key: &'static str,
    /// The smallest value allowed, in the field's unit (milliseconds for times).
    pub min: u64,
    /// The largest value allowed.
    pub max: u64,
    /// The value given.
    pub value: u64,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, allowed are {} to {}", self.key, self.value, self.min, self.max)
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ms = u64::try_from(self.detection.as_millis()).unwrap_or(u64::MAX);
        let ranges = [
            ("detection", ms, 50, 60_000),
            (
                "packet_bytes_max",
                self.packet_bytes_max as u64,
                PACKET_BYTES_MIN as u64,
                PACKET_BYTES_CAP as u64,
            ),
            ("window_packets", self.window_packets.into(), 16, WINDOW_PACKETS_CAP.into()),
            ("window_bytes", self.window_bytes.into(), 64 << 10, WINDOW_BYTES_CAP.into()),
            ("backlog_packets_max", self.backlog_packets_max as u64, 1, 65_536),
            ("backlog_bytes_max", self.backlog_bytes_max as u64, 64 << 10, 256 << 20),
            ("accelerated_packets", self.accelerated_packets.into(), 0, WINDOW_PACKETS_CAP.into()),
            ("origins.seq", self.origins.seq, 0, SEQ_MAX),
            ("origins.token", self.origins.token, 0, SEQ_MAX),
            ("origins.sequenced", self.origins.sequenced, 0, SEQ_MAX),
        ];
        for (key, value, min, max) in ranges {
            if value < min || value > max {
                return Err(ConfigError { key, min, max, value });
            }
        }
        Ok(())
    }

    /// What this processor demands of the rings that it represents.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            detection: self.detection,
            window_packets: self.window_packets,
            window_bytes: self.window_bytes,
        }
    }
}

/// The values in force in one ring: its representative's (`docs/protocol.md` §3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// The detection target.
    pub detection: Duration,
    /// Most packets sent in one rotation.
    pub window_packets: u32,
    /// Most bytes sent in one rotation.
    pub window_bytes: u32,
}

impl Terms {
    /// Whether this build can take part in a ring with these values.
    #[must_use]
    pub fn acceptable(&self) -> bool {
        let config = Config {
            detection: self.detection,
            window_packets: self.window_packets,
            window_bytes: self.window_bytes,
            ..Config::default()
        };
        config.validate().is_ok()
    }

    /// The window that a token tells of, within its bounds: a sixteenth of the largest at the
    /// least, with which every ring begins.
    pub(crate) fn window(&self, told: u32) -> u32 {
        told.clamp(self.window_bytes / 16, self.window_bytes)
    }

    /// What a packet with a body of this size takes of the window, in bytes: small ones count as
    /// if `window_packets` of them filled the largest one, since they take as many slots.
    pub(crate) fn cost(&self, body: usize) -> u32 {
        let bytes = u32::try_from(body + MCAST_OVERHEAD).expect("bodies are bounded");
        bytes.max(self.window_bytes / self.window_packets)
    }

    /// How long the token of a ring that is being formed may be out of sight.
    pub(crate) fn token_loss(&self) -> Duration {
        self.detection
    }

    /// How long the token of a working ring may be out of sight before the ring is given up, at
    /// least and at most, whatever time its rotations take. Who has died is noticed without it.
    pub(crate) fn working_token_loss(&self) -> (Duration, Duration) {
        (self.detection * 2, self.detection * 4)
    }

    /// How long the token's next hop may stay silent before it is sent again, as long as no
    /// rotation has been measured.
    pub(crate) fn token_retransmit(&self) -> Duration {
        self.detection / 20
    }

    /// The bounds of the measured retransmission time.
    pub(crate) fn token_retransmit_bounds(&self) -> (Duration, Duration) {
        (self.detection / 200, self.detection / 8)
    }

    /// How long an idle token is parked: a token loss must still mean something (§5).
    pub(crate) fn token_park(&self) -> Duration {
        self.detection / 4
    }

    /// How long a lone sender keeps the token at the most (§5).
    pub(crate) fn token_keep(&self) -> Duration {
        self.detection / 50
    }

    /// What follows its predecessor at this distance is part of a stream, which is better packed
    /// than sent at once.
    pub(crate) fn stream(&self) -> Duration {
        self.detection / 50_000
    }

    /// How often a wake request is repeated until the token is seen.
    pub(crate) fn wake(&self) -> Duration {
        self.detection / 100
    }

    /// How long a member may lack a packet that is sent again and again before it counts as deaf.
    pub(crate) fn stall(&self) -> Duration {
        self.detection
    }

    /// The shortest and the longest time after which what was requested is requested again: often
    /// enough for twenty copies within the target (LIVE-2).
    pub(crate) fn request_again(&self) -> (Duration, Duration) {
        (self.detection / 200, self.detection / 20)
    }

    /// How often a join is repeated, among so many processors.
    pub(crate) fn join(&self, processors: usize) -> Duration {
        (self.detection / 20).max(self.join_spacing(processors) * 2)
    }

    /// How close two joins of one processor may follow each other when its view changes. Everybody
    /// reads the joins of everybody, so the more there are, the slower each speaks (P35).
    pub(crate) fn join_spacing(&self, processors: usize) -> Duration {
        let pairs = u32::try_from(processors / 2).unwrap_or(u32::MAX).max(1);
        self.detection / 500 * pairs
    }

    /// How long the members of a proposal have to join before the silent ones are given up.
    pub(crate) fn consensus(&self) -> Duration {
        self.detection / 2
    }

    /// The same, where nobody was missed when the ring was left: what was cut meanwhile is noticed.
    pub(crate) fn patient_consensus(&self) -> Duration {
        self.detection
    }

    /// How long a processor that was heard but did not join is left out, the first time.
    pub(crate) fn give_up(&self) -> Duration {
        self.detection * 2
    }

    /// How long a growing proposal must be unchanged before its ring is formed, among so many
    /// processors.
    pub(crate) fn settle(&self, processors: usize) -> Duration {
        self.join(processors)
    }

    /// How long a better partition must be in sight, unchanged, before a working ring is left for
    /// it, and before a starting processor forms its first ring: the interval of the hellos by
    /// which paths are proven, and a little more.
    pub(crate) fn grow(&self) -> Duration {
        self.detection / 8
    }

    /// How long a processor waits at most before it leaves a working ring for a better partition.
    pub(crate) fn part(&self) -> Duration {
        self.detection / 4
    }

    /// How long a processor waits before it parts with companions whom it still hears, and how
    /// long a working ring is kept if a better partition parts companions who hear each other and
    /// nobody waits for this processor: long enough for all to notice what was cut meanwhile.
    pub(crate) fn part_unasked(&self) -> Duration {
        self.detection
    }

    /// How long a starting processor listens for others before it forms a ring alone.
    pub(crate) fn listen(&self) -> Duration {
        self.detection
    }

    /// How often a ring tells those outside, and itself, who hears whom.
    pub(crate) fn merge_detect(&self) -> Duration {
        self.detection / 2
    }

    /// How long nothing more may come of a packet in pieces before the rest is asked for; twice as
    /// long each time.
    pub(crate) fn piece_request(&self) -> Duration {
        self.detection / 500
    }

    /// How long a packet in pieces is held after the last of them.
    pub(crate) fn piece_memory(&self) -> Duration {
        self.detection
    }

    /// How often, and at which distance, a leaver repeats that it leaves.
    pub(crate) fn leave(&self) -> Duration {
        self.detection / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
        assert!(Config::default().terms().acceptable());
    }

    #[test]
    fn a_setting_out_of_range_is_named_with_its_range() {
        let config = Config { window_packets: 15, ..Config::default() };
        let error = config.validate().expect_err("too small");
        assert_eq!((error.key, error.min, error.max), ("window_packets", 16, 4_096));
        let slow = Config { detection: Duration::from_secs(61), ..Config::default() };
        assert_eq!(slow.validate().expect_err("too long").key, "detection");
        assert!(!slow.terms().acceptable());
    }
}
