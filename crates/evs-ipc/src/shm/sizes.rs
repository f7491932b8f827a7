//! How large the rings are.

/// How many bytes of frames the two rings hold. The file is as long, and what is called its memory
/// is only what was written: the rest takes none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sizes {
    /// What a client may have sent that was not read.
    pub to_daemon: u64,
    /// What may wait for a client.
    pub to_client: u64,
}

impl Sizes {
    /// Room for at least so many bytes each.
    #[must_use]
    pub const fn for_bytes(to_daemon: u64, to_client: u64) -> Self {
        let grain = GRAIN as u64;
        Self {
            to_daemon: to_daemon.next_multiple_of(grain),
            to_client: to_client.next_multiple_of(grain),
        }
    }

    /// Whether rings can have these sizes.
    #[must_use]
    pub const fn are_valid(&self) -> bool {
        is_valid(self.to_daemon) && is_valid(self.to_client)
    }

    #[cfg(not(loom))]
    pub(crate) const fn file_bytes(&self) -> u64 {
        2 * GRAIN as u64 + self.to_daemon + self.to_client
    }
}

const fn is_valid(bytes: u64) -> bool {
    bytes > 0 && bytes <= RING_BYTES_MAX && bytes.is_multiple_of(GRAIN as u64)
}

/// No limit of a daemon's configuration asks for more.
const RING_BYTES_MAX: u64 = 4 << 30;

/// What all parts of the file are multiples of: no system has larger pages.
pub(crate) const GRAIN: usize = 64 << 10;
