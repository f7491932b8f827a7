//! The keys of a cluster: one, or two while they are changed without a break.
//!
//! Changing takes three steps, each on every node before the next: *add* (what the new key seals is
//! opened), *use* (the new key seals), *drop* (the old key opens nothing any more). A node that was
//! down meanwhile comes back with any key that is still known. A key is put to the test before it
//! is taken.

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use evs_model::{NodeId, Processor, Versions};
use thiserror::Error;

use crate::seal::{Opener, SealMode, Sealer};
use crate::wire::{Common, Header, KeyId, Kind};
use crate::{ClusterKey, LinkId};

/// Most keys at a time.
pub const KEYS_MAX: usize = 2;

/// Why the keys were left as they are.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum KeyChangeError {
    /// `seal = "none"`.
    #[error("the cluster is not sealed (cluster.seal is \"none\"): there are no keys to change")]
    NotSealed,
    /// There are two keys, and neither is this one. The one that does not seal is named.
    #[error("two keys are known already: drop {0:04x}, which is not in use, first")]
    TooMany(u16),
    /// No such key.
    #[error("no key {0:04x} is known")]
    Unknown(u16),
    /// The key that seals is not dropped; the other one is named, too.
    #[error("key {0:04x} is in use: use {1:04x} first, on every node")]
    InUse(u16, u16),
    /// Nor is the only one.
    #[error("key {0:04x} is the only one: add another one and use that first, on every node")]
    Only(u16),
    /// Two keys whose short names are the same, one in 65,536.
    #[error("the new key has the name {0:04x}, as the present one: make another one")]
    SameName(u16),
    /// What this key seals does not open.
    #[error("key {0:04x} fails its self-test: the cryptographic library is not to be trusted")]
    SelfTest(u16),
}

/// Derives the session keys of a cluster.
pub(crate) struct Keyring {
    common: Common,
    cluster: String,
    roots: Vec<Root>,
    /// The place of the root that seals.
    sending: usize,
    epoch: u64,
}

struct Root {
    id: KeyId,
    key: ClusterKey,
}

/// As good as the key itself: so it is made where it is needed, stays where it was made, and is
/// wiped out there.
fn extract(key: &ClusterKey) -> Prk {
    Salt::new(HKDF_SHA256, SALT).extract(key.secret())
}

impl Root {
    fn new(key: &ClusterKey) -> Self {
        let mut id = [0; size_of::<KeyId>()];
        let prk = extract(key);
        let okm = prk.expand(&[NAME], Name).expect("two bytes of output are allowed");
        okm.fill(&mut id).expect("its length was named");
        // 0 is the name of no key.
        Self { id: KeyId::from_le_bytes(id).max(1), key: key.clone() }
    }

    fn session_key(&self, cluster: &str, sender: Processor) -> LessSafeKey {
        // Lengths first, so that no two contexts read the same.
        let length = u64::try_from(cluster.len()).expect("a length fits 64 bits");
        let info: [&[u8]; 4] = [
            &length.to_le_bytes(),
            cluster.as_bytes(),
            &sender.node.get().to_le_bytes(),
            &sender.incarnation.to_le_bytes(),
        ];
        let prk = extract(&self.key);
        let okm = prk.expand(&info, &AES_256_GCM).expect("one block of output is allowed");
        LessSafeKey::new(UnboundKey::from(okm))
    }
}

impl Keyring {
    pub(crate) fn new(mode: &SealMode, cluster: &str) -> Self {
        let roots = match mode {
            SealMode::Sealed(key) => vec![Root::new(key)],
            SealMode::Clear => Vec::new(),
        };
        let common = Common::new(cluster, !roots.is_empty());
        Self { common, cluster: cluster.to_owned(), roots, sending: 0, epoch: 0 }
    }

    pub(crate) const fn common(&self) -> Common {
        self.common
    }

    /// Understands these versions of the wire format from now on.
    pub(crate) const fn set_versions(&mut self, versions: Versions) {
        self.common.versions = versions;
    }

    /// Changes with every change of the keys.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether what this key seals may be opened; always in clear text.
    pub(crate) fn knows(&self, id: KeyId) -> bool {
        !self.common.sealed || self.roots.iter().any(|root| root.id == id)
    }

    /// The names of the keys, the one that seals first.
    pub(crate) fn ids(&self) -> Vec<KeyId> {
        let mut ids: Vec<_> = self.roots.iter().map(|root| root.id).collect();
        if self.sending > 0 {
            ids.swap(0, self.sending);
        }
        ids
    }

