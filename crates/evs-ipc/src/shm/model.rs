//! What stands for a ring's memory while loom tries all orders: it notices when one end touches
//! bytes that the other may be touching.

use loom::cell::UnsafeCell;

use super::ring::{ALIGN, Words};

const UNIT: usize = ALIGN as usize;

/// As the real one; frames are read and written in whole units.
#[derive(Debug)]
pub(crate) struct Space {
    words: Words,
    units: Vec<UnsafeCell<[u8; UNIT]>>,
}

impl Space {
    pub(crate) fn new(units: usize) -> Self {
        Self {
            words: Words::default(),
            units: (0..units).map(|_| UnsafeCell::new([0; UNIT])).collect(),
        }
    }

    pub(crate) const fn words(&self) -> &Words {
        &self.words
    }

    pub(crate) const fn capacity(&self) -> u64 {
        (self.units.len() * UNIT) as u64
    }

    pub(crate) fn length(&self, at: usize) -> u32 {
        let unit = self.unit(at);
        u32::from_le_bytes(*unit.first_chunk().expect("longer"))
    }

    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at % UNIT + bytes.len() <= UNIT, "a frame of one unit");
        self.units[at / UNIT].with_mut(|unit| {
            // SAFETY: loom watches that nobody else is here.
            #[allow(unsafe_code)]
            let unit = unsafe { &mut *unit };
            unit[at % UNIT..at % UNIT + bytes.len()].copy_from_slice(bytes);
        });
    }

    pub(crate) fn unit(&self, at: usize) -> [u8; UNIT] {
        // SAFETY: loom watches that nobody writes here.
        #[allow(unsafe_code)]
        self.units[at / UNIT].with(|unit| unsafe { *unit })
    }
}
