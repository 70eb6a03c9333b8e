//! Splits a line into tokens and masks what varies by nature: numbers, ids, addresses, durations, sizes, times.
//!
//! A token is a run of letters, digits and the connectors `-./:@_`. Inside it, every run of letters and digits that holds
//! a digit is masked, and masks that one connector joins are one, so `10.0.0.3:9093`, `1.5s`, `b71f75320dc06a6c` and
//! `2026-11-23T22:12:03Z` are single variables, while `main.go:513` keeps its file name. Values are not interpreted
//! further. Quotes, brackets and `=` make no token, so the pairs of logfmt and JSON fall apart into keys and values.

use std::ops::Range;

use super::classes::{BLOCK, classify};

/// Hash of a token that is nothing but a mask.
pub(super) const MASK: u64 = 0x9e37_79b9_7f4a_7c15;

/// Tokens of a line beyond this many are not looked at.
pub(super) const MAX_TOKENS: usize = 192;

/// Of a longer line only its first `HEAD` and last `TAIL` bytes are scanned.
const HEAD: usize = 3072;
const TAIL: usize = 1023;
const MAX_SCANNED: usize = HEAD + 1 + TAIL;

const BLOCKS: usize = MAX_SCANNED / BLOCK + 2;

/// A run without a digit that is longer than this is data (base64, a key), not language.
const MAX_WORD: usize = 48;

const SEED: u64 = 0x2545_f491_4f6c_dd1d;

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

/// Folded 64-bit multiplication: the mixing step of every hash here.
#[inline]
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(b ^ 0x8bb8_4b93_962e_acc9);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// What a token adds to the sum of its line: sums can be taken apart again, which finds lines that differ in one token.
#[inline]
pub(super) fn term(position: usize, hash: u64) -> u64 {
    mix(hash, position as u64)
}

/// Hash of a byte string.
#[inline]
pub(super) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let seed = seed ^ bytes.len() as u64;
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) if bytes.len() > 8 => {
            let hash = mix(seed ^ u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            let (inner, _) = bytes[8..bytes.len() - 1].as_chunks::<8>();
            inner.iter().fold(hash, |hash, word| mix(hash, u64::from_le_bytes(*word)))
        }
        _ => {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            mix(seed, u64::from_le_bytes(word))
        }
    }
}

/// Scans lines, one after the other.
pub(super) struct Scanner {
    /// The line, followed by zeros up to the end of its last block and for eight more bytes.
    bytes: Box<[u8; BLOCKS * BLOCK + 8]>,
    word: [u64; BLOCKS + 1],
    digit: [u64; BLOCKS + 1],
    token: [u64; BLOCKS + 1],
    punctuation: u64,
    blocks: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            bytes: Box::new([0; BLOCKS * BLOCK + 8]),
            word: [0; BLOCKS + 1],
            digit: [0; BLOCKS + 1],
            token: [0; BLOCKS + 1],
            punctuation: 0,
            blocks: 0,
        }
    }
}

