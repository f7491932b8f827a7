//! Where a figure stands among all: which system, which workload, which metric.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An enumeration whose values have names, in the report as in the command line.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
        )]
        pub enum $name { $($(#[$what])* #[serde(rename = $text)] $value,)* }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$value),*];

            /// Its name in the report.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

named! {
    /// What is measured.
    System {
        /// Ours as it is by default: every packet sealed.
        EvsSealed = "evs-sealed",
        /// Ours in clear.
        EvsClear = "evs-clear",
        /// Corosync with its default transport, encrypted and authenticated.
        CorosyncKnetAes256 = "corosync-knet-aes256",
        /// The same in clear.
        CorosyncKnetNone = "corosync-knet-none",
        /// Corosync over unicast UDP, in clear.
        CorosyncUdpu = "corosync-udpu",
        /// Corosync over multicast UDP, in clear.
        CorosyncUdp = "corosync-udp",
        /// Multicast datagrams of the message's size, without order or repair.
        RawUdp = "raw-udp",
        /// The same in batches that the kernel cuts and puts together (GSO, GRO).
        RawUdpGso = "raw-udp-gso",
        /// A token passed round by blocking processes.
        RawRing = "raw-ring",
    }
}

named! {
    /// What kind of client talks to the system.
    Client {
        /// The load generator in C.
        C = "c",
        /// `evs bench`.
        Rust = "rust",
        /// There is no daemon, and so no client.
        None = "none",
    }
}

named! {
    /// What is promised about each message.
    Guarantee {
        /// One order on all nodes.
        Agreed = "agreed",
        /// In that order, and only when every member has it.
        Safe = "safe",
    }
}

named! {
    /// What the clients do, or what goes wrong.
    Workload {
        /// Node 1 sends as much as it may.
        ThroughputOne = "throughput-one",
        /// All nodes do.
        ThroughputAll = "throughput-all",
        /// Node 1 has one message in flight.
        LatencyOne = "latency-one",
        /// Node 1 sends at a fixed rate.
        LatencyRate = "latency-rate",
        /// The same while one more client, at the last node, stands still.
        LatencyStopped = "latency-stopped",
        /// Node 1 sends as much as it may, while a stranger sends to the daemons as fast as a line
        /// of 1 Gbit/s carries it.
        ThroughputStrangers = "throughput-strangers",
        /// The same, but the stranger sends to where nobody listens: what it takes of the machine
        /// by itself.
        ThroughputFlood = "throughput-flood",
        /// The daemon of the last node is killed.
        FailoverKill = "failover-kill",
        /// The interface of the last node goes down.
        FailoverLink = "failover-link",
        /// The daemon of the last node is asked to end.
        FailoverTerm = "failover-term",
        /// The daemon of the last node stands still.
        FailoverStop = "failover-stop",
        /// All daemons start at once.
        Form = "form",
        /// All nodes send at a fixed rate, and one of two links is lost.
        StallLost = "stall-lost",
        /// The same, and one node does not hear one of the others on one of two links.
        StallOneway = "stall-oneway",
        /// The same, and one of two links loses half of all packets.
        StallLossy = "stall-lossy",
        /// The same, and one of two links becomes slow.
        StallSlow = "stall-slow",
        /// The same, and one of two links drops large packets.
        StallSmall = "stall-small",
    }
}

named! {
    /// Where something is measured.
    Position {
        /// At the client that sent.
        Sender = "sender",
        /// At the node that got it last.
        Farthest = "farthest",
        /// At the node that was slowest of all.
        Slowest = "slowest",
        /// In all daemons together.
        Daemons = "daemons",
        /// In all clients together.
        Clients = "clients",
    }
}

named! {
    /// What is measured.
    Metric {
        /// Delivered messages in a second.
        MessagesPerSecond = "messages_per_second",
        /// Their bytes, in millions.
        MegabytesPerSecond = "megabytes_per_second",
        /// The median time from sending to delivery, in microseconds.
        P50Us = "p50_us",
        /// What 99 of 100 messages do not exceed.
        P99Us = "p99_us",
        /// What 999 of 1000 do not exceed.
        P999Us = "p999_us",
        /// CPU time, user and system, for a million messages.
        CpuSecondsPerMillion = "cpu_seconds_per_million",
        /// Memory that is resident at the end of the run.
        ResidentBytes = "resident_bytes",
        /// A time in seconds.
        Seconds = "seconds",
        /// The least that one of several senders got through, 1 being an equal share; not a cell
        /// of the report, but beside them.
        LeastShare = "least_share",
    }
}

impl System {
    /// Whether it is this project's.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::EvsSealed | Self::EvsClear)
    }

    /// Whether it is Corosync, in whichever mode.
    #[must_use]
    pub const fn is_corosync(self) -> bool {
        matches!(
            self,
            Self::CorosyncKnetAes256
                | Self::CorosyncKnetNone
                | Self::CorosyncUdpu
                | Self::CorosyncUdp
        )
    }

    /// Whether it is the bare kernel.
    #[must_use]
    pub const fn is_raw(self) -> bool {
        !self.is_ours() && !self.is_corosync()
    }
}

impl Workload {
    /// Whether it measures how much goes through.
    #[must_use]
    pub const fn is_throughput(self) -> bool {
        matches!(
            self,
            Self::ThroughputOne
                | Self::ThroughputAll
                | Self::ThroughputStrangers
                | Self::ThroughputFlood
        )
    }

    /// Whether it measures how soon messages are there.
    #[must_use]
    pub const fn is_latency(self) -> bool {
        matches!(self, Self::LatencyOne | Self::LatencyRate | Self::LatencyStopped)
    }

    /// Whether something goes on beside the clients that are measured. Only ours is asked for that.
    #[must_use]
    pub const fn has_something_beside(self) -> bool {
        matches!(self, Self::LatencyStopped | Self::ThroughputStrangers | Self::ThroughputFlood)
    }

    /// Whether something goes wrong in it.
    #[must_use]
    pub const fn is_failover(self) -> bool {
        matches!(
            self,
            Self::FailoverKill | Self::FailoverLink | Self::FailoverTerm | Self::FailoverStop
        )
    }

    /// Whether one of two links fails in it while all nodes send.
    #[must_use]
    pub const fn is_stall(self) -> bool {
        matches!(
            self,
            Self::StallLost
                | Self::StallOneway
                | Self::StallLossy
                | Self::StallSlow
                | Self::StallSmall
        )
    }

    /// How many nodes send.
    #[must_use]
    pub const fn senders(self, nodes: u8) -> u8 {
        match self {
            Self::ThroughputAll
            | Self::StallLost
            | Self::StallOneway
            | Self::StallLossy
            | Self::StallSlow
            | Self::StallSmall => nodes,
            Self::ThroughputOne
            | Self::ThroughputStrangers
            | Self::ThroughputFlood
            | Self::LatencyOne
            | Self::LatencyRate
            | Self::LatencyStopped
            | Self::FailoverKill
            | Self::FailoverLink
            | Self::FailoverTerm
            | Self::FailoverStop
            | Self::Form => 1,
        }
    }

    /// Where and what tells of a run in one figure; what a cell without a figure is told by.
    #[must_use]
    pub const fn headline(self) -> (Position, Metric) {
        match self {
            Self::ThroughputOne
            | Self::ThroughputAll
            | Self::ThroughputStrangers
            | Self::ThroughputFlood => (Position::Slowest, Metric::MessagesPerSecond),
            Self::LatencyOne | Self::LatencyRate | Self::LatencyStopped => {
                (Position::Sender, Metric::P50Us)
            }
            Self::FailoverKill
            | Self::FailoverLink
            | Self::FailoverTerm
            | Self::FailoverStop
            | Self::Form
            | Self::StallLost
            | Self::StallOneway
            | Self::StallLossy
            | Self::StallSlow
            | Self::StallSmall => (Position::Slowest, Metric::Seconds),
        }
    }
}
