//! Splits a line into tokens and masks what varies by nature: numbers, ids, addresses, durations, sizes, times.
//!
//! A token is a run of letters, digits and the connectors `-./:@_`. Inside it, every run of letters and digits that holds
//! a digit is masked, and masks that one connector joins are one, so `10.0.0.3:9093`, `1.5s`, `b71f75320dc06a6c` and
//! `2026-11-23T22:12:03Z` are single variables, while `main.go:513` keeps its file name. Values are not interpreted
//! further. Quotes, brackets and `=` make no token, so the pairs of logfmt and JSON fall apart into keys and values.
//!
//! Most lines repeat the text of an earlier one between their masks. [`Scanner::key`] finds that without looking at
//! tokens at all: it computes the masks of 64 bytes at a time and hashes what stands between them. Equal keys mean equal
//! shapes, but for a number in front of logfmt that is a time in one line and none in the other (ten digits against two);
//! a new key may still mean a known shape (an alignment by spaces, a sign).

use std::ops::Range;

use super::classes::{BLOCK, Classes, classify};
use super::hash::{SEED, hash_at, hash_text, low_bits, mix, term};
use super::pairs;

mod mask;

pub(super) use mask::{masked, statuses};

/// Hash of a token that is nothing but a mask.
pub(super) const MASK: u64 = 0x9e37_79b9_7f4a_7c15;

/// Tokens of a line beyond this many are not looked at.
pub(super) const MAX_TOKENS: usize = 192;

/// Of a longer line only its first `HEAD` and last `TAIL` bytes are scanned.
const HEAD: usize = 3072;
const TAIL: usize = 1023;
const MAX_SCANNED: usize = HEAD + 1 + TAIL;

const BLOCKS: usize = MAX_SCANNED / BLOCK + 1;

/// A run without a digit that is longer than this is data (base64, a key), not language.
const MAX_WORD: usize = 48;

/// One token: what it hashes to once masked, and where it stands in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) hash: u64,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// What a line hashes to once masked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// [`position_sum`] of its tokens.
    pub(super) sum: u64,
    /// The punctuation between them, in any order.
    pub(super) punctuation: u64,
    /// How many they are.
    pub(super) tokens: u32,
}

impl Shape {
    /// The shape of a line with these tokens and this punctuation between them.
    pub(super) fn of(tokens: &[Token], punctuation: u64) -> Self {
        let terms = tokens.iter().enumerate().map(|(position, token)| term(position, token.hash));
        Self { sum: terms.fold(0, u64::wrapping_add), punctuation, tokens: tokens.len() as u32 }
    }
}

/// A map of one bit per byte, with a block to spare so that bits can be read across its end.
type Bits = [u64; BLOCKS + 1];

/// 64 bits of a bitmap from bit `at` on.
#[inline(always)]
fn bits_at(map: &Bits, at: usize) -> u64 {
    let (block, shift) = (at / BLOCK, at % BLOCK);
    let next = map.get(block + 1).copied().unwrap_or(0);
    (map.get(block).copied().unwrap_or(0) >> shift) | ((next << 1) << (63 - shift))
}

