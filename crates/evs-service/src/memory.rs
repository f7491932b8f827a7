//! Memory in which contents are made one behind the other, and which is used again when nobody
//! holds any of them.

use bytes::BytesMut;

/// Bytes that are taken at once for small contents.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// Empty memory with room for so many bytes: what is left of this, all of it again, or new.
pub(crate) fn with_room(mut memory: BytesMut, bytes: usize) -> BytesMut {
    memory.clear();
    if memory.capacity() < bytes && !memory.try_reclaim(bytes) {
        memory = BytesMut::with_capacity(bytes.max(BLOCK_BYTES));
    }
    memory
}
