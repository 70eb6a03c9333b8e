//! The hashes by which lines, tokens and templates are told apart.
//!
//! They are fast, not secret: who can write lines can make two of them collide, and gains that one is counted under the
//! other. Built on the folded multiplication of wyhash (Wang Yi, public domain).

/// What hashes of text begin with.
pub(super) const SEED: u64 = 0x2545_f491_4f6c_dd1d;

/// Folded 64-bit multiplication: the mixing step of every hash here.
#[inline(always)]
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(b ^ 0x8bb8_4b93_962e_acc9);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// What a token adds to the sum of its line: sums can be taken apart again, which finds lines that differ in one token.
#[inline(always)]
pub(super) fn term(position: usize, hash: u64) -> u64 {
    mix(hash, position as u64)
}

/// Up to eight bytes of `bytes` from `at` on, as a number; the rest is zero.
#[inline(always)]
fn load(bytes: &[u8], at: usize, len: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(word) => u64::from_le_bytes(*word) & low_bits(8 * len),
        None => load_end(bytes, at, len),
    }
}

/// The same within eight bytes of the end.
#[cold]
fn load_end(bytes: &[u8], at: usize, len: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut word = [0; 8];
    let len = len.min(rest.len()).min(8);
    word[..len].copy_from_slice(&rest[..len]);
    u64::from_le_bytes(word)
}

/// Hash of `bytes[at..at + len]`.
#[inline(always)]
pub(super) fn hash_at(seed: u64, bytes: &[u8], at: usize, len: usize) -> u64 {
    let first = load(bytes, at, len);
    if len <= 8 {
        return mix(seed ^ first, len as u64);
    }
    if len <= 16 {
        return mix(seed ^ first, load(bytes, at + 8, len - 8) ^ (len as u64) << 56);
    }
    hash_rest(mix(seed ^ first, len as u64), bytes, at + 8, len - 8)
}

#[inline(never)]
fn hash_rest(mut hash: u64, bytes: &[u8], mut at: usize, mut len: usize) -> u64 {
    while len > 0 {
        hash = mix(hash, load(bytes, at, len.min(8)));
        at += 8;
        len = len.saturating_sub(8);
    }
    hash
}

/// Hash of a byte string.
pub(super) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    hash_at(seed, bytes, 0, bytes.len())
}

/// Hash of `bytes[at..at + len]` by sixteen bytes a step, for longer text.
#[inline(always)]
pub(super) fn hash_text(bytes: &[u8], at: usize, len: usize) -> u64 {
    if len <= 16 {
        return hash_at(SEED, bytes, at, len);
    }
    let text = &bytes[at..at + len];
    let (pairs, _) = text.as_chunks::<16>();
    let half = |pair: &[u8; 16]| {
        let whole = u128::from_le_bytes(*pair);
        (whole as u64, (whole >> 64) as u64)
    };
    let mut hash = SEED ^ len as u64;
    for pair in pairs {
        let (low, high) = half(pair);
        hash = mix(hash ^ low, high);
    }
    match text.last_chunk::<16>() {
        Some(last) => {
            let (low, high) = half(last);
            mix(hash ^ low, high)
        }
        None => hash,
    }
}

/// The lowest `n` bits, all of them from 64 on.
#[inline(always)]
pub(super) fn low_bits(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}
