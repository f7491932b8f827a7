//! Sealing: AES-256-GCM under a key of its own for every incarnation of every sender.
//!
//! Session key = HKDF-SHA256(salt, secret of the key file, info), where info binds the cluster's
//! name, the sender's node id and its incarnation. The nonce is the sender's packet counter, which
//! starts at 1 and is never set back; since the incarnation is drawn at random at every start, no
//! nonce is ever used twice with one key. The whole header is authenticated with the payload.
//!
//! The counter ends at 2^64 - 1 and is refused there. (The limit of 2^32 messages per key that is
//! often quoted for GCM is about random nonces.)

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use evs_model::Processor;
use thiserror::Error;

use crate::wire::{COUNTER_AT, Common, HEADER_LEN, Header, Kind, TAG_LEN};
use crate::{ClusterKey, Discard, PAYLOAD_BYTES_MAX};

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

/// Derives the session keys of a cluster.
pub(crate) struct Keyring {
    common: Common,
    cluster: String,
    root: Option<Prk>,
}

impl Keyring {
    pub(crate) fn new(mode: &SealMode, cluster: &str) -> Self {
        let root = match mode {
            SealMode::Sealed(key) => Some(Salt::new(HKDF_SHA256, SALT).extract(key.secret())),
            SealMode::Clear => None,
        };
        let common = Common::new(cluster, root.is_some());
        Self { common, cluster: cluster.to_owned(), root }
    }

    pub(crate) const fn common(&self) -> Common {
        self.common
    }

    pub(crate) fn opener(&self, sender: Processor) -> Opener {
        Opener { common: self.common, key: self.session_key(sender) }
    }

    pub(crate) fn sealer(&self, me: Processor) -> Sealer {
        Sealer { common: self.common, me, key: self.session_key(me), used: 0 }
    }

    fn session_key(&self, sender: Processor) -> Option<LessSafeKey> {
        let root = self.root.as_ref()?;
        // Lengths first, so that no two contexts read the same.
        let length = u64::try_from(self.cluster.len()).expect("a length fits 64 bits");
        let info: [&[u8]; 4] = [
            &length.to_le_bytes(),
            self.cluster.as_bytes(),
            &sender.node.get().to_le_bytes(),
            &sender.incarnation.to_le_bytes(),
        ];
        let okm = root.expand(&info, &AES_256_GCM).expect("one block of output is allowed");
        Some(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

/// Seals what this incarnation sends, and owns its packet counter.
pub(crate) struct Sealer {
    common: Common,
    me: Processor,
    key: Option<LessSafeKey>,
    used: u64,
}

impl Sealer {
    /// Appends one datagram.
    pub(crate) fn seal(
        &mut self,
        kind: Kind,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SealError::TooLong(payload.len()));
        }
        let counter = self.used.checked_add(1).ok_or(SealError::CountersUsed)?;
        self.used = counter;
        let head = Header { kind, sender: self.me, counter }.encode(self.common);
        out.reserve(payload.len() + HEADER_LEN + TAG_LEN);
        out.extend_from_slice(&head);
        let start = out.len();
        out.extend_from_slice(payload);
        if let Some(key) = &self.key {
            let tag = key
                .seal_in_place_separate_tag(nonce(counter), Aad::from(&head), &mut out[start..])
                .expect("a payload below the AEAD's limit is sealed");
            out.extend_from_slice(tag.as_ref());
        }
        Ok(())
    }

    pub(crate) const fn set_used(&mut self, used: u64) {
        self.used = used;
    }
}

/// Opens what one incarnation sent.
pub(crate) struct Opener {
    common: Common,
    key: Option<LessSafeKey>,
}

impl Opener {
    /// Authenticates a datagram whose header was decoded, and decrypts it in place.
    pub(crate) fn open<'d>(
        &self,
        header: &Header,
        datagram: &'d mut [u8],
    ) -> Result<&'d mut [u8], Discard> {
        let (head, sealed) = datagram.split_at_mut(HEADER_LEN);
        debug_assert_eq!(head, header.encode(self.common), "decode and encode are inverse");
        let Some(key) = &self.key else {
            return Ok(sealed);
        };
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

const SALT: &[u8] = b"evs-net session key, version 1";
const _: () = assert!(COUNTER_AT + size_of::<u64>() == HEADER_LEN, "the counter ends the header");

#[cfg(test)]
mod tests;
