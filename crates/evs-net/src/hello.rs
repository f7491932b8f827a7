//! Hellos: what nodes tell each other about whom they hear (`docs/protocol.md` §6).
//!
//! ```text
//!  0..8   challenge: a fresh random number, to be echoed
//!  8..16  age of the sender's incarnation in milliseconds
//! 16..20  stamp: the sender's clock in microseconds, modulo 2^32
//! 20..22  how many peers the sender hears
//! 22..24  the sender's detection target in milliseconds, from 10 to 60,000
//! 24..28  covers: lowest and
//! 28..32    highest node id that this hello speaks about
//! 32..33  flags: 1: a holder follows the echoes; 2: the hello may be padded; 4: this answers an
//!         incarnation while another one of its node is heard
//! 33      lowest and
//! 34        highest version of the wire format that the sender speaks
//! 35..37  number of echoes, at most 32
//! 37..    echoes, ascending by node id, each
//!            0..4   node id
//!            4..12  incarnation
//!           12..20  that incarnation's latest challenge
//!           20..24  its stamp, moved on by the time that it waited here
//!           24..28  how many of its datagrams had come on this link when that challenge did
//!           28..32  how many of them were large: longer than the safe size
//!           32..34  how many of 10,000 datagrams to it get lost; 32,768 more if large ones do
//! then    the holder: incarnation (8), age in milliseconds (8)
//! last    zeros, in a padded hello: as many as make it as long as the datagrams that it tries
//! ```
//! Numbers are little-endian. A hello speaks about the link on which it travels. A node in the
//! covered range without an echo is not heard on it.

use evs_model::{NodeId, Versions};
use thiserror::Error;

/// Most echoes in one hello (`hello_echoes_max`), so that a hello fits the smallest IPv6 packet.
pub const HELLO_ECHOES_MAX: usize = 32;

/// One hello as a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// A fresh random number. Who echoes it is alive now.
    pub challenge: u64,
    /// Milliseconds since the sender's start.
    pub age_ms: u64,
    /// The sender's clock in microseconds, modulo 2^32, when it sent this.
    pub stamp: u32,
    /// How many peers the sender hears.
    pub heard: u16,
    /// After how many milliseconds of silence the sender gives a peer up: it is to be spoken to ten
    /// times as often.
    pub detection_ms: u16,
    /// The lowest and highest node id about which the echoes are complete.
    pub covers: (u32, u32),
    /// The versions of the wire format that the sender speaks.
    pub versions: Versions,
    /// Whom the sender hears, ascending by node id, at most [`HELLO_ECHOES_MAX`].
    pub echoes: Vec<Echo>,
    /// Whether this is padded: who echoes its challenge gets datagrams of its size.
    pub full: bool,
    /// In an answer to one incarnation: the sender hears another one of its node at present.
    pub other: bool,
    /// In an answer to one processor: another incarnation owns its node id in the sender's eyes.
    pub holder: Option<Holder>,
}

/// "I hear this processor, and this is its latest challenge."
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Echo {
    /// Its node.
    pub node: NodeId,
    /// Its incarnation.
    pub incarnation: u64,
    /// Its latest challenge.
    pub challenge: u64,
    /// The stamp that came with the challenge, plus the microseconds since.
    pub stamp: u32,
    /// How many of its datagrams had come on this link when that challenge did, modulo 2^32,
    /// without those that travel in several copies, and padded hellos.
    pub received: u32,
    /// How many of them were longer than [`SAFE_DATAGRAM_BYTES`](crate::SAFE_DATAGRAM_BYTES).
    pub received_large: u32,
    /// What becomes of the sender's datagrams to it on this link.
    pub losses: Losses,
}

/// What becomes of datagrams on a path in one direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Losses {
    /// How many are lost, in parts of a million, averaged; told to others in parts of 10,000.
    pub loss_ppm: u32,
    /// Packets of full size do not arrive unless they are cut.
    pub narrow: bool,
}

