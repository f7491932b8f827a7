//! Takes an arbitrary byte string apart. At its end everything is 0, so that every input means
//! something, and a longer one continues a shorter one.

/// What is left of an input.
#[derive(Debug)]
pub(crate) struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    pub(crate) const fn new(input: &'d [u8]) -> Self {
        Self(input)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// So many bytes, or as many as there are.
    pub(crate) fn bytes(&mut self, count: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn rest(&mut self) -> &'d [u8] {
        std::mem::take(&mut self.0)
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.u8()) % from.len()]
    }

    /// A number near another one, seldom a telling one, more seldom any.
    pub(crate) fn near(&mut self, base: u64) -> u64 {
        match self.u8() {
            byte @ 0..=99 => base.saturating_add(byte.into()),
            byte @ 100..=199 => base.saturating_sub(u64::from(byte) - 99),
            byte @ 200..=250 => TELLING[usize::from(byte - 200) % TELLING.len()],
            251 => base.saturating_mul(2),
            252 => base.saturating_add(self.u16().into()),
            253 => base.saturating_add(self.u32().into()),
            254 | 255 => self.u64(),
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.bytes(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }
}

/// Numbers at which something may turn.
const TELLING: [u64; 16] = [
    0,
    1,
    2,
    63,
    64,
    127,
    128,
    255,
    256,
    1 << 24,
    (1 << 32) - 1,
    1 << 32,
    (1 << 33) + 1,
    u64::MAX / 2,
    u64::MAX - 1,
    u64::MAX,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_the_end_everything_is_zero() {
        let mut input = Input::new(&[7, 1]);
        assert_eq!(input.u8(), 7);
        assert_eq!(input.u32(), 1);
        assert!(input.is_empty());
        assert_eq!((input.u64(), input.near(9)), (0, 9));
        assert_eq!(input.pick(&["first", "second"]), "first");
    }
}
