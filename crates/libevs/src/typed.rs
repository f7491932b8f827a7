//! The types of the extended interface, as C lays them out (`include/evs/evs_ext.h`), and what
//! the client's events become in them.

use std::ffi::{c_uint, c_void};

use evs::{ChangeReason, DisconnectReason};

use crate::abi::{GroupKey, Handle};

/// `struct evs_processor`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Processor {
    /// 0 for none.
    pub nodeid: u32,
    /// Random at each start of the node.
    pub incarnation: u64,
}

impl From<evs::Processor> for Processor {
    fn from(processor: evs::Processor) -> Self {
        Self { nodeid: processor.node.get(), incarnation: processor.incarnation }
    }
}

/// `struct evs_ring`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Ring {
    /// Grows.
    pub seq: u64,
    /// Who formed it.
    pub representative: Processor,
}

impl From<evs::RingId> for Ring {
    fn from(ring: evs::RingId) -> Self {
        Self { seq: ring.seq, representative: ring.rep.into() }
    }
}

impl TryFrom<Ring> for evs::RingId {
    type Error = ();

    fn try_from(ring: Ring) -> Result<Self, ()> {
        let node = evs::NodeId::new(ring.representative.nodeid).ok_or(())?;
        let rep = evs::Processor::new(node, ring.representative.incarnation);
        Ok(Self { seq: ring.seq, rep })
    }
}

/// `struct evs_reason`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Reason {
    /// `evs_reason_kind_t`.
    pub kind: c_uint,
    /// Whom it concerns.
    pub one: Processor,
    /// The other of two.
    pub other: Processor,
}

impl From<ChangeReason> for Reason {
    fn from(reason: ChangeReason) -> Self {
        let nobody = Processor::default();
        let (kind, one, other) = match reason {
            ChangeReason::Begin => (0, nobody, nobody),
            ChangeReason::TokenLost => (1, nobody, nobody),
            ChangeReason::PathLost(one, other) => (2, one.into(), other.into()),
            ChangeReason::MemberLeft(member) => (3, member.into(), nobody),
            ChangeReason::MemberAsked(member) => (4, member.into(), nobody),
            ChangeReason::Growth(newcomer) => (5, newcomer.into(), nobody),
            ChangeReason::OutOfRange => (6, nobody, nobody),
        };
        Self { kind, one, other }
    }
}

/// `struct evs_processors`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Processors {
    /// By ascending node id; never null.
    pub list: *const Processor,
    /// How many.
    pub count: usize,
}

/// `struct evs_regular`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Regular {
    /// Its name.
    pub ring: Ring,
    /// Who is in it.
    pub members: Processors,
    /// Who is no longer.
    pub left: Processors,
    /// Who is new.
    pub joined: Processors,
    /// Why.
    pub reason: Reason,
}

/// `struct evs_transitional`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Transitional {
    /// What ends.
    pub from: Ring,
    /// What follows.
    pub to: Ring,
    /// Who goes from one to the other.
    pub members: Processors,
    /// Who does not.
    pub left: Processors,
    /// Why.
    pub reason: Reason,
}

/// `struct evs_message`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Message {
    /// Never null, aligned for everything.
    pub body: *const c_void,
    /// In bytes.
    pub size: usize,
    /// Whose daemon sent it.
    pub sender: Processor,
    /// The session there.
    pub client: u64,
    /// That session's count.
    pub number: u64,
    /// The configuration in which it was sent.
    pub ring: Ring,
    /// Its place there.
    pub seq: u64,
    /// `evs_guarantee_t`.
    pub guarantee: c_uint,
    /// To whom.
    pub groups: *const GroupKey,
    /// How many groups.
    pub group_count: usize,
}

