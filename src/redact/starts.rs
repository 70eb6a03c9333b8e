//! Where in a line a word may begin, 32 bytes at a time, for processors with AVX2.
//!
//! Words are in eight groups. For each of the first three bytes of a word two tables say by the upper and the lower half
//! of a byte which groups have such a byte there (Langdale's and Qin's Teddy). Where all six agree on a group a word may
//! begin; most such places are none, and whoever asks looks at them again.

use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_set_epi64x, _mm256_set1_epi8,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
};

/// Places that are looked at together.
const PLACES: usize = 32;
/// The bytes that takes: a word's first three from the last of them on.
const BLOCK: usize = PLACES + 2;

/// Groups by half of a byte.
type Halves = [u8; 16];

/// The tables of some words.
pub(super) struct Starts {
    /// For each of the first three bytes, by its lower and by its upper half.
    tables: [(Halves, Halves); 3],
}

impl Starts {
    /// For words of three bytes or more in lower case, which may stand in either; `None` if the processor is older.
    pub(super) fn new(words: &[&[u8]]) -> Option<Self> {
        if !std::is_x86_feature_detected!("avx2") {
            return None;
        }
        let mut tables = [(Halves::default(), Halves::default()); 3];
        // Words that begin alike share a group, which then matches little else.
        for (number, word) in words.iter().enumerate() {
            let group = 1 << (number * 8 / words.len());
            for ((low, high), byte) in tables.iter_mut().zip(*word) {
                for byte in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
                    low[usize::from(byte & 15)] |= group;
                    high[usize::from(byte >> 4)] |= group;
                }
            }
        }
        Some(Self { tables })
    }

    /// Whether an `@` is in `line`, or a place where a word may begin and `begins` says that one does.
    #[expect(unsafe_code, reason = "several times as fast as a table; the one call needs what was asked for")]
    pub(super) fn any(&self, line: &[u8], begins: impl FnMut(usize) -> bool) -> bool {
        // SAFETY: the processor was asked when this was made.
        unsafe { self.any_avx2(line, begins) }
    }

    #[target_feature(enable = "avx2")]
    fn any_avx2(&self, line: &[u8], mut begins: impl FnMut(usize) -> bool) -> bool {
        let tables = self.tables.map(|(low, high)| (twice(&low), twice(&high)));
        let mut found = |at: usize, block: &[u8; BLOCK]| {
            let (mut places, sign) = places(&tables, block);
            while places != 0 {
                if begins(at + places.trailing_zeros() as usize) {
                    return true;
                }
                places &= places - 1;
            }
            sign
        };
        let Some(last) = line.last_chunk::<BLOCK>() else {
            let mut whole = [0; BLOCK];
            whole[..line.len()].copy_from_slice(line);
            return whole.contains(&b'@') || found(0, &whole);
        };
        let blocks = (0..line.len() - BLOCK).step_by(PLACES);
        let mut blocks = blocks.filter_map(|at| Some((at, line.get(at..)?.first_chunk()?)));
        // The last two bytes begin no block of places.
        line[line.len() - 2..].contains(&b'@')
            || blocks.any(|(at, block)| found(at, block))
            || found(line.len() - BLOCK, last)
    }
}

/// The places of a block where a word may begin, a bit each, and whether an `@` is at one of them.
#[inline]
#[target_feature(enable = "avx2")]
fn places(tables: &[(__m256i, __m256i); 3], block: &[u8; BLOCK]) -> (u32, bool) {
    let half = _mm256_set1_epi8(15);
    let mut groups = _mm256_set1_epi8(-1);
    for (from, (low, high)) in tables.iter().enumerate() {
        let bytes = load(block, from);
        let lower = _mm256_shuffle_epi8(*low, _mm256_and_si256(bytes, half));
        let upper = _mm256_shuffle_epi8(*high, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half));
        groups = _mm256_and_si256(groups, _mm256_and_si256(lower, upper));
    }
    let none = _mm256_movemask_epi8(_mm256_cmpeq_epi8(groups, _mm256_setzero_si256()));
    let signs = _mm256_cmpeq_epi8(load(block, 0), _mm256_set1_epi8(b'@' as i8));
    (!none as u32, _mm256_movemask_epi8(signs) != 0)
}

/// The 32 bytes of a block from `from` on.
#[inline]
#[target_feature(enable = "avx2")]
fn load(block: &[u8; BLOCK], from: usize) -> __m256i {
    let (words, _) = block[from..].as_chunks::<8>();
    let word = |n: usize| words.get(n).map_or(0, |word| i64::from_le_bytes(*word));
    _mm256_set_epi64x(word(3), word(2), word(1), word(0))
}

/// A table for each half of a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn twice(table: &Halves) -> __m256i {
    let whole = u128::from_le_bytes(*table);
    let (low, high) = (whole as i64, (whole >> 64) as i64);
    _mm256_set_epi64x(high, low, high, low)
}
