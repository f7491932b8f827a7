//! Datagrams of anybody, sealed by the description in `docs/wire.md` §1 alone: a second
//! implementation of the seal, which `evs-net` must understand.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use evs_model::Processor;

/// What a datagram carries.
pub(crate) const HELLO: u8 = 1;
/// See [`HELLO`].
pub(crate) const RING: u8 = 2;
/// See [`HELLO`].
pub(crate) const PART: u8 = 3;

/// Bytes in front of a payload.
pub(crate) const HEADER_BYTES: usize = 38;

/// The secret of the forger and of whom it deceives.
pub(crate) const SECRET: [u8; 32] = [7; 32];

/// The name of the key: HKDF of the secret and "evs-net key name".
const KEY_NAME: u16 = 0x16a0;

/// Knows the cluster's secret, and everybody's session key therefore.
pub(crate) struct Forge {
    cluster: &'static str,
    sealed: bool,
    keys: BTreeMap<Processor, LessSafeKey>,
}

impl Forge {
    pub(crate) const fn new(cluster: &'static str, sealed: bool) -> Self {
        Self { cluster, sealed, keys: BTreeMap::new() }
    }

    /// One datagram.
    pub(crate) fn seal(
        &mut self,
        kind: u8,
        sender: Processor,
        counter: u64,
        payload: &[u8],
    ) -> Vec<u8> {
        self.seal_copy(kind, sender, (counter, 0, 0), payload)
    }

    /// One of several copies, or one for a single node.
    pub(crate) fn seal_copy(
        &mut self,
        kind: u8,
        sender: Processor,
        (counter, copy, to): (u64, u8, u32),
        payload: &[u8],
    ) -> Vec<u8> {
        let mut datagram = b"EVS\x01".to_vec();
        datagram.extend_from_slice(&[kind, u8::from(self.sealed)]);
        let name = digest::digest(&digest::SHA256, self.cluster.as_bytes());
        datagram.extend_from_slice(&name.as_ref()[..4]);
        datagram.extend_from_slice(&sender.node.get().to_le_bytes());
        datagram.extend_from_slice(&sender.incarnation.to_le_bytes());
        // The first link, which copy it is, the name of the key, and for whom it is.
        datagram.extend_from_slice(&[0, copy]);
        datagram.extend_from_slice(&self.key_name().to_le_bytes());
        datagram.extend_from_slice(&to.to_le_bytes());
        datagram.extend_from_slice(&counter.to_le_bytes());
        let header = datagram.clone();
        datagram.extend_from_slice(payload);
        if self.sealed {
            let sealed = &mut datagram[HEADER_BYTES..];
            let key = self.key(sender);
            let tag = key
                .seal_in_place_separate_tag(nonce(counter), Aad::from(&header), sealed)
                .expect("a short payload is sealed");
            datagram.extend_from_slice(tag.as_ref());
        }
        datagram
    }

    /// The payload of a datagram of this sender.
    pub(crate) fn open(&mut self, sender: Processor, datagram: &[u8]) -> Vec<u8> {
        let (header, payload) = datagram.split_at(HEADER_BYTES);
        let mut payload = payload.to_vec();
        if self.sealed {
            let counter = u64::from_le_bytes(header[30..].try_into().expect("eight bytes"));
            let opened = self
                .key(sender)
                .open_in_place(nonce(counter), Aad::from(header), &mut payload)
                .expect("the seal of what an endpoint sends is right")
                .len();
            payload.truncate(opened);
        }
        payload
    }

    const fn key_name(&self) -> u16 {
        if self.sealed { KEY_NAME } else { 0 }
    }

    fn key(&mut self, sender: Processor) -> &LessSafeKey {
        let cluster = self.cluster;
        self.keys.entry(sender).or_insert_with(|| {
            let root = Salt::new(HKDF_SHA256, b"evs-net session key, version 1").extract(&SECRET);
            let length = (cluster.len() as u64).to_le_bytes();
            let node = sender.node.get().to_le_bytes();
            let incarnation = sender.incarnation.to_le_bytes();
            let info: [&[u8]; 4] = [&length, cluster.as_bytes(), &node, &incarnation];
            let key = root.expand(&info, &AES_256_GCM).expect("one block");
            LessSafeKey::new(UnboundKey::from(key))
        })
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}