    pub(crate) fn sending(&self, me: Processor) -> Option<(KeyId, LessSafeKey)> {
        let root = self.roots.get(self.sending)?;
        Some((root.id, root.session_key(&self.cluster, me)))
    }

    pub(crate) fn session_keys(
        &self,
        sender: Processor,
    ) -> [Option<(KeyId, LessSafeKey)>; KEYS_MAX] {
        std::array::from_fn(|place| {
            let root = self.roots.get(place)?;
            Some((root.id, root.session_key(&self.cluster, sender)))
        })
    }

    /// Opens what this key seals from now on, too. Nothing happens if it is known.
    pub(crate) fn add(&mut self, key: &ClusterKey) -> Result<KeyId, KeyChangeError> {
        if !self.common.sealed {
            return Err(KeyChangeError::NotSealed);
        }
        let root = Root::new(key);
        if let Some(known) = self.roots.iter().find(|known| known.id == root.id) {
            let is_it = known.key.secret() == root.key.secret();
            return if is_it { Ok(root.id) } else { Err(KeyChangeError::SameName(root.id)) };
        }
        if let (KEYS_MAX, Some(other)) = (self.roots.len(), self.idle()) {
            return Err(KeyChangeError::TooMany(other));
        }
        self_test(key, &self.cluster)?;
        let id = root.id;
        self.roots.push(root);
        self.epoch += 1;
        Ok(id)
    }

    /// Seals with this key from now on.
    pub(crate) fn use_key(&mut self, id: KeyId) -> Result<(), KeyChangeError> {
        self.sending = self.place(id)?;
        self.epoch += 1;
        Ok(())
    }

    /// Opens nothing any more that this key seals.
    pub(crate) fn drop_key(&mut self, id: KeyId) -> Result<(), KeyChangeError> {
        let place = self.place(id)?;
        if place == self.sending {
            return Err(match self.idle() {
                Some(other) => KeyChangeError::InUse(id, other),
                None => KeyChangeError::Only(id),
            });
        }
        self.roots.remove(place);
        self.sending = 0;
        self.epoch += 1;
        Ok(())
    }

    /// The key that does not seal.
    fn idle(&self) -> Option<KeyId> {
        self.ids().get(1).copied()
    }

    fn place(&self, id: KeyId) -> Result<usize, KeyChangeError> {
        if !self.common.sealed {
            return Err(KeyChangeError::NotSealed);
        }
        let place = self.roots.iter().position(|root| root.id == id);
        place.ok_or(KeyChangeError::Unknown(id))
    }
}

/// The short name of a key, as it stands in datagrams and in the status report. It tells nothing
/// about the key.
#[must_use]
pub fn key_name(key: &ClusterKey) -> u16 {
    Root::new(key).id
}

/// Puts a key to the test before anything is sealed with it.
///
/// # Errors
/// [`KeyChangeError::SelfTest`].
pub(crate) fn self_test(key: &ClusterKey, cluster: &str) -> Result<(), KeyChangeError> {
    let keyring = Keyring::new(&SealMode::Sealed(key.clone()), cluster);
    stands_the_test(&keyring).ok_or_else(|| KeyChangeError::SelfTest(key_name(key)))
}

/// Whether what is sealed opens again, and does not when a bit of it was changed.
fn stands_the_test(keyring: &Keyring) -> Option<()> {
    let me = Processor::new(NodeId::new(1).expect("not zero"), 1);
    let mut datagram = Vec::new();
    let mut sealer = Sealer::new(keyring, me);
    sealer.seal_one((LinkId::FIRST, None), Kind::Hello, PROBE, &mut datagram).ok()?;
    let mut flipped = datagram.clone();
    *flipped.last_mut()? ^= 1;
    let open = |mut datagram: Vec<u8>| {
        let header = Header::decode(&datagram, keyring.common()).ok()?;
        let mut opener = Opener::new(keyring, me);
        opener.open(keyring, &header, &mut datagram).ok().map(|payload| payload.to_vec())
    };
    let hidden = !datagram.windows(PROBE.len()).any(|part| part == PROBE);
    let opens = open(datagram).as_deref() == Some(PROBE);
    (hidden && opens && open(flipped).is_none()).then_some(())
}

/// The length of a key's name.
struct Name;

impl KeyType for Name {
    fn len(&self) -> usize {
        size_of::<KeyId>()
    }
}

const SALT: &[u8] = b"evs-net session key, version 1";
const NAME: &[u8] = b"evs-net key name";
const PROBE: &[u8] = b"what is sealed is opened";

#[cfg(test)]
mod tests;