impl Losses {
    fn decode(bits: u16) -> Option<Self> {
        let parts = u32::from(bits & !NARROW);
        (parts <= PARTS).then_some(Self { loss_ppm: parts * 100, narrow: bits & NARROW != 0 })
    }

    fn encode(self) -> u16 {
        let parts = u16::try_from((self.loss_ppm / 100).min(PARTS)).expect("it fits 14 bits");
        parts | if self.narrow { NARROW } else { 0 }
    }
}

/// In the losses of an echo: all, and the flag.
const PARTS: u32 = 10_000;
const NARROW: u16 = 0x8000;

/// The living incarnation that owns a node id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its number.
    pub incarnation: u64,
    /// Milliseconds since its start.
    pub age_ms: u64,
}

/// Why bytes are no hello.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum HelloError {
    /// The length does not fit the number of echoes.
    #[error("{0} bytes are no hello")]
    Length(usize),
    /// More than [`HELLO_ECHOES_MAX`].
    #[error("{0} echoes in a hello, the limit (hello_echoes_max) is {HELLO_ECHOES_MAX}")]
    TooManyEchoes(usize),
    /// A flag that is neither 0 nor 1, an inverted range, no version, a detection target out of
    /// range, or echoes out of order or range.
    #[error("a hello with a field out of range")]
    Field,
    /// The padding holds something.
    #[error("a hello whose padding is not zero")]
    Padding,
}

impl Hello {
    /// The one that it speaks about, if it is one: it is for nobody else.
    #[must_use]
    pub fn addressee(&self) -> Option<NodeId> {
        NodeId::new(self.covers.0).filter(|_| self.is_answer())
    }

    /// Decodes a payload, however long its padding. Never panics, and allocates at most
    /// [`HELLO_ECHOES_MAX`] echoes.
    ///
    /// # Errors
    /// The bytes are not exactly one valid hello.
    pub fn decode(payload: &[u8]) -> Result<Self, HelloError> {
        let mut fields = Fields(payload);
        let hello = Self::fields(&mut fields).ok_or(HelloError::Length(payload.len()))??;
        if !hello.full && !fields.0.is_empty() {
            return Err(HelloError::Length(payload.len()));
        }
        if fields.0.iter().any(|byte| *byte != 0) {
            return Err(HelloError::Padding);
        }
        Ok(hello)
    }

    /// Appends the encoded hello; a full one is padded to so many bytes.
    ///
    /// # Panics
    /// More than [`HELLO_ECHOES_MAX`] echoes, or a version above 255.
    pub fn encode(&self, full_bytes: usize, out: &mut Vec<u8>) {
        let start = out.len();
        assert!(self.echoes.len() <= HELLO_ECHOES_MAX, "a hello is bounded");
        let count = u16::try_from(self.echoes.len()).expect("bounded above");
        out.extend_from_slice(&self.challenge.to_le_bytes());
        out.extend_from_slice(&self.age_ms.to_le_bytes());
        out.extend_from_slice(&self.stamp.to_le_bytes());
        out.extend_from_slice(&self.heard.to_le_bytes());
        out.extend_from_slice(&self.detection_ms.to_le_bytes());
        out.extend_from_slice(&self.covers.0.to_le_bytes());
        out.extend_from_slice(&self.covers.1.to_le_bytes());
        let holder = if self.holder.is_some() { HOLDER } else { 0 };
        let other = if self.other { OTHER } else { 0 };
        out.push(holder | other | if self.full { FULL } else { 0 });
        for version in [self.versions.lowest(), self.versions.highest()] {
            out.push(u8::try_from(version).expect("a version of the wire format is a byte"));
        }
        out.extend_from_slice(&count.to_le_bytes());
        for echo in &self.echoes {
            out.extend_from_slice(&echo.node.get().to_le_bytes());
            out.extend_from_slice(&echo.incarnation.to_le_bytes());
            out.extend_from_slice(&echo.challenge.to_le_bytes());
            out.extend_from_slice(&echo.stamp.to_le_bytes());
            out.extend_from_slice(&echo.received.to_le_bytes());
            out.extend_from_slice(&echo.received_large.to_le_bytes());
            out.extend_from_slice(&echo.losses.encode().to_le_bytes());
        }
        if let Some(holder) = self.holder {
            out.extend_from_slice(&holder.incarnation.to_le_bytes());
            out.extend_from_slice(&holder.age_ms.to_le_bytes());
        }
        if self.full {
            let bytes = full_bytes.max(out.len() - start);
            out.resize(start + bytes, 0);
        }
    }

