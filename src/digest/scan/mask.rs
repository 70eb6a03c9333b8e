//! Masks within one token, and the numbers that are none.

use std::ops::Range;

use super::{MASK, MAX_WORD, Scanner, bits_at, fill_down, fill_up};
use crate::digest::hash::{SEED, hash_at, hash_bytes, low_bits, mix};

impl Scanner {
    /// Hash of the token in `start..end`; none if it is connectors alone.
    #[inline(always)]
    pub(super) fn hash(&self, line: &[u8], start: usize, end: usize) -> Option<u64> {
        let len = end - start;
        if len > MAX_WORD {
            return self.hash_long(line, start, end);
        }
        let word = bits_at(&self.word, start) & low_bits(len);
        if word == 0 {
            return None;
        }
        let (first, last) = (word.trailing_zeros() as usize, 63 - word.leading_zeros() as usize);
        let (start, len) = (start + first, last + 1 - first);
        let digit = bits_at(&self.digit, start) & low_bits(len);
        if digit == 0 {
            return Some(hash_at(SEED, line, start, len));
        }
        let word = word >> first;
        // Nothing but digits, and one run of letters and digits: the two most common.
        if word == low_bits(len) && !(2..=3).contains(&len) {
            return Some(MASK);
        }
        Some(self.hash_masked(line, start, len, word, digit))
    }

    /// Hash of a token with digits, of at most 48 bytes, that starts and ends with a word byte.
    #[inline(always)]
    fn hash_masked(&self, line: &[u8], start: usize, len: usize, word: u64, digit: u64) -> u64 {
        let mut mask = fill(digit, word);
        if mask != word {
            mask |= hex_groups(line, start, word, mask);
        }
        mask |= !word & (mask << 1) & (mask >> 1);
        if mask == low_bits(len) {
            let number = &line[start..start + len];
            return if keeps_number(&line[..start], number) { hash_bytes(SEED ^ 1, number) } else { MASK };
        }
        let mut hash = SEED;
        let mut at = 0;
        while at < len {
            let masked = mask >> at & 1 == 1;
            let run = if masked { (!(mask >> at)).trailing_zeros() } else { (mask >> at).trailing_zeros() } as usize;
            let run = run.min(len - at);
            hash = if masked { mix(hash, MASK) } else { hash_at(hash, line, start + at, run) };
            at += run;
        }
        hash
    }

    /// The same for a token of any length: in the words of the definition, slowly.
    #[cold]
    #[inline(never)]
    pub(super) fn hash_long(&self, line: &[u8], start: usize, end: usize) -> Option<u64> {
        let is_word = |at: &usize| bits_at(&self.word, *at) & 1 == 1;
        let first = (start..end).find(is_word)?;
        let last = (start..end).rev().find(is_word)?;
        let (mut hash, mut text, mut masks, mut texts) = (SEED, first, 0, 0);
        let mut at = first;
        let mut masked_until = None;
        while at <= last {
            let ahead = bits_at(&self.word, at);
            if ahead & 1 == 0 {
                at += 1;
                continue;
            }
            let mut until = at + (!ahead).trailing_zeros() as usize;
            while until <= last && is_word(&until) {
                until += 1;
            }
            let run = &line[at..until.min(last + 1)];
            let follows = masked_until.is_some_and(|end: usize| end + 1 == at);
            let group = follows && run.len() <= 4 && run.iter().all(u8::is_ascii_hexdigit);
            if group || run.len() > MAX_WORD || run.iter().any(u8::is_ascii_digit) {
                if !follows {
                    if text < at {
                        hash = hash_bytes(hash, &line[text..at]);
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
            hash = hash_bytes(hash, &line[text..=last]);
            texts += 1;
        }
        Some(if masks == 1 && texts == 0 { MASK } else { hash })
    }
}

/// The runs of at most four hexadecimal letters right after a mask: groups of a UUID or an IPv6 address.
#[inline(always)]
fn hex_groups(line: &[u8], start: usize, word: u64, mask: u64) -> u64 {
    let mut groups = 0;
    let mut starts = word & !(word << 1) & !mask;
    while starts != 0 {
        let at = starts.trailing_zeros() as usize;
        starts &= starts - 1;
        let len = (!(word >> at)).trailing_zeros() as usize;
        let follows = at >= 2 && (mask | groups) >> (at - 2) & 1 == 1;
        if follows && len <= 4 && line[start + at..start + at + len].iter().all(u8::is_ascii_hexdigit) {
            groups |= low_bits(len) << at;
        }
    }
    groups
}

/// All runs of `within` that hold a bit of `seed`.
#[inline]
fn fill(seed: u64, within: u64) -> u64 {
    fill_up(seed, within) | fill_down(seed, within)
}

/// Whether a number is a word of its own: a failing HTTP status or a numeric level, told apart by what stands before it.
#[inline]
pub(super) fn keeps_number(before: &[u8], number: &[u8]) -> bool {
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
pub(in super::super) fn statuses(range: Range<u16>) -> impl Iterator<Item = u64> {
    range.map(|status| {
        let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8);
        hash_bytes(SEED ^ 1, &digits)
    })
}

/// A token with its masked runs written as `<_>`, for people.
pub(in super::super) fn masked(token: &str) -> String {
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
