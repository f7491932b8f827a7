//! The swarm: what one run is like. Everything is drawn from the seed, so that each run stresses
//! something else (some faults not at all, others far beyond what a network does).

use std::time::Duration;

use super::network::{Kind, Weather};
use super::{Nanos, Origins, chance};
use crate::selection::Selection;
use crate::workload::MESSAGE_BYTES_MAX;
use totem::PacketKind;

/// Nodes that a world can have.
pub const NODES_MAX: u32 = 128;

const US: Nanos = 1_000;
const MS: Nanos = 1_000_000;

/// How the network is left in the end, when all other faults have stopped (LIVE-3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Frozen {
    /// Everybody hears everybody.
    #[default]
    Whole,
    /// In most runs some paths are cut, one way or both ways.
    Graph,
}

/// What a world is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Everything random in the world follows from it.
    pub seed: u64,
    /// How many nodes are configured: 1 to [`NODES_MAX`].
    pub nodes: u32,
    /// Over how many links they talk, 1 to 8.
    pub links: usize,
    /// Whether a host says, at once, that no process is there for a datagram.
    pub refusals: bool,
    /// Whether datagrams are sealed (slower; the code is the same but for the cipher).
    pub sealed: bool,
    /// The detection target of all nodes.
    pub detection: Duration,
    /// Largest data packet, in bytes.
    pub packet_bytes_max: usize,
    /// Most packets in one rotation.
    pub window_packets: u32,
    /// Most bytes in one rotation.
    pub window_bytes: u32,
    /// Packets sent after the token was passed on.
    pub accelerated_packets: u32,
    /// Most packets in the backlog.
    pub backlog_packets_max: usize,
    /// Most bytes of one client that wait to be sequenced.
    pub client_send_bytes_max: usize,
    /// Most bytes that wait for one client to read them.
    pub client_event_bytes_max: usize,
    /// How the links behave at the start.
    pub weather: Weather,
    /// Datagrams that a node's receive buffer holds.
    pub inbox_max: usize,
    /// Longest time from a datagram's arrival to the node's reading it.
    pub reading_delay: Nanos,
    /// How much later than asked for a node's timers run, at most.
    pub timer_delay: Nanos,
    /// Nodes read data before tokens (the driver's contract, rule 3).
    pub data_first: bool,
    /// How likely a batch is handed over in any order.
    pub shuffle_ppm: u32,
    /// How likely timers run before the packets that have arrived (against rule 2).
    pub timers_first_ppm: u32,
    /// Outputs are executed after a whole batch instead of after each input.
    pub batched_outputs: bool,
    /// Clocks run wrong by up to this many parts per million.
    pub clock_skew_ppm: u32,
    /// Where the nodes' monotonic clocks stand at the start.
    pub clock_origin: Nanos,
    /// How the network is left in the end.
    pub frozen: Frozen,
    /// Where the counters begin.
    pub origins: Origins,
    /// How likely a fault strikes right at a transition of a node's state.
    pub ambush_ppm: u32,
    /// How long it takes until the ring sequence is stored; a crash in between loses it.
    pub disk_delay: Nanos,
    /// Which of the faults that the seed draws strike.
    pub selection: Selection,
}

/// Where clocks stand at the start: at nothing, somewhere, and where 32 bits of milliseconds, 32
/// bits of microseconds, and 64 bits of nanoseconds are about to end.
const CLOCK_ORIGINS: [Nanos; 5] = [
    0,
    1_000 * MS,
    (1 << 32) * MS - 50 * MS,
    (1 << 32) * US - 50 * MS,
    Nanos::MAX - 3_600_000 * MS,
];

/// 3 to 7 in most runs; few enough to be alone, or more, in some; very many in a few. A run of 16
/// takes as long as 20 of 4, one of 49 as long as 150.
fn draw_nodes(rng: &mut fastrand::Rng) -> u32 {
    match rng.u32(0..10_000) {
        0..6_700 => rng.u32(3..=5),
        6_700..8_700 => rng.u32(6..=7),
        8_700..9_475 => rng.u32(1..=2),
        9_475..9_975 => rng.u32(8..=16),
        9_975..9_995 => rng.u32(17..=48),
        _ => rng.u32(49..=NODES_MAX),
    }
}

/// One link in most worlds, and never many among many nodes: hellos would be most of the run.
const fn draw_links(seed: u64, nodes: u32) -> usize {
    match seed.wrapping_mul(0xa24b_aed4_963e_e407) >> 60 {
        0..=2 => 2,
        3 if nodes <= 7 => 3,
        4 if nodes <= 5 => 8,
        _ => 1,
    }
}

impl Options {
    /// A quiet local network with a detection target of 200 ms: the stage for scripts.
    #[must_use]
    pub const fn fair(seed: u64, nodes: u32) -> Self {
        Self {
            seed,
            nodes,
            links: 1,
            refusals: false,
            sealed: false,
            detection: Duration::from_millis(200),
            packet_bytes_max: 1_400,
            window_packets: 256,
            window_bytes: 2 << 20,
            accelerated_packets: 32,
            backlog_packets_max: 256,
            client_send_bytes_max: 4 << 20,
            client_event_bytes_max: 4 << 20,
            weather: Weather::fair(100 * US),
            inbox_max: 4_096,
            reading_delay: 20 * US,
            timer_delay: 50 * US,
            data_first: true,
            shuffle_ppm: 0,
            timers_first_ppm: 0,
            batched_outputs: false,
            clock_skew_ppm: 0,
            clock_origin: 1_000 * MS,
            frozen: Frozen::Whole,
            origins: Origins {
                ring: 0,
                seq: 0,
                token: 0,
                row: 0,
                join: 0,
                sequenced: 0,
                client: 0,
                message: 0,
                sealed: 0,
                cut: 0,
                counted: 0,
            },
            ambush_ppm: 0,
            disk_delay: 0,
            selection: Selection::ALL,
        }
    }

