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
}

impl Classes {
    /// The classes of the bytes from `bit` on, as the first ones.
    #[inline(always)]
    pub(super) fn shifted_down(self, bit: usize) -> Self {
        Self { word: self.word >> bit, digit: self.digit >> bit, token: self.token >> bit }
    }
}

/// Classifies `bytes`.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "several times as fast as the table; the one call needs no more than x86_64 itself")]
#[inline]
pub(super) fn classify(bytes: &[u8; BLOCK]) -> Classes {
    // SAFETY: SSE2 is part of x86_64 itself.
    unsafe { sse2::classify(bytes) }
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        _mm_sub_epi8,
    };

    use super::{BLOCK, Classes};

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
    pub(super) fn classify(bytes: &[u8; BLOCK]) -> Classes {
        let mut classes = Classes::default();
        let (quarters, _) = bytes.as_chunks::<16>();
        for (n, quarter) in quarters.iter().enumerate() {
            let whole = u128::from_le_bytes(*quarter);
            let bytes = _mm_set_epi64x((whole >> 64) as i64, whole as i64);
            let digit = within(bytes, b'0', 9);
            let letter = within(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), b'a', 25);
            // A byte of a character beyond ASCII has its sign bit set, and a bit mask is made of nothing but sign bits.
            let word = _mm_or_si128(_mm_or_si128(digit, letter), bytes);
            let joint = _mm_or_si128(within(bytes, b'-', 2), is(bytes, b':'));
            let joint = _mm_or_si128(joint, _mm_or_si128(is(bytes, b'@'), is(bytes, b'_')));
            classes.word |= bits(word) << (16 * n);
            classes.digit |= bits(digit) << (16 * n);
            classes.token |= bits(_mm_or_si128(word, joint)) << (16 * n);
        }
        classes
    }
}

/// The same with AVX2, for those that have it.
#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set_epi64x,
        _mm256_set1_epi8, _mm256_sub_epi8,
    };

    use super::{BLOCK, Classes};

    #[inline]
    #[target_feature(enable = "avx2")]
    fn within(bytes: __m256i, low: u8, span: u8) -> __m256i {
        let offset = _mm256_sub_epi8(bytes, _mm256_set1_epi8(low as i8));
        _mm256_cmpeq_epi8(_mm256_min_epu8(offset, _mm256_set1_epi8(span as i8)), offset)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn is(bytes: __m256i, byte: u8) -> __m256i {
        _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn bits(mask: __m256i) -> u64 {
        u64::from(_mm256_movemask_epi8(mask) as u32)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn classify(bytes: &[u8; BLOCK]) -> Classes {
        let mut classes = Classes::default();
        let (halves, _) = bytes.as_chunks::<32>();
        for (n, half) in halves.iter().enumerate() {
            let (words, _) = half.as_chunks::<8>();
            let word = |n: usize| words.get(n).map_or(0, |word| i64::from_le_bytes(*word));
            let bytes = _mm256_set_epi64x(word(3), word(2), word(1), word(0));
            let digit = within(bytes, b'0', 9);
            let letter = within(_mm256_or_si256(bytes, _mm256_set1_epi8(0x20)), b'a', 25);
            let word = _mm256_or_si256(_mm256_or_si256(digit, letter), bytes);
            let joint = _mm256_or_si256(within(bytes, b'-', 2), is(bytes, b':'));
            let joint = _mm256_or_si256(joint, _mm256_or_si256(is(bytes, b'@'), is(bytes, b'_')));
            classes.word |= bits(word) << (32 * n);
            classes.digit |= bits(digit) << (32 * n);
            classes.token |= bits(_mm256_or_si256(word, joint)) << (32 * n);
        }
        classes
    }
}

/// Classifies `bytes`, one by one.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) fn classify_each(bytes: &[u8; BLOCK]) -> Classes {
    let mut classes = Classes::default();
    for (n, &byte) in bytes.iter().enumerate() {
        let digit = byte.is_ascii_digit();
        let word = byte.is_ascii_alphanumeric() || byte >= 0x80;
        let token = word || matches!(byte, b'-'..=b'/' | b':' | b'@' | b'_');
        classes.digit |= u64::from(digit) << n;
        classes.word |= u64::from(word) << n;
        classes.token |= u64::from(token) << n;
    }
    classes
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use classify_each as classify;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "calls what only newer processors have")]
    fn every_byte_is_classed_alike_by_both() {
        for start in 0..=255u8 {
            let mut bytes = [0; BLOCK];
            for (n, byte) in (0u8..).zip(bytes.iter_mut()) {
                *byte = start.wrapping_add(n.wrapping_mul(7));
            }
            assert_eq!(classify(&bytes), classify_each(&bytes), "{bytes:?}");
            #[cfg(target_arch = "x86_64")]
            if std::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor was asked.
                assert_eq!(unsafe { avx2::classify(&bytes) }, classify_each(&bytes), "{bytes:?}");
            }
        }
    }
}