/// `evs_typed_callbacks_t`. A null callback consumes its events.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TypedCallbacks {
    /// Called for each message.
    // SAFETY: the caller passes a message, valid during the call with all that it points to.
    pub message: Option<unsafe extern "C" fn(Handle, *const Message)>,
    /// Called for each regular configuration.
    // SAFETY: the caller passes a configuration, valid during the call with all its lists.
    pub regular: Option<unsafe extern "C" fn(Handle, *const Regular)>,
    /// Called for each transitional configuration.
    // SAFETY: the caller passes a configuration, valid during the call with all its lists.
    pub transitional: Option<unsafe extern "C" fn(Handle, *const Transitional)>,
    /// Called at the end of the session.
    // SAFETY: it is given nothing but values.
    pub end: Option<unsafe extern "C" fn(Handle, c_uint)>,
}

/// `evs_end_t` for the end of a session, if there was one.
pub(crate) const fn end_number(reason: Option<DisconnectReason>) -> c_uint {
    match reason {
        None => 0,
        Some(DisconnectReason::Shutdown) => 2,
        Some(DisconnectReason::TooSlow) => 3,
        Some(DisconnectReason::ProtocolError) => 4,
        Some(DisconnectReason::Malformed) => 5,
        Some(DisconnectReason::Lost | _) => 1,
    }
}

/// `struct evs_version`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Version {
    /// Of the library.
    pub library_major: c_uint,
    /// Of the library.
    pub library_minor: c_uint,
    /// Of the library.
    pub library_patch: c_uint,
    /// `EVS_EXT_INTERFACE` of the library.
    pub interface: c_uint,
    /// Between library and daemon.
    pub protocol: c_uint,
}

/// `EVS_EXT_INTERFACE`.
const INTERFACE: c_uint = 2;

/// Of this library.
pub(crate) fn version() -> Version {
    let number = |text: &str| text.parse().unwrap_or(0);
    Version {
        library_major: number(env!("CARGO_PKG_VERSION_MAJOR")),
        library_minor: number(env!("CARGO_PKG_VERSION_MINOR")),
        library_patch: number(env!("CARGO_PKG_VERSION_PATCH")),
        interface: INTERFACE,
        protocol: evs::PROTOCOL_VERSION.into(),
    }
}

/// The processors of a list. There is memory behind an empty one too: C may look at its address.
#[derive(Debug)]
pub(crate) struct List(Vec<Processor>);

impl List {
    pub(crate) fn new(members: &evs::Members) -> Self {
        let mut list = Vec::with_capacity(members.len().max(1));
        list.extend(members.iter().map(Processor::from));
        Self(list)
    }

    /// As C sees it, while this list is there.
    pub(crate) const fn for_c(&self) -> Processors {
        Processors { list: self.0.as_ptr(), count: self.0.len() }
    }
}

#[cfg(test)]
mod tests {
    use evs::NodeId;

    use super::*;

    fn p(node: u32) -> evs::Processor {
        evs::Processor::new(NodeId::new(node).expect("not zero"), 7)
    }

    #[test]
    fn each_reason_has_its_number_and_names_whom_it_concerns() {
        let told = |reason| {
            let Reason { kind, one, other } = Reason::from(reason);
            (kind, one.nodeid, other.nodeid)
        };
        assert_eq!(told(ChangeReason::Begin), (0, 0, 0));
        assert_eq!(told(ChangeReason::TokenLost), (1, 0, 0));
        assert_eq!(told(ChangeReason::PathLost(p(2), p(3))), (2, 2, 3));
        assert_eq!(told(ChangeReason::MemberLeft(p(4))), (3, 4, 0));
        assert_eq!(told(ChangeReason::MemberAsked(p(5))), (4, 5, 0));
        assert_eq!(told(ChangeReason::Growth(p(6))), (5, 6, 0));
        assert_eq!(told(ChangeReason::OutOfRange), (6, 0, 0));
    }

    #[test]
    fn each_end_has_its_number() {
        let ends = [
            None,
            Some(DisconnectReason::Lost),
            Some(DisconnectReason::Shutdown),
            Some(DisconnectReason::TooSlow),
            Some(DisconnectReason::ProtocolError),
            Some(DisconnectReason::Malformed),
        ];
        assert_eq!(ends.map(end_number), [0, 1, 2, 3, 4, 5]);
    }
}
