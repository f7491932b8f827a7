//! Sealing: AES-256-GCM under a key of its own for every incarnation of every sender.
//!
//! Session key = HKDF-SHA256(salt, secret of the key file, info), where info binds the cluster's
//! name, the sender's node id and its incarnation. The nonce is the sender's packet counter, which
//! starts at 1, is never set back, and is one for all links and all keys; since the incarnation is
//! drawn at random at every start, no nonce is ever used twice with one key. The whole header is
//! authenticated with the payload: sender, link, cluster, and whom it is for.
//!
//! While keys are changed, two are known: what either seals is opened, and one of them seals
//! (`keys.rs`).
//!
//! The counter ends at 2^64 - 1 and is refused there. (The limit of 2^32 messages per key that is
//! often quoted for GCM is about random nonces.)

use std::fmt;

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use evs_model::{NodeId, Processor};
use thiserror::Error;

use crate::keys::{KEYS_MAX, Keyring};
use crate::parts::{PART_OVERHEAD, Part};
use crate::wire::{COUNTER_AT, Common, Copies, HEADER_LEN, Header, KeyId, Kind, TAG_LEN};
use crate::{ClusterKey, Discard, LINKS_MAX, LinkId, Links, PAYLOAD_BYTES_MAX};

/// How the datagrams of a cluster are protected. The same on all its nodes.
#[derive(Clone, Debug)]
pub enum SealMode {
    /// Encrypted and authenticated with the cluster's secret.
    Sealed(ClusterKey),
    /// Not at all (`seal = "none"`): whoever can send a datagram can speak for every node.
    Clear,
}

/// Why a payload was not sealed. Nothing was appended.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SealError {
    /// All 2^64 - 1 packet counters of this incarnation are used: the daemon must be restarted.
    #[error("every packet counter of this incarnation is used; restart the daemon")]
    CountersUsed,
    /// More than [`PAYLOAD_BYTES_MAX`] bytes.
    #[error("{0} bytes of payload, the limit (payload_bytes_max) is {PAYLOAD_BYTES_MAX}")]
    TooLong(usize),
}

/// The right to seal a payload once, for one link: it has a counter of its own, and is used up.
#[derive(Debug, Eq, PartialEq)]
pub struct Ticket {
    link: LinkId,
    copies: Copies,
    counter: u64,
    /// For this node alone.
    to: Option<NodeId>,
    audience: Audience,
    /// Seals this part of the payload alone.
    part: Option<Slice>,
}

/// For whom a datagram for all is, of those to whom its link leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Audience {
    /// For all of them.
    All,
    /// For those whose paths carry packets of full size.
    Wide,
    /// For the others.
    Narrow,
}

/// One part of a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Slice {
    number: u64,
    index: u8,
    count: u8,
}

/// How a payload leaves on one link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cut {
    /// In one piece, for these; else in parts only.
    pub(crate) whole: Option<Audience>,
    /// In so many parts, for the others; not at all if it is 0.
    pub(crate) parts: u8,
    pub(crate) others: Audience,
}

impl Cut {
    pub(crate) const WHOLE: Self =
        Self { whole: Some(Audience::All), parts: 0, others: Audience::Narrow };
}

/// The same for each link.
pub(crate) type Cuts = [Cut; LINKS_MAX];

impl Ticket {
    /// On which link the datagram is to travel.
    #[must_use]
    pub const fn link(&self) -> LinkId {
        self.link
    }

    /// For whom it is, if it is for all.
    #[must_use]
    pub const fn audience(&self) -> Audience {
        self.audience
    }

    /// How long a payload the datagram has that carries this one, or a part of it.
    pub(crate) fn payload_bytes(&self, bytes: usize) -> usize {
        self.part.map_or(bytes, |Slice { index, count, .. }| {
            Part { index, ..Part::of(bytes, count) }.range().len() + PART_OVERHEAD
        })
    }

    /// Whether it is for a part of the payload.
    pub(crate) const fn is_part(&self) -> bool {
        self.part.is_some()
    }
}

/// Seals what this incarnation sends, and owns its packet counter.
pub(crate) struct Sealer {
    common: Common,
    me: Processor,
    id: KeyId,
    key: Option<LessSafeKey>,
    used: u64,
    /// The version of the wire format in which this node speaks.
    version: u8,
}

impl Sealer {
    pub(crate) fn new(keyring: &Keyring, me: Processor) -> Self {
        let common = keyring.common();
        let version = common.versions.lowest();
        let mut sealer = Self { common, me, id: 0, key: None, used: 0, version: 0 };
        sealer.set_version(version);
        sealer.take_key(keyring);
        sealer
    }

    /// Seals with the key that the keyring says from now on. The counter goes on.
    pub(crate) fn take_key(&mut self, keyring: &Keyring) {
        (self.id, self.key) = match keyring.sending(self.me) {
            Some((id, key)) => (id, Some(key)),
            None => (0, None),
        };
    }

    /// Counters for one copy of a payload on each of these links, of which there is one at least:
    /// for one node, or for all. Alone: nobody gets two of them, so that they need no common name.
    pub(crate) fn copies(
        &mut self,
        links: Links,
        to: Option<NodeId>,
        alone: bool,
    ) -> Result<impl Iterator<Item = Ticket> + use<>, SealError> {
        let (first, count) = self.take(links, 0)?;
        Ok((0..count).zip(links.iter()).map(move |(place, link)| Ticket {
            link,
            copies: if alone { Copies::ONE } else { Copies { place, count } },
            counter: first + u64::from(place),
            to,
            audience: Audience::All,
            part: None,
        }))
    }

