//! Deliberate defects, which show that the simulation would notice them.
//!
//! In a build with `cfg(evs_mutation)` one of them can be switched on, for the whole process. In
//! every other build none ever is: [`is_active`] is a constant, and the compiler removes what
//! depends on it. A point at which the code would misbehave reads `if defect!(Name)`; a defect may
//! have several, and each has one at least.
//!
//! Each defect says what goes wrong, which rule forbids it, and which property of
//! `docs/contract.md` it is aimed at. `cargo xtask mutate` looks for all of them.

/// Whether this defect is switched on: `defect!(SafeAtOnce)`.
#[macro_export]
macro_rules! defect {
    ($name:ident) => {
        $crate::mutation::is_active($crate::mutation::Defect::$name)
    };
}

macro_rules! defects {
    ($($breaks:literal { $($(#[doc = $doc:literal])+ $name:ident,)+ })+) => {
        /// What can be made to go wrong.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u16)]
        pub enum Defect {
            $($(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nAimed at ", $breaks, ".")]
                $name,
            )+)+
        }

        impl Defect {
            /// All of them, by the property that they are aimed at.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// The name under which it is switched on.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)+)+ }
            }

            /// The property of the contract that it is aimed at. It may break others besides.
            #[must_use]
            pub const fn breaks(self) -> &'static str {
                match self { $($(Self::$name => $breaks,)+)+ }
            }
        }
    };
}

defects! {
    "EVS-1" {
        /// A data packet of another ring with the same members counts as one of this ring
        /// (`docs/protocol.md` §1, P24, P32).
        ForeignMcast,
        /// An unordered message that was delivered ahead is delivered again at its place.
        DeliveredTwice,
        /// The rest of R is delivered after R' was installed (`docs/protocol.md` §2).
        RestAfterInstall,
        /// What was not sequenced in R stays in the backlog, and is submitted again besides
        /// (`docs/protocol.md` §2, P38).
        BacklogKept,
    }
    "EVS-2" {
        /// A ring sequence that failed attempts have used is used and agreed to again
        /// (`docs/protocol.md` §1, P19, P22).
        RingSeqReused,
        /// A restarted node does not go on from the ring sequence that it has stored
        /// (`docs/protocol.md` §1).
        StoredSeqIgnored,
        /// Ring ids are compared by their sequence alone (`docs/protocol.md` §1, P24).
        RingSeqAlone,
        /// T(R, R') is not delivered.
        TransitionalOmitted,
        /// T(R, R') holds whoever of R' bears a node id of R, in whatever incarnation (P19).
        TransitionalByNode,
        /// T(R, R') holds whoever of R' was in R, wherever it has been since.
        TransitionalByMember,
    }
    "EVS-3" {
        /// An own message past a gap is not delivered when the ring breaks.
        OwnLostPastGap,
        /// What follows a gap is thrown away when the ring breaks (P43).
        GapEndsDelivery,
        /// What is sent after the token is not put into the own window when its number is reserved
        /// (`docs/protocol.md` §4).
        ReservedNotHeld,
    }
    "EVS-4" {
        /// Recovery leaves out the last packet that somebody holds.
        RecoverySkipsOne,
        /// The token says that everything was received, whether or not it was
        /// (`docs/protocol.md` §2).
        CompleteTooEarly,
        /// How far others delivered in R is not looked at when R' is installed
        /// (`docs/protocol.md` §2).
        SafeLineNotShared,
        /// A packet of the old ring is taken in Commit, after its absence was told
        /// (`docs/protocol.md` §2, P45).
        LateInCommit,
        /// A packet of the old ring is taken in Recovery, after its absence was told
        /// (`docs/protocol.md` §2, P45).
        LateInRecovery,
        /// Unordered messages that were recovered are not delivered.
        UnorderedLost,
    }
    "EVS-5" {
        /// Agreed messages are delivered as they come, past gaps.
        PastGapInRegular,
    }
    "EVS-6" {
        /// Agreed messages overtake a safe one that waits.
        AgreedOvertakesSafe,
        /// When the ring breaks, messages past a gap are delivered from any sender
        /// (`docs/protocol.md` §2, P43).
        PastGapFromAnyone,
        /// What a sequence number stands for is fixed when it is sent after the token, not when it
        /// is reserved (`docs/protocol.md` §4).
        FilledLater,
        /// What is for another node is taken, too, if somebody hands it over: a token, above all.
        ForAnotherTaken,
        /// A token that was used is used again when its copy comes.
        DuplicateToken,
        /// A token of a ring that is gone is used.
        StaleToken,
    }
    "EVS-7" {
        /// Safe messages are delivered like agreed ones.
        SafeAtOnce,
        /// The safe line is the aru as sent on at one visit (`docs/protocol.md` §4, P3).
        SafeAtFirstVisit,
        /// At install, safe messages are delivered in R up to the first gap, whether or not all of
        /// R hold them (`docs/protocol.md` §2).
        SafeAtInstall,
        /// D is T alone: the obligations of failed attempts are not used (`docs/protocol.md` §2,
        /// P44).
        ObligationsIgnored,
        /// The obligations are forgotten when an attempt fails (`docs/protocol.md` §2, P44).
        ObligationsForgotten,
        /// The obligations are never taken over (`docs/protocol.md` §2).
        ObligationsNeverTaken,
        /// The token says that everything was received one visit before the obligations are taken
        /// over (`docs/protocol.md` §2).
        ObligationsLate,
        /// Of the obligations only T is taken over, not those of T's members (`docs/protocol.md`
        /// §2, docs/decisions/0003).
        ObligationsNarrow,
        /// A member acknowledges what was sent in the new ring before it has installed it
        /// (`docs/protocol.md` §2, docs/decisions/0005).
        AckBeforeInstall,
        /// Anybody raises the aru (`docs/protocol.md` §4).
        AruRaisedByAnyone,
        /// Nobody lowers the aru but who lowered it last (`docs/protocol.md` §4).
        AruNotLowered,
        /// Packets are released up to the token's aru instead of the safe line (P3).
        ReleasedEarly,
        /// An idle token bounces between two members (`docs/protocol.md` §5).
        ParkedBounces,
    }
    "EVS-8" {
        /// A FIFO message overtakes the one that its client sent before it.
        FifoOvertakes,
    }
    "EVS-9" {
        /// Unordered messages that were recovered are delivered in T(R, R').
        UnorderedInTransition,
    }
    "EVS-10" {
        /// A client goes on getting messages of a group that it has left.
        LeftGroupStays,
        /// A group that was joined twice is left at once.
        JoinsNotCounted,
        /// A client gets a message once for each of its groups.
        OncePerGroup,
    }
    "EVS-11" {
        /// A session begins without the current configuration.
        NoFirstConfiguration,
        /// Those who have left are not told.
        LeftNotTold,
        /// All members count as joined.
        AllJoined,
    }
    "EVS-12" {
        /// A piece of a message begins one byte early.
        PieceShifted,
        /// Incomplete messages of R are kept in R' (`docs/protocol.md` §2, P17).
        PartialsKept,
    }
    "LIVE-1" {
        /// A peer that has fallen silent is heard for ever (`docs/protocol.md` §6).
        SilenceUnnoticed,
        /// A ring does not tell others who hears whom (P31).
        NoMergeProbe,
        /// A processor claims to hold the packet after the last one that it has (P7).
        HoldsByHearsay,
        /// A new incarnation of a node that is heard is not taken in (P19).
        RestartUnnoticed,
        /// A datagram is accepted again as often as it comes.
        ReplayAccepted,
        /// A ring sequence is believed, however absurd (P21).
        AbsurdSeqBelieved,
    }
    "LIVE-2" {
        /// What was in packets that no ring sequenced is forgotten at a change.
        BacklogForgotten,
        /// A message that was interrupted by a change goes on where it was (P17).
        MessageContinued,
        /// What nothing higher was received after is never requested (P6).
        TailNotRequested,
        /// A client that was refused for want of room is never told that there is some.
        RoomNeverTold,
        /// What a client sent dies with it.
        SendsDieWithClient,
        /// An orderly leave says that nothing was dropped.
        DropsNotTold,
        /// An orderly leave does not wait until what was accepted is sent.
        LeavesAtOnce,
        /// A wake request is not repeated (`docs/protocol.md` §5, P12).
        WakeNotRepeated,
        /// An idle token is parked once it went round, before all know that everything is safe
        /// (`docs/protocol.md` §5).
        ParkedTooSoon,
        /// Who parks the token does not say so (`docs/protocol.md` §5).
        ParkedUntold,
        /// A lone sender keeps the token until somebody asks for it (`docs/protocol.md` §5).
        KeptForEver,
        /// A member that gets no data stalls the ring, and nobody minds (P9).
        DeafUnnoticed,
        /// Whoever is first takes all of the window (`docs/protocol.md` §4).
        SharesIgnored,
        /// The window stays as large as it is, whatever is lost (`docs/protocol.md` §4).
        WindowNeverShrinks,
        /// The window stays as it was in the beginning (`docs/protocol.md` §4).
        WindowNeverGrows,
    }
    "LIVE-3" {
        /// A working ring is left for a better partition at once, before all paths that heal are
        /// proven (`docs/protocol.md` §3).
        GrowsAtOnce,
        /// A ring is formed before all have proposed it, and of whomever the commit token names
        /// (`docs/protocol.md` §3).
        NoConsensus,
        /// A processor that is heard but does not join is waited for (`docs/protocol.md` §3).
        NeverGivenUp,
        /// A processor that was given up is taken back at once (`docs/protocol.md` §3).
        TakenBackAtOnce,
        /// Two processors hear each other if either says so (`docs/protocol.md` §3, P34).
        OneRowIsAnEdge,
        /// A working ring is changed for one that is as good (`docs/protocol.md` §3, P34).
        SwapsEquals,
        /// Small packets suffice to be heard (`docs/protocol.md` §6, P10, P55).
        SmallHellosSuffice,
        /// A path that comes and goes is used whenever it is there (`docs/protocol.md` §6).
        NoHoldDown,
        /// It is held down for no longer the next time (`docs/protocol.md` §6).
        HoldDownStays,
        /// Whoever starts is waited for only if it says so with other news (`docs/protocol.md` §3).
        AwaitedByNewsAlone,
    }
    "LIVE-4" {
        /// Who stood still takes the silence for the others' (`docs/protocol.md` §6, P36).
        PauseBlamesOthers,
        /// The ring gathers whenever foreign traffic tells something new (`docs/protocol.md` §3,
        /// P32).
        GatherOnNews,
    }
    "LIVE-5" {
        /// Of several silent processors one is given up at a time (`docs/protocol.md` §3).
        GivenUpOneByOne,
        /// The silence that is a verdict grows with the number of peers (`docs/protocol.md` §6).
        SilenceGrows,
        /// How late a hello once came is remembered for ever (`docs/protocol.md` §6).
        PatienceNeverFades,
    }
    "LIVE-6" {
        /// An own pause counts as silence of others and as the loss of the token
        /// (`docs/protocol.md` §6, P36).
        PauseIsSilence,
        /// Companions who are still heard are parted with before the detection target is over
        /// (`docs/protocol.md` §3).
        PartsSoon,
        /// A ring is left for a better one before all its members have installed it
        /// (`docs/protocol.md` §3).
        GrowsBeforeAll,
        /// Others are judged by a lowered detection target at once, though they may not have it yet
        /// (`docs/protocol.md` §3, §6).
        LoweredAtOnce,
        /// A parked token is not released until somebody asks for it (`docs/protocol.md` §5).
        ParkedForEver,
        /// Data that was lost is not sent again.
        DataNotRepeated,
        /// A token that was lost is not sent again.
        TokenNotRepeated,
        /// The token's numbers are compared modulo 2^32 (P13).
        NumbersWrap,
        /// Any data packet counts as proof that the token arrived (P1).
        RepetitionCancelled,
        /// A join that a member sent before the ring was formed breaks the ring (P26).
        JoinOfAnyTime,
        /// Packets are sent as large as before, though large datagrams get lost
        /// (`docs/protocol.md` §6, D30).
        MtuNeverShrinks,
        /// Parts of different packets are put together (`docs/wire.md` §1, D29).
        PartsMixed,
    }
}

#[cfg(not(evs_mutation))]
mod switch {
    use super::Defect;

    /// Whether this defect is switched on: never, in this build.
    #[inline(always)]
    #[must_use]
    pub const fn is_active(_: Defect) -> bool {
        false
    }

    /// Switches a defect on, and returns whether this build can: it cannot.
    #[must_use]
    pub const fn activate(_: Defect) -> bool {
        false
    }
}

#[cfg(evs_mutation)]
mod switch {
    use core::sync::atomic::{AtomicU16, Ordering};

    use super::Defect;

    /// The defect that is switched on; beyond all of them: none.
    static ACTIVE: AtomicU16 = AtomicU16::new(u16::MAX);

    /// Whether this defect is switched on.
    #[inline(always)]
    #[must_use]
    pub fn is_active(defect: Defect) -> bool {
        ACTIVE.load(Ordering::Relaxed) == defect as u16
    }

    /// Switches a defect on, instead of the one that was, in the whole process. Returns whether
    /// this build can.
    #[must_use]
    pub fn activate(defect: Defect) -> bool {
        ACTIVE.store(defect as u16, Ordering::Relaxed);
        true
    }
}

pub use switch::{activate, is_active};

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(evs_mutation))]
    #[test]
    fn no_defect_can_be_switched_on_in_an_ordinary_build() {
        for defect in Defect::ALL {
            assert!(!activate(*defect) && !is_active(*defect));
        }
    }
}