    /// What this seed says, with this many nodes or as many as it says.
    #[must_use]
    pub fn draw(seed: u64, nodes: Option<u32>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x6f70_7469_6f6e_7321);
        let rng = &mut rng;
        let drawn = draw_nodes(rng);
        // Hundreds of thousands of hellos in a second would be most of a large run.
        let detection = [100, 200, 200, 500][rng.usize(0..4)].max(if drawn > 16 { 500 } else { 0 });
        let detection = detection * MS;
        let delay = detection / [1_000, 1_000, 400, 200][rng.usize(0..4)];
        let mut options = Self {
            nodes: nodes.unwrap_or(drawn).clamp(1, NODES_MAX),
            sealed: chance(rng, 150_000),
            detection: Duration::from_nanos(detection),
            packet_bytes_max: Self::draw_packet_bytes(rng, nodes.unwrap_or(drawn)),
            window_packets: [16, 32, 256, 2_048][rng.usize(0..4)],
            accelerated_packets: [0, 4, 32, 32][rng.usize(0..4)],
            backlog_packets_max: [4, 32, 256, 256][rng.usize(0..4)],
            client_send_bytes_max: [4 << 10, 64 << 10, 4 << 20][rng.usize(0..3)],
            client_event_bytes_max: [1 << 10, 64 << 10, 4 << 20][rng.usize(0..3)],
            weather: Self::draw_weather(rng, delay, detection),
            inbox_max: [16, 64, 1_024, 1_024][rng.usize(0..4)],
            reading_delay: [0, 10 * US, 100 * US][rng.usize(0..3)],
            timer_delay: [0, 50 * US, 2 * MS][rng.usize(0..3)],
            data_first: rng.bool(),
            shuffle_ppm: [0, 0, 100_000, 1_000_000][rng.usize(0..4)],
            timers_first_ppm: [0, 0, 50_000, 1_000_000][rng.usize(0..4)],
            batched_outputs: rng.bool(),
            clock_skew_ppm: [0, 0, 100, 20_000, 100_000][rng.usize(0..5)],
            clock_origin: CLOCK_ORIGINS[rng.usize(0..CLOCK_ORIGINS.len())],
            origins: Origins::draw(rng),
            ambush_ppm: [0, 0, 20_000, 200_000][rng.usize(0..4)],
            disk_delay: [0, 0, 20 * MS][rng.usize(0..3)],
            // From streams of their own, so that no other draw depends on them.
            links: draw_links(seed, nodes.unwrap_or(drawn)),
            refusals: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 == 0,
            window_bytes: if seed.wrapping_mul(0xd1b5_4a32_d192_ed03) >> 62 == 0 {
                64 << 10
            } else {
                2 << 20
            },
            ..Self::fair(seed, 1)
        };
        let packets = MESSAGE_BYTES_MAX.div_ceil(options.packet_bytes_max - 100) as u64;
        options.origins = options.origins.with_room(2 * packets);
        options
    }

    /// In a world of very many nodes all joins come in very many pieces if packets are small: such
    /// worlds are left to scenarios.
    fn draw_packet_bytes(rng: &mut fastrand::Rng, nodes: u32) -> usize {
        let drawn = rng.usize(0..5);
        match nodes {
            0..=16 => [256, 500, 1_400, 1_400, 9_000][drawn],
            17..=32 => [500, 1_400, 1_400, 9_000, 9_000][drawn],
            _ => 9_000,
        }
    }

    /// Weather of any kind, from fair to foul.
    #[must_use]
    pub fn draw_weather(rng: &mut fastrand::Rng, delay: Nanos, detection: Nanos) -> Weather {
        let mut weather = Weather::fair(delay);
        weather.jitter = delay * [0, 1, 1, 5][rng.usize(0..4)] / 2;
        if chance(rng, 500_000) {
            let loss = [100, 1_000, 10_000, 50_000, 200_000][rng.usize(0..5)];
            weather.loss_ppm = [loss; Kind::COUNT];
            // Now and then one kind suffers more than the others, or alone.
            if rng.bool() {
                let others = [0, loss / 10][rng.usize(0..2)];
                weather.loss_ppm = [others; Kind::COUNT];
                weather.loss_ppm[rng.usize(0..Kind::COUNT)] = loss * 2;
            }
        }
        if chance(rng, 250_000) {
            let mcast = Kind::Ring(PacketKind::Mcast).index();
            weather.lag[mcast] = delay * rng.u64(1..=20);
        }
        weather.duplicate_ppm = [0, 0, 1_000, 100_000][rng.usize(0..4)];
        weather.reorder_ppm = [0, 0, 10_000, 300_000][rng.usize(0..4)];
        weather.late_ppm = [0, 0, 1_000, 20_000][rng.usize(0..4)];
        weather.late = [delay * 10, detection / 4, detection * 2, detection * 5][rng.usize(0..4)];
        weather.stray_ppm = [0, 0, 1_000, 50_000][rng.usize(0..4)];
        weather
    }
}