    /// The same where the payload is cut on some of the links. Each part has a counter of its own,
    /// and names the packet by that of its first copy.
    pub(crate) fn copies_cut(
        &mut self,
        links: Links,
        to: Option<NodeId>,
        alone: bool,
        cuts: Cuts,
    ) -> Result<impl Iterator<Item = Ticket> + use<>, SealError> {
        let parts = links.iter().map(|link| u64::from(cuts[link.place()].parts)).sum();
        let (first, count) = self.take(links, parts)?;
        // Behind the last counter of all there may be none, and no part that needs it.
        let mut next = first.wrapping_add(u64::from(count));
        Ok((0..count).zip(links.iter()).flat_map(move |(place, link)| {
            let cut = cuts[link.place()];
            let copies = if alone { Copies::ONE } else { Copies { place, count } };
            let own = first + u64::from(place);
            let number = if alone { own } else { first };
            let ticket =
                move |counter, audience, part| Ticket { link, copies, counter, to, audience, part };
            let whole = cut.whole.map(|audience| ticket(own, audience, None));
            let from = next;
            next = next.wrapping_add(u64::from(cut.parts));
            let parts = (0..cut.parts).map(move |index| {
                let slice = Slice { number, index, count: cut.parts };
                ticket(from + u64::from(index), cut.others, Some(slice))
            });
            whole.into_iter().chain(parts)
        }))
    }

    /// Takes a counter for each link, and so many more: the first of them, and the number of links.
    fn take(&mut self, links: Links, more: u64) -> Result<(u64, u8), SealError> {
        let count = u8::try_from(links.len()).expect("there are eight links");
        let first = self.used.checked_add(1).ok_or(SealError::CountersUsed)?;
        let used = self.used.checked_add(u64::from(count)).and_then(|used| used.checked_add(more));
        self.used = used.ok_or(SealError::CountersUsed)?;
        Ok((first, count))
    }

    /// Appends one datagram.
    pub(crate) fn seal(
        &self,
        ticket: &Ticket,
        kind: Kind,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SealError::TooLong(payload.len()));
        }
        let Ticket { link, copies, counter, to, part, .. } = *ticket;
        let (kind, payload, front) = match part {
            None => (kind, payload, None),
            Some(slice) => {
                let Slice { number, index, count } = slice;
                let part = Part { number, index, ..Part::of(payload.len(), count) };
                (Kind::Part, &payload[part.range()], Some(part.encode()))
            }
        };
        let (version, sender, key) = (self.version, self.me, self.id);
        let header = Header { version, kind, sender, link, copies, key, to, counter };
        let head = header.encode(self.common);
        out.reserve(payload.len() + HEADER_LEN + PART_OVERHEAD + TAG_LEN);
        out.extend_from_slice(&head);
        let start = out.len();
        if let Some(front) = front {
            out.extend_from_slice(&front);
        }
        out.extend_from_slice(payload);
        if let Some(key) = &self.key {
            let tag = key
                .seal_in_place_separate_tag(nonce(counter), Aad::from(&head), &mut out[start..])
                .expect("a payload below the AEAD's limit is sealed");
            out.extend_from_slice(tag.as_ref());
        }
        Ok(())
    }

    /// Seals something that travels on one link alone, for one node or for all.
    pub(crate) fn seal_one(
        &mut self,
        (link, to): (LinkId, Option<NodeId>),
        kind: Kind,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        self.copies(Links::one(link), to, true)?
            .try_for_each(|ticket| self.seal(&ticket, kind, payload, out))
    }

    /// Speaks in this version of the wire format from now on.
    pub(crate) fn set_version(&mut self, version: u16) {
        self.version = u8::try_from(version).expect("a version of the wire format is a byte");
    }

    pub(crate) const fn version(&self) -> u8 {
        self.version
    }

    pub(crate) const fn set_used(&mut self, used: u64) {
        self.used = used;
    }
}

/// Opens what one incarnation sent.
pub(crate) struct Opener {
    sender: Processor,
    common: Common,
    /// Of which state of the keyring the keys are.
    epoch: u64,
    keys: [Option<(KeyId, LessSafeKey)>; KEYS_MAX],
}

impl Opener {
    pub(crate) fn new(keyring: &Keyring, sender: Processor) -> Self {
        let keys = keyring.session_keys(sender);
        Self { sender, common: keyring.common(), epoch: keyring.epoch(), keys }
    }

    /// Authenticates a datagram whose header was decoded, and decrypts it in place.
    pub(crate) fn open<'d>(
        &mut self,
        keyring: &Keyring,
        header: &Header,
        datagram: &'d mut [u8],
    ) -> Result<&'d mut [u8], Discard> {
        if self.epoch != keyring.epoch() {
            *self = Self::new(keyring, self.sender);
        }
        let (head, sealed) = datagram.split_at_mut(HEADER_LEN);
        debug_assert_eq!(head, header.encode(self.common), "decode and encode are inverse");
        if !self.common.sealed {
            return Ok(sealed);
        }
        let known = self.keys.iter().flatten().find(|(id, _)| *id == header.key);
        let (_, key) = known.ok_or(Discard::Key)?;
        let head = &*head;
        key.open_in_place(nonce(header.counter), Aad::from(head), sealed)
            .map_err(|_| Discard::Unauthenticated)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener(..)")
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - size_of::<u64>()..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

const _: () = assert!(COUNTER_AT + size_of::<u64>() == HEADER_LEN, "the counter ends the header");

#[cfg(test)]
mod tests;
