//! The class of every byte of a line, 64 bytes at a time: one bit per byte and class.
//!
//! On `x86_64` with SSE2, which every such machine has; elsewhere with a table. Both are held equal by a test.

/// Bytes per block: one bit each in a `u64`.
pub(super) const BLOCK: usize = 64;

/// The classes of 64 bytes. Bit `i` speaks of byte `i`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Classes {
    /// Letters, digits and every byte of a non-ASCII character.
    pub(super) word: u64,
    /// `0` to `9`.
    pub(super) digit: u64,
    /// Word bytes and the connectors `-./:@_` that hold them together.
    pub(super) token: u64,
    /// Sum and sum of squares of the visible bytes that are in no token: which punctuation there is, in any order.
    pub(super) punctuation: u64,
}

/// Classifies `bytes`.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "four times as fast as the table; the one call needs no more than x86_64 itself")]
#[inline]
pub(super) fn classify(bytes: &[u8; BLOCK]) -> Classes {
    let (quarters, _) = bytes.as_chunks::<16>();
    let mut classes = Classes::default();
    for (n, quarter) in quarters.iter().enumerate() {
        // SAFETY: SSE2 is part of x86_64 itself.
        let part = unsafe { sse2::classify(quarter) };
        classes.word |= part.word << (16 * n);
        classes.digit |= part.digit << (16 * n);
        classes.token |= part.token << (16 * n);
        classes.punctuation = classes.punctuation.wrapping_add(part.punctuation);
    }
    classes
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_and_si128, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_madd_epi16,
        _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_sad_epu8, _mm_set_epi64x, _mm_set1_epi8, _mm_setzero_si128,
        _mm_sub_epi8, _mm_unpackhi_epi8, _mm_unpackhi_epi64, _mm_unpacklo_epi8,
    };

    use super::Classes;

    /// All bits of the bytes in `low..=low + span`.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn within(bytes: __m128i, low: u8, span: u8) -> __m128i {
        let offset = _mm_sub_epi8(bytes, _mm_set1_epi8(low as i8));
        _mm_cmpeq_epi8(_mm_min_epu8(offset, _mm_set1_epi8(span as i8)), offset)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn is(bytes: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn bits(mask: __m128i) -> u64 {
        u64::from(_mm_movemask_epi8(mask) as u16)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn classify(bytes: &[u8; 16]) -> Classes {
        let whole = u128::from_le_bytes(*bytes);
        let bytes = _mm_set_epi64x((whole >> 64) as i64, whole as i64);
        let digit = within(bytes, b'0', 9);
        let lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        let letter = _mm_or_si128(within(lower, b'a', 25), within(bytes, 0x80, 0x7f));
        let word = _mm_or_si128(digit, letter);
        let joint = _mm_or_si128(within(bytes, b'-', 2), is(bytes, b':'));
        let joint = _mm_or_si128(joint, _mm_or_si128(is(bytes, b'@'), is(bytes, b'_')));
        let token = _mm_or_si128(word, joint);
        let loud = _mm_and_si128(_mm_andnot_si128(token, bytes), within(bytes, 0x21, 0x5d));
        Classes { word: bits(word), digit: bits(digit), token: bits(token), punctuation: sums(loud) }
    }

    /// The sum of the bytes in the upper half, the sum of their squares in the lower.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn sums(bytes: __m128i) -> u64 {
        let zero = _mm_setzero_si128();
        let sad = _mm_sad_epu8(bytes, zero);
        let sum = _mm_cvtsi128_si64(sad).wrapping_add(_mm_cvtsi128_si64(_mm_unpackhi_epi64(sad, sad))) as u64;
        let (low, high) = (_mm_unpacklo_epi8(bytes, zero), _mm_unpackhi_epi8(bytes, zero));
        let squares = _mm_add_epi32(_mm_madd_epi16(low, low), _mm_madd_epi16(high, high));
        let pair = _mm_add_epi32(squares, _mm_unpackhi_epi64(squares, squares));
        let pair = _mm_cvtsi128_si64(pair) as u64;
        (sum << 32).wrapping_add((pair & 0xffff_ffff) + (pair >> 32))
    }
}

/// Classifies `bytes`, one by one.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[cfg_attr(not(target_arch = "x86_64"), inline)]
pub(super) fn classify_each(bytes: &[u8; BLOCK]) -> Classes {
    let mut classes = Classes::default();
    for (n, &byte) in bytes.iter().enumerate() {
        let digit = byte.is_ascii_digit();
        let word = byte.is_ascii_alphanumeric() || byte >= 0x80;
        let token = word || matches!(byte, b'-'..=b'/' | b':' | b'@' | b'_');
        classes.digit |= u64::from(digit) << n;
        classes.word |= u64::from(word) << n;
        classes.token |= u64::from(token) << n;
        if !token && (0x21..0x7f).contains(&byte) {
            let byte = u64::from(byte);
            classes.punctuation = classes.punctuation.wrapping_add((byte << 32) + byte * byte);
        }
    }
    classes
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use classify_each as classify;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_classed_alike_by_both() {
        for start in 0..=255u8 {
            let mut bytes = [0; BLOCK];
            for (n, byte) in (0u8..).zip(bytes.iter_mut()) {
                *byte = start.wrapping_add(n.wrapping_mul(7));
            }
            assert_eq!(classify(&bytes), classify_each(&bytes), "{bytes:?}");
        }
    }
}
