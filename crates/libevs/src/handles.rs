//! Handles: numbers that C may make up, keep too long, or give back twice.
//!
//! A handle is a place in a table and a check word, which is another for each handle that was ever
//! given out (until 2³² of them). So a stale handle or a made-up one finds nothing.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::abi::Handle;
use crate::instance::Instance;
use crate::status::Status;

/// Gives a handle to a session.
pub(crate) fn insert(instance: Instance) -> Handle {
    table().insert(Arc::new(instance))
}

/// The session of a handle. It lives at least as long as the result, whoever finalizes it.
///
/// # Errors
/// [`Status::BadHandle`].
pub(crate) fn find(handle: Handle) -> Result<Arc<Instance>, Status> {
    table().find(handle).cloned().ok_or(Status::BadHandle)
}

/// Takes the handle back: nobody finds it any more.
///
/// # Errors
/// [`Status::BadHandle`].
pub(crate) fn remove(handle: Handle) -> Result<Arc<Instance>, Status> {
    table().remove(handle).ok_or(Status::BadHandle)
}

/// Nothing under this lock waits, calls back or panics halfway.
fn table() -> MutexGuard<'static, Table<Arc<Instance>>> {
    static TABLE: Mutex<Table<Arc<Instance>>> = Mutex::new(Table::new());
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Table<T> {
    slots: Vec<Slot<T>>,
    /// Places without a session.
    free: Vec<u32>,
    /// How many handles were given out, starting at a random number.
    issued: Option<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    check: u32,
    value: Option<T>,
}

impl<T> Table<T> {
    const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), issued: None }
    }

    fn insert(&mut self, value: T) -> Handle {
        let slot = Slot { check: self.next_check(), value: Some(value) };
        let check = slot.check;
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("each has descriptors: far below 2^32")
            }
        };
        u64::from(check) << 32 | u64::from(place)
    }

    fn find(&self, handle: Handle) -> Option<&T> {
        let slot = self.slots.get(place(handle))?;
        slot.value.as_ref().filter(|_| u64::from(slot.check) == handle >> 32)
    }

    fn remove(&mut self, handle: Handle) -> Option<T> {
        self.find(handle)?;
        let value = self.slots[place(handle)].value.take();
        self.free.push(u32::try_from(place(handle)).expect("half of a handle"));
        value
    }

    /// Never 0, so that no handle is 0.
    fn next_check(&mut self) -> u32 {
        let mut issued = self.issued.unwrap_or_else(random);
        let check = loop {
            issued = issued.wrapping_add(1);
            let check = scatter(issued);
            if check != 0 {
                break check;
            }
        };
        self.issued = Some(issued);
        check
    }
}

const fn place(handle: Handle) -> usize {
    (handle & 0xffff_ffff) as usize
}

/// Another number for each number, and far from those of its neighbours.
const fn scatter(number: u32) -> u32 {
    let mut bits = number;
    bits ^= bits >> 16;
    bits = bits.wrapping_mul(0x21f0_aaad);
    bits ^= bits >> 15;
    bits = bits.wrapping_mul(0x735a_2d97);
    bits ^ (bits >> 15)
}

#[allow(clippy::cast_possible_truncation, reason = "any 32 of the bits will do")]
fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_made_up_handles_find_nothing() {
        let mut table = Table::new();
        assert_eq!(table.find(0), None);
        let handle = table.insert('a');
        assert_eq!(table.find(0), None);
        assert_eq!(table.find(handle ^ 1 << 40), None);
        assert_eq!(table.find(handle + 1), None);
        assert_eq!(table.find(u64::MAX), None);
        assert_eq!(table.find(handle), Some(&'a'));
    }

    #[test]
    fn a_stale_handle_does_not_find_its_successor() {
        let mut table = Table::new();
        let first = table.insert('a');
        assert_eq!(table.remove(first), Some('a'));
        assert_eq!(table.remove(first), None);
        let second = table.insert('b');
        assert_eq!(place(first), place(second));
        assert_eq!(table.find(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.find(second), Some(&'b'));
    }

    #[test]
    fn places_are_used_again() {
        let mut table = Table::new();
        for number in 0..10_000 {
            let handle = table.insert(number);
            assert_eq!(table.remove(handle), Some(number));
        }
        assert_eq!(table.slots.len(), 1);
    }
}