    /// What this hello says about a node: `None` if it does not speak about it, `Some(None)` if
    /// the sender does not hear it.
    #[must_use]
    pub fn about(&self, node: NodeId) -> Option<Option<Echo>> {
        let covered = (self.covers.0..=self.covers.1).contains(&node.get());
        let echo = self.echoes.binary_search_by_key(&node, |echo| echo.node);
        covered.then(|| echo.ok().map(|place| self.echoes[place]))
    }

    /// Whether this answers one processor; else it goes to all.
    pub(crate) const fn is_answer(&self) -> bool {
        self.covers.0 == self.covers.1
    }

    /// `None`: too short.
    fn fields(fields: &mut Fields<'_>) -> Option<Result<Self, HelloError>> {
        let challenge = fields.u64()?;
        let age_ms = fields.u64()?;
        let stamp = fields.u32()?;
        let heard = fields.u16()?;
        let detection_ms = fields.u16()?;
        let covers = (fields.u32()?, fields.u32()?);
        let [flags] = fields.take()?;
        let [lowest, highest] = fields.take()?;
        let versions = Versions::new(lowest.into(), highest.into());
        let count = usize::from(fields.u16()?);
        if count > HELLO_ECHOES_MAX {
            return Some(Err(HelloError::TooManyEchoes(count)));
        }
        let patient = (DETECTION_MS_MIN..=DETECTION_MS_MAX).contains(&detection_ms);
        if flags > HOLDER | FULL | OTHER || covers.0 > covers.1 || !patient {
            return Some(Err(HelloError::Field));
        }
        let Some(versions) = versions else {
            return Some(Err(HelloError::Field));
        };
        let mut echoes = Vec::with_capacity(count);
        let mut lowest = covers.0.max(1);
        for _ in 0..count {
            let node = fields.u32()?;
            let incarnation = fields.u64()?;
            let challenge = fields.u64()?;
            let stamp = fields.u32()?;
            let (received, received_large) = (fields.u32()?, fields.u32()?);
            let Some(losses) = Losses::decode(fields.u16()?) else {
                return Some(Err(HelloError::Field));
            };
            let node = NodeId::new(node).filter(|n| (lowest..=covers.1).contains(&n.get()));
            let Some(node) = node else {
                return Some(Err(HelloError::Field));
            };
            // Saturates at the highest id, which the next echo then repeats: found below.
            if echoes.last().is_some_and(|last: &Echo| last.node == node) {
                return Some(Err(HelloError::Field));
            }
            lowest = node.get().saturating_add(1);
            echoes.push(Echo {
                node,
                incarnation,
                challenge,
                stamp,
                received,
                received_large,
                losses,
            });
        }
        let (full, other) = (flags & FULL != 0, flags & OTHER != 0);
        let holder = match flags & HOLDER {
            0 => None,
            _ => Some(Holder { incarnation: fields.u64()?, age_ms: fields.u64()? }),
        };
        Some(Ok(Self {
            challenge,
            age_ms,
            stamp,
            heard,
            detection_ms,
            covers,
            versions,
            echoes,
            full,
            other,
            holder,
        }))
    }
}

/// Takes numbers off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// Flags of a hello.
const HOLDER: u8 = 1;
const OTHER: u8 = 4;
const FULL: u8 = 2;

pub(crate) const DETECTION_MS_MIN: u16 = 10;
pub(crate) const DETECTION_MS_MAX: u16 = 60_000;

#[cfg(test)]
mod tests;
