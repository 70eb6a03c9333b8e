//! Private keys in PEM form: on one line, with escaped line ends, or spread over the entries of a stream.

use std::collections::BTreeMap;

use regex::Regex;

use super::{Kind, Span, regex};
use crate::stream::Window;

/// A block that is not closed after this many entries of its stream is taken as cut off: an RSA-16384 key has 200.
const MAX_ENTRIES: usize = 256;
/// Width of a PEM body line is 64, and 76 in MIME; anything longer is a body without line ends.
const MIN_BODY: usize = 40;

#[derive(Debug)]
pub(super) struct Rules {
    begin: Regex,
    end: Regex,
    armored: Regex,
}

impl Rules {
    pub(super) fn new() -> Self {
        Self {
            begin: regex(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
            end: regex(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
            armored: regex(r"(?-u)AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Za-z]+|LS0tLS1CRUdJTi[A-Za-z0-9+/]{16,}={0,2}"),
        }
    }

    /// Blocks that begin on this line, whole or cut off at its end, and wrapped keys.
    pub(super) fn inline(&self, line: &str, spans: &mut Vec<Span>) {
        let (mut from, mut closes) = (0, true);
        while let Some(begin) = self.begin.find_at(line, from) {
            let end = if closes { self.end.find_at(line, begin.end()) } else { None };
            closes = end.is_some();
            let end = match end {
                Some(end) => end.end(),
                None if starts_body(&line[begin.end()..]) => line.len(),
                None => begin.end(),
            };
            spans.push(Span { start: begin.start(), end, kind: Kind::PrivateKey });
            from = end;
        }
        for found in self.armored.find_iter(line) {
            // A wrapped certificate is public, and often the evidence: base64 of "-----BEGIN CERT".
            if !found.as_str().starts_with("LS0tLS1CRUdJTiBDRVJU") {
                spans.push(Span { start: found.start(), end: found.end(), kind: Kind::PrivateKey });
            }
        }
    }

    /// The parts of entries that belong to blocks begun, or ended, in another entry of the same stream.
    pub(super) fn blocks(&self, window: &Window) -> BTreeMap<usize, (usize, usize)> {
        let mut found = BTreeMap::new();
        let mut open: BTreeMap<u32, usize> = BTreeMap::new();
        for (i, entry) in window.entries.iter().enumerate() {
            let line = entry.line.as_str();
            let inside = open.get(&entry.stream).copied();
            if !has_dashes(line.as_bytes()) {
                if let Some(left) = inside {
                    found.extend(body(line, true).map(|part| (i, part)));
                    if left == 0 {
                        open.remove(&entry.stream)
                    } else {
                        open.insert(entry.stream, left - 1)
                    };
                }
                continue;
            }
            let end = self.end.find(line);
            let begin = self.begin.find_iter(line).last();
            if let Some(end) = end
                && self.begin.find(line).is_none_or(|begin| begin.start() > end.start())
            {
                let start = body(&line[..end.start()], true).map_or(end.start(), |(start, _)| start);
                found.insert(i, (start, end.end()));
                if inside.is_none() {
                    back(window, i, &mut found);
                }
                open.remove(&entry.stream);
            }
            if let Some(begin) = begin
                && self.end.find_at(line, begin.end()).is_none()
            {
                open.insert(entry.stream, MAX_ENTRIES);
            }
        }
        found
    }
}

/// Whether five dashes stand in a row: of any five bytes in a row, this looks at one.
fn has_dashes(line: &[u8]) -> bool {
    let row = |bytes: &mut dyn Iterator<Item = &u8>| bytes.take(4).take_while(|byte| **byte == b'-').count();
    let around = |at: usize| row(&mut line[..at].iter().rev()) + row(&mut line[at + 1..].iter());
    (4..line.len()).step_by(5).any(|at| line[at] == b'-' && around(at) >= 4)
}

/// Walks back from an end marker whose begin lies before the window.
fn back(window: &Window, end: usize, found: &mut BTreeMap<usize, (usize, usize)>) {
    let stream = window.entries[end].stream;
    let before = window.entries[..end].iter().enumerate().rev().filter(|(_, entry)| entry.stream == stream);
    for (i, entry) in before.take(MAX_ENTRIES) {
        match body(&entry.line, false) {
            Some(part) => found.insert(i, part),
            None => return,
        };
    }
}

/// The PEM body in a line, after whatever the log's writer put before it. Inside a block a line that is nothing but
/// base64 counts at any length, because the last one is short.
fn body(line: &str, inside: bool) -> Option<(usize, usize)> {
    let trimmed = line.trim_end();
    let start = trimmed.len() - trimmed.rsplit(char::is_whitespace).next().map_or(0, str::len);
    let start = start + trimmed[start..].find(|c: char| !matches!(c, '"' | '\'' | '|' | '>')).unwrap_or(0);
    let word = trimmed[start..].trim_end_matches(['"', '\'', ',']);
    let alone = trimmed[..start].trim().is_empty();
    let base64 = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=\\".contains(&b));
    let enough = word.len() >= MIN_BODY || (inside && (alone || word.ends_with('=')));
    (base64 && enough).then_some((start, start + word.len()))
}

/// Whether what follows a begin marker on its line is key material rather than prose about a key.
fn starts_body(rest: &str) -> bool {
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "\\rn\"'".contains(c));
    let run = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b)).count();
    run >= 16 || rest.starts_with("Proc-Type") || rest.starts_with("Version:")
}