/// The lowest `n` bits, all of them from 64 on.
#[inline]
fn low_bits(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// 64 bits of a bitmap from bit `at` on.
#[inline]
fn bits_at(map: &[u64; BLOCKS + 1], at: usize) -> u64 {
    let (block, shift) = (at / BLOCK, at % BLOCK);
    (map[block] >> shift) | ((map[block + 1] << 1) << (63 - shift))
}

impl Scanner {
    /// What `line` hashes to.
    #[inline]
    pub(super) fn shape(&mut self, line: &[u8]) -> Shape {
        self.load(line);
        let mut shape = Shape { punctuation: self.punctuation, ..Shape::default() };
        self.each(|_, _, hash| {
            shape.sum = shape.sum.wrapping_add(term(shape.tokens as usize, hash));
            shape.tokens += 1;
        });
        shape
    }

    /// The tokens of `line`, written to `tokens`.
    pub(super) fn tokens(&mut self, line: &[u8], tokens: &mut Vec<Token>) {
        self.load(line);
        tokens.clear();
        let skipped = line.len().saturating_sub(MAX_SCANNED);
        let place = |at: usize| (if skipped > 0 && at > HEAD { at + skipped } else { at }) as u32;
        self.each(|start, end, hash| tokens.push(Token { hash, start: place(start), end: place(end) }));
    }

    fn load(&mut self, line: &[u8]) {
        let len = if line.len() <= MAX_SCANNED {
            self.bytes[..line.len()].copy_from_slice(line);
            line.len()
        } else {
            self.bytes[..HEAD].copy_from_slice(&line[..HEAD]);
            self.bytes[HEAD] = b' ';
            self.bytes[HEAD + 1..MAX_SCANNED].copy_from_slice(&line[line.len() - TAIL..]);
            MAX_SCANNED
        };
        self.blocks = len / BLOCK + 1;
        self.bytes[len..self.blocks * BLOCK + 8].fill(0);
        self.punctuation = 0;
        let (blocks, _) = self.bytes.as_chunks::<BLOCK>();
        for (n, block) in blocks[..self.blocks].iter().enumerate() {
            let classes = classify(block);
            self.word[n] = classes.word;
            self.digit[n] = classes.digit;
            self.token[n] = classes.token;
            self.punctuation = self.punctuation.wrapping_add(classes.punctuation);
        }
        self.word[self.blocks] = 0;
        self.digit[self.blocks] = 0;
    }

    /// Calls `found` with start, end and hash of each token.
    #[inline]
    fn each(&self, mut found: impl FnMut(usize, usize, u64)) {
        let (mut start, mut open, mut count) = (0, false, 0);
        let mut before = 0;
        for block in 0..self.blocks {
            let token = self.token[block];
            let mut edges = token ^ ((token << 1) | before);
            before = token >> 63;
            while edges != 0 {
                let at = block * BLOCK + edges.trailing_zeros() as usize;
                edges &= edges - 1;
                if !open {
                    start = at;
                } else if let Some(hash) = self.hash(start, at) {
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

    /// Hash of the token in `start..end`; none if it is connectors alone.
    #[inline]
    fn hash(&self, start: usize, end: usize) -> Option<u64> {
        let len = end - start;
        if len > MAX_WORD {
            return self.hash_long(start, end);
        }
        let word = bits_at(&self.word, start) & low_bits(len);
        if word == 0 {
            return None;
        }
        let (first, last) = (word.trailing_zeros() as usize, 63 - word.leading_zeros() as usize);
        let digit = bits_at(&self.digit, start) & low_bits(len);
        if digit == 0 {
            return Some(self.hash_word(start + first, last + 1 - first));
        }
        Some(self.hash_masked(start + first, last + 1 - first, word >> first, digit >> first))
    }

    /// [`hash_bytes`] of a word, faster: what follows it in the buffer may be read.
    #[inline]
    fn hash_word(&self, start: usize, len: usize) -> u64 {
        if len > 8 {
            return hash_bytes(SEED, &self.bytes[start..start + len]);
        }
        let word = self.bytes[start..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
        mix(SEED ^ len as u64, word & low_bits(8 * len))
    }

    /// Hash of a token with digits, of at most 48 bytes, that starts and ends with a word byte.
    #[inline]
    fn hash_masked(&self, start: usize, len: usize, word: u64, digit: u64) -> u64 {
        let mut mask = fill(digit, word);
        mask |= self.hex_groups(start, word, mask);
        mask |= !word & (mask << 1) & (mask >> 1);
        if mask == low_bits(len) {
            let number = &self.bytes[start..start + len];
            return if keeps_number(&self.bytes[..start], number) { hash_bytes(SEED ^ 1, number) } else { MASK };
        }
        let mut hash = SEED;
        let mut at = 0;
        while at < len {
            let masked = mask >> at & 1 == 1;
            let run = if masked { (!(mask >> at)).trailing_zeros() } else { (mask >> at).trailing_zeros() } as usize;
            let run = run.min(len - at);
            hash = if masked { mix(hash, MASK) } else { hash_bytes(hash, &self.bytes[start + at..start + at + run]) };
            at += run;
        }
        hash
    }

    /// The runs of at most four hexadecimal letters right after a mask: groups of a UUID or an IPv6 address.
    #[inline]
    fn hex_groups(&self, start: usize, word: u64, mask: u64) -> u64 {
        let mut groups = 0;
        let mut starts = word & !(word << 1) & !mask;
        while starts != 0 {
            let at = starts.trailing_zeros() as usize;
            starts &= starts - 1;
            let len = (!(word >> at)).trailing_zeros() as usize;
            let follows = at >= 2 && (mask | groups) >> (at - 2) & 1 == 1;
            if follows && len <= 4 && self.bytes[start + at..start + at + len].iter().all(u8::is_ascii_hexdigit) {
                groups |= low_bits(len) << at;
            }
        }
        groups
    }

    /// The same for a token of any length: in the words of the definition, slowly.
    #[cold]
    fn hash_long(&self, start: usize, end: usize) -> Option<u64> {
        let is_word = |at: &usize| bits_at(&self.word, *at) & 1 == 1;
        let first = (start..end).find(is_word)?;
        let last = (start..end).rev().find(is_word)?;
        let (mut hash, mut text, mut masks, mut texts) = (SEED, first, 0, 0);
        let mut at = first;
        let mut masked_until = None;
        while at <= last {
            if !is_word(&at) {
                at += 1;
                continue;
            }
            let until = (at..=last).find(|at| !is_word(at)).unwrap_or(last + 1);
            let run = &self.bytes[at..until];
            let follows = masked_until.is_some_and(|end: usize| end + 1 == at);
            let group = follows && run.len() <= 4 && run.iter().all(u8::is_ascii_hexdigit);
            if group || run.len() > MAX_WORD || run.iter().any(u8::is_ascii_digit) {
                if !follows {
                    if text < at {
                        hash = hash_bytes(hash, &self.bytes[text..at]);
                        texts += 1;
                    }
                    hash = mix(hash, MASK);
                    masks += 1;
                }
                text = until;
                masked_until = Some(until);
            }
            at = until;
        }
        if text <= last {
            hash = hash_bytes(hash, &self.bytes[text..=last]);
            texts += 1;
        }
        Some(if masks == 1 && texts == 0 { MASK } else { hash })
    }
}

/// All runs of `within` that hold a bit of `seed`: Kogge and Stone's parallel prefix, once in each direction.
#[inline]
fn fill(seed: u64, within: u64) -> u64 {
    let (mut up, mut down) = (seed, seed);
    let (mut open_up, mut open_down) = (within, within);
    for shift in [1, 2, 4, 8, 16, 32] {
        up |= open_up & (up << shift);
        open_up &= open_up << shift;
        down |= open_down & (down >> shift);
        open_down &= open_down >> shift;
    }
    up | down
}

/// Whether a number is a word of its own: a failing HTTP status or a numeric level, told apart by what stands before it.
#[inline]
fn keeps_number(before: &[u8], number: &[u8]) -> bool {
    match number {
        [b'4' | b'5', b'0'..=b'9', b'0'..=b'9'] => {
            before.ends_with(b"\" ") || slashes_before(before) || key_ends(before, &[b"status", b"code"])
        }
        [b'1'..=b'6', b'0'] => key_ends(before, &[b"level"]),
        _ => false,
    }
}

/// `0/0/0/8/8 ` stands right before: the timers of an haproxy line, after which comes the status.
fn slashes_before(before: &[u8]) -> bool {
    let Some(before) = before.strip_suffix(b" ") else { return false };
    let word = before.iter().rev().take(48).take_while(|b| b.is_ascii_digit() || matches!(b, b'/' | b'-' | b'+'));
    word.filter(|&&b| b == b'/').count() == 4
}

/// Whether the word before the `=`, `:` or space that ends `before` ends with one of `words`.
fn key_ends(before: &[u8], words: &[&[u8]]) -> bool {
    let cut = before.iter().rev().take(4).take_while(|b| matches!(b, b'=' | b':' | b'"' | b' ')).count();
    let key = &before[..before.len() - cut];
    let ends = |word: &[u8]| key.len() >= word.len() && key[key.len() - word.len()..].eq_ignore_ascii_case(word);
    cut > 0 && words.iter().any(|word| ends(word))
}

/// Hashes of the HTTP statuses that are words of their own.
pub(super) fn statuses(range: Range<u16>) -> impl Iterator<Item = u64> {
    range.map(|status| {
        let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8);
        hash_bytes(SEED ^ 1, &digits)
    })
}

/// A token with its masked runs written as `<_>`, for people.
pub(super) fn masked(token: &str) -> String {
    let mut text = String::new();
    // Where the text ends with a mask and at most one connector, the length up to the mask.
    let mut after_mask = None;
    for run in token.split_inclusive(|c: char| c.is_ascii_punctuation()) {
        let (word, connector) = match run.char_indices().last() {
            Some((at, last)) if last.is_ascii_punctuation() => run.split_at(at),
            _ => (run, ""),
        };
        if word.len() > MAX_WORD || word.bytes().any(|b| b.is_ascii_digit()) {
            match after_mask {
                Some(len) => text.truncate(len),
                None => text += "<_>",
            }
            after_mask = Some(text.len());
        } else {
            text += word;
            after_mask = None;
        }
        text += connector;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(line: &str) -> Shape {
        Scanner::default().shape(line.as_bytes())
    }

    fn same(a: &str, b: &str) {
        assert_eq!(shape(a), shape(b), "{a} | {b}");
    }

    fn differ(a: &str, b: &str) {
        assert_ne!(shape(a), shape(b), "{a} | {b}");
    }

    #[test]
    fn what_varies_by_nature_is_masked() {
        same("took 5s", "took 1.5s");
        same("took 112.617µs", "took -3ms");
        same("dial 10.0.0.3:9093: refused", "dial 192.168.1.44:80: refused");
        same("dial [fe80::1]:80: refused", "dial [fe80::2]:80: refused");
        same("id=3f2a9c1e-abcd-4a1b-9c1d-00aabbccddee ok", "id=0f2a9c1e-12cd-4a1b-dead-11aabbccdde0 ok");
        same("at 2026-11-23T22:12:03.739823642Z end", "at 2025-01-03T02:02:03Z end");
        same("member b71f75320dc06a6c", "member 1c45a069f3a1d796");
        same("GET /api/v1/orders?id=3", "GET /api/v1/orders?id=44");
        same("pod web-7d4b9c6f5-x2klp", "pod web-5f6d7c8b9-4tzqw");
        same("time =      11.06 ms", "time = 1.06 ms");
        same("(    0.17 ms", "(10.17 ms");
        same(r#"{"n":-1}"#, r#"{"n": 22}"#);
    }

    #[test]
    fn masks_are_written_as_they_are_hashed() {
        assert_eq!(masked("http://10.0.0.3:9093/api/v1/x"), "http://<_>/api/<_>/x");
        assert_eq!(masked("main.go:513"), "main.go:<_>");
        assert_eq!(masked("3f2a9c1e-4a1b-00aa"), "<_>");
        assert_eq!(masked("word"), "word");
    }

    #[test]
    fn words_are_not() {
        differ("connection refused", "permission denied");
        differ("main.go:513 a", "web.go:513 a");
        differ("a=1", "b=1");
        differ("(a)", "[a]");
        differ("a b", "b a");
    }

    #[test]
    fn failing_statuses_and_numeric_levels_are_words() {
        differ("\"GET / HTTP/1.1\" 503 12", "\"GET / HTTP/1.1\" 200 12");
        same("\"GET / HTTP/1.1\" 304 512", "\"GET / HTTP/1.1\" 200 12");
        differ("web/web-0 0/0/0/8/8 503 116", "web/web-0 0/0/0/8/8 200 116");
        differ("{\"status\":500}", "{\"status\":200}");
        differ("{\"level\":50}", "{\"level\":30}");
        same("wrote 500 rows", "wrote 200 rows");
    }

    #[test]
    fn a_long_line_is_scanned_at_both_ends() {
        let long = |end: &str| format!("start {} {end}", "x y ".repeat(3000));
        let mut tokens = Vec::new();
        let line = long("the end");
        Scanner::default().tokens(line.as_bytes(), &mut tokens);
        assert_eq!(tokens.len(), MAX_TOKENS);
        let wide = format!("start {} the end", "x".repeat(5000));
        Scanner::default().tokens(wide.as_bytes(), &mut tokens);
        let words: Vec<&str> = tokens.iter().map(|t| &wide[t.start as usize..t.end as usize]).collect();
        assert_eq!((words[0], words[words.len() - 1]), ("start", "end"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_ways_to_hash_a_token_agree(token in "[a-z0-9.:/_-]{1,48}|([0-9a-f]{1,5}-){1,5}[0-9a-f]{1,5}|µ?[a-z]{0,40}[0-9]?") {
            let mut scanner = Scanner::default();
            scanner.load(token.as_bytes());
            let len = token.len().min(MAX_WORD);
            prop_assert_eq!(scanner.hash(0, len), scanner.hash_long(0, len));
        }
    }
}
