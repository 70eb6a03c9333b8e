//! Severity of a line as its own program states it: logfmt, JSON, klog, syslog, bracketed and plain words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How severe a line says it is, least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The line does not say.
    #[default]
    Unknown,
    /// trace, debug
    Debug,
    /// info, notice
    Info,
    /// warn, warning
    Warning,
    /// error
    Error,
    /// fatal, panic, critical, alert, emergency
    Fatal,
}

impl Level {
    /// The word for it in a digest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Bytes of a line that are searched for its level.
const SEARCHED: usize = 512;

/// Keys whose value is a level, with the punctuation that ends them.
const KEYS: [&[u8]; 9] = [
    b"level=",
    b"lvl=",
    b"severity=",
    b"\"level\":",
    b"\"lvl\":",
    b"\"severity\":",
    b"\"loglevel\":",
    b"\"levelname\":",
    b"\"log.level\":",
];

/// The level of `line`, whose own timestamp ended at byte `body`.
pub(super) fn detect(line: &[u8], body: usize) -> Level {
    header(line)
        .or_else(|| keyed(&line[..line.len().min(SEARCHED)]))
        .or_else(|| plain(line.get(body..).unwrap_or_default()))
        .unwrap_or_default()
}

/// klog's `E1123 …` and syslog's `<3>`: what precedes everything else.
pub(super) fn header(line: &[u8]) -> Option<Level> {
    match line {
        [letter @ (b'I' | b'W' | b'E' | b'F'), rest @ ..]
            if rest.len() > 5 && rest[..4].iter().all(u8::is_ascii_digit) && rest[4] == b' ' =>
        {
            letter_level(*letter)
        }
        [b'<', rest @ ..] => {
            let digits = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
            if !(1..=3).contains(&digits) || rest.get(digits) != Some(&b'>') {
                return None;
            }
            let priority = rest[..digits].iter().fold(0u32, |n, b| n * 10 + u32::from(b - b'0'));
            Some(match priority % 8 {
                0..=2 => Level::Fatal,
                3 => Level::Error,
                4 => Level::Warning,
                5 | 6 => Level::Info,
                _ => Level::Debug,
            })
        }
        _ => None,
    }
}

fn letter_level(letter: u8) -> Option<Level> {
    Some(match letter {
        b'D' | b'T' => Level::Debug,
        b'I' => Level::Info,
        b'W' => Level::Warning,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        _ => return None,
    })
}

fn keyed(line: &[u8]) -> Option<Level> {
    let mut from = 0;
    while let Some(at) = line[from..].iter().position(|b| matches!(b, b'=' | b':')) {
        let end = from + at + 1;
        from = end;
        let key = &line[..end];
        let matched = KEYS.iter().find(|k| {
            key.len() >= k.len() && key[key.len() - k.len()..].eq_ignore_ascii_case(k) && {
                k[0] == b'"'
                    || key.len() == k.len()
                    || matches!(key[key.len() - k.len() - 1], b' ' | b'\t' | b'{' | b',')
            }
        });
        if matched.is_none() {
            continue;
        }
        let value = &line[end..];
        let skip = value.iter().take_while(|b| matches!(b, b' ' | b'"' | b'\'')).count();
        let word = &value[skip..];
        let len = word.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        if let Some(level) = word_level(&word[..len]).or_else(|| numeric(&word[..len])) {
            return Some(level);
        }
    }
    None
}

/// bunyan's and pino's numbers.
fn numeric(word: &[u8]) -> Option<Level> {
    Some(match word {
        b"10" | b"20" => Level::Debug,
        b"30" => Level::Info,
        b"40" => Level::Warning,
        b"50" => Level::Error,
        b"60" => Level::Fatal,
        _ => return None,
    })
}

fn word_level(word: &[u8]) -> Option<Level> {
    if word.len() > 9 {
        return None;
    }
    let mut lower = [0; 9];
    lower[..word.len()].copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(match &lower[..word.len()] {
        b"trace" | b"debug" | b"dbg" | b"verbose" => Level::Debug,
        b"info" | b"inf" | b"notice" | b"log" => Level::Info,
        b"warn" | b"warning" | b"wrn" => Level::Warning,
        b"error" | b"err" | b"eror" | b"severe" => Level::Error,
        b"fatal" | b"panic" | b"dpanic" | b"crit" | b"critical" | b"alert" | b"emerg" | b"emergency" => Level::Fatal,
        _ => return None,
    })
}

/// A level word among the first words: `[error]`, `ERROR`, `warning:`, or llama.cpp's single letter right at the front.
fn plain(body: &[u8]) -> Option<Level> {
    if let [letter, b' ', ..] = body
        && let Some(level) = letter_level(*letter)
    {
        return Some(level);
    }
    for start in [&b"panic:"[..], b"fatal error:", b"thread '"] {
        if body.starts_with(start) && (start[0] != b't' || contains(&body[..body.len().min(200)], b"panicked at")) {
            return Some(Level::Fatal);
        }
    }
    if body.starts_with(b"Traceback (") || body.starts_with(b"Exception in thread") {
        return Some(Level::Error);
    }
    let head = &body[..body.len().min(160)];
    let mut i = 0;
    let mut words = 0;
    while i < head.len() && words < 8 {
        let len = head[i..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
        if len == 0 {
            i += 1;
            continue;
        }
        words += 1;
        let word = &head[i..i + len];
        let before = i.checked_sub(1).map(|at| head[at]);
        let after = head.get(i + len).copied();
        let marked = matches!((before, after), (Some(b'['), _) | (_, Some(b']' | b':' | b'|')))
            || (len > 2 && word.iter().all(u8::is_ascii_uppercase));
        let alone =
            !matches!(before, Some(b'-' | b'_' | b'/' | b'.' | b'=')) && !matches!(after, Some(b'-' | b'_' | b'='));
        if marked
            && alone
            && let Some(level) = word_level(word)
        {
            return Some(level);
        }
        i += len;
    }
    None
}

/// Whether `needle` stands in `hay`.
pub(super) fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(line: &str) -> Level {
        detect(line.as_bytes(), super::super::clock::leading(line.as_bytes()).1)
    }

    #[test]
    fn every_common_way_to_state_a_level_is_read() {
        for (line, want) in [
            (r#"ts=2026-11-23T22:02:31.675Z caller=main.go:513 level=warn msg="x""#, Level::Warning),
            (r#"{"level":"error","ts":"2026-11-23T22:07:53.532Z","msg":"x"}"#, Level::Error),
            (r#"{"level":30,"msg":"x"}"#, Level::Info),
            ("E1123 22:12:03.123456       1 reflector.go:12] failed", Level::Error),
            ("<11>1 2026-11-23T22:12:03Z host app - - - x", Level::Error),
            ("2026/11/23 22:03:59 [emerg] 30#30: bind() failed", Level::Fatal),
            ("2026/11/23 22:03:59 [notice] 30#30: nginx/1.22.1", Level::Info),
            ("[ALERT]    (30) : config : x", Level::Fatal),
            ("0.00.009.228 W srv  llama_server: security", Level::Warning),
            ("WARNING: sonic/ast only supports", Level::Warning),
            ("2026-11-23 22:12:03,123 ERROR [main] x.Y - z", Level::Error),
            ("panic: runtime error: index out of range", Level::Fatal),
            ("error: cannot open file", Level::Error),
            ("the error rate is low", Level::Unknown),
            ("GET /error/log=1", Level::Unknown),
            ("", Level::Unknown),
        ] {
            assert_eq!(level(line), want, "{line}");
        }
    }
}
