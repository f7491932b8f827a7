//! Who takes part: nodes, their incarnations, and the rings that they form.

use core::fmt;
use core::num::NonZeroU32;

/// The operator's number for a host, never 0. It survives restarts; see [`Processor`].
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId(NonZeroU32);

impl NodeId {
    /// Returns the node id, or `None` for 0, which names nobody.
    #[must_use]
    pub const fn new(id: u32) -> Option<Self> {
        match NonZeroU32::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One running incarnation of a node (`docs/contract.md`, "Words").
///
/// A node that restarted is a different processor: its incarnation is drawn at random at every
/// start, so that identity never rests on a stored file.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Processor {
    /// The node.
    pub node: NodeId,
    /// A random number drawn at every start. It has no order in time.
    pub incarnation: u64,
}

impl Processor {
    /// Puts the two halves together.
    #[must_use]
    pub const fn new(node: NodeId, incarnation: u64) -> Self {
        Self { node, incarnation }
    }
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `2/9f3a`: the node and the low 16 bits of its incarnation, enough to tell two apart in a log.
impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:04x}", self.node, self.incarnation & 0xffff)
    }
}

/// Names one regular configuration, for ever (EVS-2). Always compared whole.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RingId {
    /// Grows in the history of one processor, starting at 1.
    pub seq: u64,
    /// The representative that formed the ring: the member with the lowest node id.
    pub rep: Processor,
}

impl RingId {
    /// The ring id as the C ABI's one number: the sequence above, the low 24 bits of the
    /// representative's incarnation below. A sequence beyond 40 bits saturates.
    #[must_use]
    pub const fn c_seq(self) -> u64 {
        let epoch = if self.seq >= 1 << 40 { (1 << 40) - 1 } else { self.seq };
        (epoch << 24) | (self.rep.incarnation & 0xff_ffff)
    }
}

impl fmt::Debug for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `17@1/9f3a`: the sequence and the representative.
impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.seq, self.rep)
    }
}
