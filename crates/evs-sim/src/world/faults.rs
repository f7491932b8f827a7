//! The faults that a run can have, and how often each struck.

use std::fmt;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(usize)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name under which it is counted.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    /// A datagram was lost.
    Lost => "lost",
    /// A datagram came twice.
    Duplicated => "duplicated",
    /// A datagram came to another node, too.
    Stray => "stray",
    /// A datagram did not wait behind the one before it.
    Reordered => "reordered",
    /// A datagram was held back.
    Late => "late",
    /// A datagram met a cut path.
    Cut => "cut",
    /// A datagram was larger than its path carries.
    TooBig => "too_big",
    /// A receive buffer was full.
    Overflow => "overflow",
    /// A narrow path had no room for a datagram.
    Clogged => "clogged",
    /// A datagram was held back over its receiver's next installs.
    Held => "held",
    /// A fault was aimed at certain datagrams.
    Aim => "aim",
    /// A path became narrow.
    Clog => "clog",
    /// A receive buffer became small.
    SmallBuffer => "small_buffer",
    /// One direction of a pair was cut.
    CutOneWay => "cut_one_way",
    /// A pair was cut in both directions.
    CutPair => "cut_pair",
    /// A pair was cut for large datagrams only.
    CutLarge => "cut_large",
    /// The nodes were parted into sides.
    Partition => "partition",
    /// All cuts were healed: sides merge.
    Merge => "merge",
    /// A fault struck right at a transition of a node's state.
    Ambush => "ambush",
    /// A plot began: faults that do harm only together.
    Plot => "plot",
    /// A path began to lose many datagrams.
    Lossy => "lossy",
    /// A path became slow.
    Slow => "slow",
    /// Something happened to one link of several.
    Link => "link",
    /// The weather changed.
    Weather => "weather",
    /// A node crashed between two inputs.
    Crash => "crash",
    /// A node crashed between two outputs of one step.
    CrashMidStep => "crash_mid_step",
    /// A node started again and found its stored ring sequence.
    RestartKept => "restart_kept",
    /// A node started again and found nothing stored.
    RestartWiped => "restart_wiped",
    /// A node started again and found an older state of its disk.
    RestartRolledBack => "restart_rolled_back",
    /// A node started again before its death could be noticed.
    RestartFast => "restart_fast",
    /// A node left in order.
    Leave => "leave",
    /// A node stood still.
    Pause => "pause",
    /// A paused node went on and found what had arrived.
    ResumeKept => "resume_kept",
    /// A paused node went on and its receive buffer was empty.
    ResumeLost => "resume_lost",
    /// A node had no packet counters left.
    Mute => "mute",
    /// All nodes began anew, since a counter was near its end.
    Renewed => "renewed",
    /// A node's disk stood still.
    DiskStall => "disk_stall",
    /// A node's clock changed its rate.
    ClockRate => "clock_rate",
    /// A running node got another detection target.
    Retarget => "retarget",
    /// A client went away in the middle of its work.
    ClientGone => "client_gone",
    /// A client stopped reading.
    ClientStall => "client_stall",
    /// A client was disconnected because it did not read.
    ClientTooSlow => "client_too_slow",
    /// A client died with events unread.
    ClientDeath => "client_death",
    /// Timers ran before the packets that had arrived.
    TimersFirst => "timers_first",
    /// Packets of one batch were handed over in another order.
    Shuffled => "shuffled",
}

/// How often each fault struck.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Faults([u64; Fault::ALL.len()]);

impl Default for Faults {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Faults {
    pub(super) fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often this one struck.
    #[must_use]
    pub const fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, count)| *sum += count);
    }
}

/// `lost 12, crash 3`: those that struck at all.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for fault in Fault::ALL.iter().filter(|fault| self.of(**fault) > 0) {
            if !std::mem::take(&mut first) {
                f.write_str(", ")?;
            }
            write!(f, "{} {}", fault.name(), self.of(*fault))?;
        }
        Ok(())
    }
}
