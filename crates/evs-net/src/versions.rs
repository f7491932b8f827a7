//! Which versions of the wire format are spoken, and in which one this node speaks.

use std::net::SocketAddr;

use evs_model::{Instant, NodeId, Versions};

use crate::peer::Session;
use crate::reach::Reach;
use crate::wire::HEADER_LEN;

/// The one whose layout is in these sources. It covers what is sealed, hellos, and the packets of
/// the ring.
pub(crate) const VERSION: u8 = 1;

const SPOKEN: Versions = Versions::new(VERSION as u16, VERSION as u16).expect("not 0");

/// The versions of the wire format that this build speaks.
#[must_use]
pub fn spoken() -> Versions {
    #[cfg(feature = "next-version")]
    return SPOKEN.with_next();
    #[cfg(not(feature = "next-version"))]
    SPOKEN
}

impl Reach {
    /// The version in which all that leaves is written: the highest that this node has in common
    /// with everybody of whom it knows, or else with all whom it hears, or else its own lowest:
    /// who has anything in common with this node can tell it so in that, or is told.
    ///
    /// A peer that has been silent for the detection target counts no more: it may come back as
    /// another build.
    pub(crate) fn speaks(&self) -> u16 {
        let heard = || self.peers().iter().filter(|peer| peer.up);
        let heard = || heard().filter_map(|peer| peer.current.as_deref());
        let known = self.peers().iter().flat_map(|peer| peer.current.iter().chain(&peer.candidate));
        let fresh = |session: &&Session| self.now().since(session.hello_at) < self.target();
        let known = known.map(Box::as_ref).filter(fresh).chain(heard());
        let common = self.in_common(known).or_else(|| self.in_common(heard()));
        common.map_or_else(|| self.versions().lowest(), Versions::highest)
    }

    /// What this node and all of these speak, if there is any of them.
    fn in_common<'a>(&self, sessions: impl Iterator<Item = &'a Session>) -> Option<Versions> {
        let mut said = sessions.filter_map(|session| session.versions).peekable();
        said.peek()?;
        said.try_fold(self.versions(), Versions::common)
    }
}

/// What a datagram of a foreign version says of itself. Nothing of it can be checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Claim {
    pub(crate) version: u8,
    pub(crate) node: Option<NodeId>,
}

impl Claim {
    /// What stands at the same place in all versions; `None`: too short.
    pub(crate) fn of(datagram: &[u8]) -> Option<Self> {
        let head = datagram.first_chunk::<HEADER_LEN>()?;
        let node = u32::from_le_bytes([head[10], head[11], head[12], head[13]]);
        Some(Self { version: head[3], node: NodeId::new(node) })
    }
}

/// A node of which datagrams come whose version this node does not speak, by their own word, which
/// nobody has checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Foreign {
    /// The node; `None`: one that is no peer.
    pub node: Option<NodeId>,
    /// The version of the latest of its datagrams.
    pub version: u8,
    /// Where that came from.
    pub source: SocketAddr,
    /// When.
    pub at: Instant,
    /// How many have come.
    pub datagrams: u64,
}

/// What is remembered of foreign versions: a note for each peer, and one for all who are none.
#[derive(Debug, Default)]
pub(crate) struct Foreigners(Vec<Foreign>);

impl Foreigners {
    /// Notes a datagram of a peer, or of somebody who is none.
    pub(crate) fn note(
        &mut self,
        at: Instant,
        source: SocketAddr,
        version: u8,
        node: Option<NodeId>,
    ) {
        let latest = Foreign { node, version, source, at, datagrams: 1 };
        match self.0.iter_mut().find(|note| note.node == node) {
            Some(note) => {
                let datagrams = note.datagrams.saturating_add(1);
                *note = Foreign { datagrams, ..latest };
            }
            None => self.0.push(latest),
        }
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.0.retain(|note| note.node != Some(node));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Foreign> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