/// Scans lines, one after the other.
pub(super) struct Scanner {
    word: Bits,
    digit: Bits,
    token: Bits,
    /// Head and tail of a line that is too long to be scanned whole.
    ends: Vec<u8>,
    spare: Vec<Token>,
    data: Vec<Range<usize>>,
    mask: Bits,
    /// The processor has what [`Scanner::key_v3`] needs.
    v3: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            word: [0; BLOCKS + 1],
            digit: [0; BLOCKS + 1],
            token: [0; BLOCKS + 1],
            mask: [0; BLOCKS + 1],
            ends: Vec::new(),
            spare: Vec::new(),
            data: Vec::new(),
            v3: has_v3(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_v3() -> bool {
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("lzcnt")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_v3() -> bool {
    false
}

impl Scanner {
    /// Hash of what stands between the masks of `line`. Lines with equal keys have equal shapes; the exception stands above.
    #[inline]
    #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the same code, compiled for newer processors"))]
    pub(super) fn key(&mut self, line: &[u8]) -> u64 {
        if line.len() > MAX_SCANNED {
            let ends = self.take_ends(line);
            let key = self.key_any(&ends, classify);
            self.ends = ends;
            return key;
        }
        #[cfg(target_arch = "x86_64")]
        if self.v3 {
            // SAFETY: the processor was asked when this scanner was made.
            return unsafe { self.key_v3(line) };
        }
        self.key_any(line, classify)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    fn key_v3(&mut self, line: &[u8]) -> u64 {
        self.key_any(line, |bytes| super::classes::avx2::classify(bytes))
    }

    #[inline(always)]
    fn key_any(&mut self, line: &[u8], classify: impl Fn(&[u8; BLOCK]) -> Classes) -> u64 {
        self.load(line, classify);
        self.find_masks(line.len() / BLOCK + 1);
        let (mut from, mut before, mut key) = (0, 0, self.mask[0] & 1);
        for (block, &mask) in self.mask.iter().enumerate().take(line.len() / BLOCK + 1) {
            let mut edges = mask ^ ((mask << 1) | before);
            before = mask >> 63;
            while edges != 0 {
                let bit = edges.trailing_zeros();
                edges &= edges - 1;
                let at = block * BLOCK + bit as usize;
                if mask >> bit & 1 == 1 {
                    // A mask begins: what stood before it is text.
                    key = mix(key, hash_text(line, from, at - from));
                } else if (at - from) / 2 == 1 && mask::keeps_number(&line[..from], &line[from..at]) {
                    key = mix(key, hash_at(SEED ^ 1, line, from, at - from));
                }
                from = at;
            }
        }
        // Where the line ends with a mask nothing is left, and this hashes that.
        mix(key, hash_text(line, from, line.len() - from))
    }

    /// Marks every run of letters and digits that holds a digit, and the connector between two of them.
    #[inline(always)]
    fn find_masks(&mut self, blocks: usize) {
        let mut carry = 0;
        for n in 0..blocks {
            let word = self.word[n];
            self.mask[n] = fill_up(self.digit[n] | (carry & word), word);
            carry = self.mask[n] >> 63;
        }
        let mut carry = 0;
        for n in (0..blocks).rev() {
            let word = self.word[n];
            self.mask[n] = fill_down(self.mask[n] | (carry & word), word);
            carry = self.mask[n] << 63;
        }
        self.mask[blocks] = 0;
        let mut last = 0;
        for n in 0..blocks {
            let mask = self.mask[n];
            let joint = self.token[n] & !self.word[n];
            let (after, ahead) = ((mask << 1) | last, (mask >> 1) | (self.mask[n + 1] << 63));
            self.mask[n] = mask | (joint & after & ahead);
            last = mask >> 63;
        }
    }

    /// What `line` hashes to.
    pub(super) fn shape(&mut self, line: &[u8]) -> Shape {
        let mut tokens = std::mem::take(&mut self.spare);
        let punctuation = self.tokens(line, &mut tokens);
        let shape = Shape::of(&tokens, punctuation);
        self.spare = tokens;
        shape
    }

    fn take_ends(&mut self, line: &[u8]) -> Vec<u8> {
        let mut ends = std::mem::take(&mut self.ends);
        ends.clear();
        ends.extend_from_slice(&line[..HEAD]);
        ends.push(b' ');
        ends.extend_from_slice(&line[line.len() - TAIL..]);
        ends
    }

    /// Writes the tokens of `line` to `tokens`, each value that is data (see [`pairs`]) as one mask, and returns what
    /// punctuation stands outside of them, in any order.
    pub(super) fn tokens(&mut self, line: &[u8], tokens: &mut Vec<Token>) -> u64 {
        tokens.clear();
        if line.len() > MAX_SCANNED {
            let ends = self.take_ends(line);
            let punctuation = self.tokens(&ends, tokens);
            let skipped = (line.len() - ends.len()) as u32;
            for token in tokens.iter_mut().filter(|token| token.start as usize > HEAD) {
                (token.start, token.end) = (token.start + skipped, token.end + skipped);
            }
            // A value that goes on past the cut is in no line.
            tokens.retain(|token| token.start as usize > HEAD || token.end as usize <= HEAD);
            self.ends = ends;
            return punctuation;
        }
        self.load(line, classify);
        let mut data = std::mem::take(&mut self.data);
        pairs::data(line, &mut data);
        let mut ranges = data.iter().peekable();
        let mask = |range: &Range<usize>| Token { hash: MASK, start: range.start as u32, end: range.end as u32 };
        self.each(line, |start, end, hash| {
            while let Some(range) = ranges.next_if(|range| range.end <= start) {
                tokens.push(mask(range));
            }
            if ranges.peek().is_none_or(|range| end <= range.start) {
                tokens.push(Token { hash, start: start as u32, end: end as u32 });
            }
        });
        tokens.extend(ranges.map(mask));
        tokens.truncate(MAX_TOKENS);
        let punctuation = self.punctuation(line, &data);
        self.data = data;
        punctuation
    }

    #[inline(always)]
    fn load(&mut self, line: &[u8], classify: impl Fn(&[u8; BLOCK]) -> Classes) {
        let (blocks, rest) = line.as_chunks::<BLOCK>();
        for (n, block) in blocks.iter().enumerate() {
            self.set(n, classify(block));
        }
        // The rest as the end of a whole block, moved down: copying it would cost more than all the others.
        let last = match line.last_chunk::<BLOCK>() {
            _ if rest.is_empty() => Classes::default(),
            Some(last) => classify(last).shifted_down(BLOCK - rest.len()),
            None => {
                let mut last = [0; BLOCK];
                last[..rest.len()].copy_from_slice(rest);
                classify(&last)
            }
        };
        self.set(blocks.len(), last);
    }

    #[inline(always)]
    fn set(&mut self, n: usize, classes: Classes) {
        self.word[n] = classes.word;
        self.digit[n] = classes.digit;
        self.token[n] = classes.token;
    }

    /// The visible bytes of the line outside of tokens and `data`: the sum of their values and of their squares.
    fn punctuation(&self, line: &[u8], data: &[Range<usize>]) -> u64 {
        let mut data = data.iter().peekable();
        let mut sums: u64 = 0;
        for (block, bytes) in line.chunks(BLOCK).enumerate() {
            let mut outside = !self.token[block] & low_bits(bytes.len());
            while outside != 0 {
                let bit = outside.trailing_zeros() as usize;
                outside &= outside - 1;
                let at = block * BLOCK + bit;
                while data.next_if(|range| range.end <= at).is_some() {}
                let byte = bytes[bit];
                if byte.is_ascii_graphic() && data.peek().is_none_or(|range| at < range.start) {
                    sums = sums.wrapping_add((u64::from(byte) << 32) + u64::from(byte) * u64::from(byte));
                }
            }
        }
        sums
    }

    /// Calls `found` with start, end and hash of each token.
    #[inline(always)]
    fn each(&self, line: &[u8], mut found: impl FnMut(usize, usize, u64)) {
        let (mut start, mut open, mut count) = (0, false, 0);
        let mut before = 0;
        for (block, &token) in self.token.iter().enumerate().take(line.len() / BLOCK + 1) {
            let mut edges = token ^ ((token << 1) | before);
            before = token >> 63;
            while edges != 0 {
                let at = block * BLOCK + edges.trailing_zeros() as usize;
                edges &= edges - 1;
                if !open {
                    start = at;
                } else if let Some(hash) = self.hash(line, start, at) {
                    found(start, at, hash);
                    count += 1;
                    if count == MAX_TOKENS {
                        return;
                    }
                }
                open = !open;
            }
        }
    }
}

/// The bits of `within` that a bit of `seed`, all of them in `within`, reaches upwards. In one addition: a carry from the
/// start of each run goes through what has no seed and stops at the first one.
#[inline(always)]
fn fill_up(seed: u64, within: u64) -> u64 {
    let starts = within & !(within << 1);
    ((within & !seed).wrapping_add(starts) & within) | seed
}

/// The same downwards, where no carry goes: Kogge and Stone's parallel prefix.
#[inline(always)]
fn fill_down(mut seed: u64, mut within: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        seed |= within & (seed >> shift);
        within &= within >> shift;
    }
    seed
}

#[cfg(test)]
mod tests;
