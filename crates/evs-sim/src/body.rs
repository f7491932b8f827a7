//! Message bodies that prove themselves: a test can tell from the bytes alone whether a body is
//! whole, and which one it is (EVS-12).
//!
//! A body is a tag (u64), its own length (u32), both little-endian, and a pattern drawn from both;
//! a body of fewer than 12 bytes is the beginning of that.

use std::fmt;

use bytes::Bytes;

/// Bytes of tag and length.
const HEAD: usize = 12;

/// Why a body is not what [`body`] made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyError {
    /// The length inside is not the length of the body.
    Length {
        /// What the body says.
        said: u32,
        /// What there is.
        found: usize,
    },
    /// The pattern breaks off at this offset.
    Pattern(usize),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { said, found } => write!(f, "a body of {said} bytes came as {found}"),
            Self::Pattern(offset) => write!(f, "the pattern breaks off at byte {offset}"),
        }
    }
}

impl std::error::Error for BodyError {}

/// The body with this tag and this many bytes.
#[must_use]
pub fn body(tag: u64, bytes: usize) -> Bytes {
    let length = u32::try_from(bytes).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(bytes + 8);
    out.extend_from_slice(&tag.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    let mut word = tag ^ u64::from(length);
    while out.len() < bytes {
        word = next(word);
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.truncate(bytes);
    out.into()
}

/// The tag of a body, or `None` for one that is too short to hold it.
///
/// # Errors
/// The body is not, byte for byte, what [`body`] made.
pub fn tag_of(found: &[u8]) -> Result<Option<u64>, BodyError> {
    let Some((head, _)) = found.split_first_chunk::<HEAD>() else { return Ok(None) };
    let (tag, length) = head.split_at(8);
    let tag = u64::from_le_bytes(tag.try_into().expect("the first half has 8 bytes"));
    let said = u32::from_le_bytes(length.try_into().expect("the second half has 4 bytes"));
    if usize::try_from(said).ok() != Some(found.len()) {
        return Err(BodyError::Length { said, found: found.len() });
    }
    let whole = body(tag, found.len());
    match found.iter().zip(&whole).position(|(a, b)| a != b) {
        None => Ok(Some(tag)),
        Some(offset) => Err(BodyError::Pattern(offset)),
    }
}

/// One step of a 64-bit mix (Steele, Lea, Flood: SplitMix): cheap, and no two tags look alike.
const fn next(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_any_length_is_recognised() {
        for bytes in [0, 1, 11, 12, 13, 1400, 70_000] {
            let made = body(7, bytes);
            assert_eq!(made.len(), bytes);
            assert_eq!(tag_of(&made), Ok((bytes >= HEAD).then_some(7)));
        }
    }

    #[test]
    fn a_changed_byte_is_named() {
        let mut broken = body(7, 100).to_vec();
        broken[40] ^= 1;
        assert_eq!(tag_of(&broken), Err(BodyError::Pattern(40)));
    }

    #[test]
    fn a_body_that_lost_its_tail_is_named() {
        let whole = body(7, 100);
        assert_eq!(tag_of(&whole[..60]), Err(BodyError::Length { said: 100, found: 60 }));
    }
}
