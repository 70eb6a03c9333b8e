//! Takes secrets out of log lines before anything else sees them: `[REDACTED:kind]` in place of each.
//!
//! A secret is found by its own shape (a JWT, a `ghp_…` token, a PEM block), by the header that carries it, or by the
//! key it is assigned to in logfmt, JSON, YAML, a flag, a query string or a URL. What merely looks random (image
//! digests, trace ids, UUIDs, hashes) stays, because it is evidence. Nothing is decoded or looked up, and a secret with
//! neither shape nor key cannot be seen: redaction lowers the risk of leaking, it does not end it.
//!
//! A line without a trigger word costs one scan and no allocation.

mod keyed;
mod pem;
mod reach;
mod shaped;
#[cfg(target_arch = "x86_64")]
mod starts;
mod words;

use std::borrow::Cow;
use std::fmt;
use std::ops::Add;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use regex::Regex;

use crate::stream::{Entry, Window};

/// Version of the rules; part of what makes two runs comparable, raised whenever an output could change.
pub const VERSION: &str = "1";

/// Entries that a thread takes at a time. For a smaller window a second one would cost more than it saves wherever a model
/// keeps the cores busy: it has to be let in first.
const PART: usize = 1 << 14;

/// What a replaced text was; its name stands in the replacement. In order of precedence where two overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A PEM private key block, an age key, or a base64-wrapped one.
    PrivateKey,
    /// The credentials of an `Authorization` header, or after `Bearer` or `Basic`.
    Auth,
    /// The value of a `Cookie` or `Set-Cookie` header.
    Cookie,
    /// The value of a password-like key.
    Password,
    /// The value of a secret-, token- or key-like key.
    Token,
    /// User and password, or a token, before the host of a URL.
    UrlUserinfo,
    /// A token recognised by its issuer's format.
    ApiKey,
    /// A JSON web token.
    Jwt,
    /// An e-mail address; only where the policy asks for it.
    Email,
    /// An IP address that is neither loopback nor unspecified; only where the policy asks for it.
    Ip,
}

impl Kind {
    /// Every kind, in order of precedence.
    pub const ALL: [Self; 10] = [
        Self::PrivateKey,
        Self::Auth,
        Self::Cookie,
        Self::Password,
        Self::Token,
        Self::UrlUserinfo,
        Self::ApiKey,
        Self::Jwt,
        Self::Email,
        Self::Ip,
    ];

    /// The name in the replacement and in counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private_key",
            Self::Auth => "auth",
            Self::Cookie => "cookie",
            Self::Password => "password",
            Self::Token => "token",
            Self::UrlUserinfo => "url_userinfo",
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::Email => "email",
            Self::Ip => "ip",
        }
    }
}

/// What is replaced beyond secrets, which always are. Addresses are off by default: they are often the evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Replace IP addresses.
    pub ip: bool,
    /// Replace e-mail addresses.
    pub email: bool,
}

/// How many texts of each kind were replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; Kind::ALL.len()]);

impl Counts {
    /// The count of one kind.
    pub fn get(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// The sum over all kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The kinds that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.into_iter().map(|kind| (kind, self.get(kind))).filter(|(_, count)| *count > 0)
    }

    fn count(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
        self
    }
}

/// Writes `kind=count`, separated by spaces.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (kind, count)) in self.iter().enumerate() {
            write!(f, "{}{}={count}", if i == 0 { "" } else { " " }, kind.name())?;
        }
        Ok(())
    }
}

/// A stretch of a line to be replaced: byte offsets at character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    kind: Kind,
}

/// The rules, compiled once.
#[derive(Debug)]
pub struct Redactor {
    policy: Policy,
    /// What a line without has nothing for `trigger` either.
    words: words::Words,
    /// Matches wherever any rule could; everything else is skipped.
    trigger: Regex,
    keyed: keyed::Rules,
    shaped: shaped::Rules,
    pem: pem::Rules,
}

impl Redactor {
    /// Compiles the rules for a policy.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            words: words::Words::new(),
            trigger: regex(TRIGGER),
            keyed: keyed::Rules::new(),
            shaped: shaped::Rules::new(),
            pem: pem::Rules::new(),
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The line with every secret replaced; borrowed, and nothing allocated, when there is none.
    pub fn redact<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let spans = self.spans(line);
        if spans.is_empty() { Cow::Borrowed(line) } else { Cow::Owned(replace(line, &spans)) }
    }

    /// Redacts all lines of a window in place, also keys whose block spans several entries of one stream; a large window
    /// on two threads.
    pub fn redact_window(&self, window: &mut Window) -> Counts {
        let blocks = self.pem.blocks(window);
        let many = window.entries.len() > PART;
        let parts = Mutex::new((0..).step_by(PART).zip(window.entries.chunks_mut(PART)));
        let work = || {
            let mut counts = Counts::default();
            loop {
                let part = parts.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((first, entries)) = part else { return counts };
                for (number, Entry { line, .. }) in (first..).zip(entries) {
                    self.redact_line(line, blocks.get(&number), &mut counts);
                }
            }
        };
        thread::scope(|scope| {
            let other = many.then(|| scope.spawn(work));
            let mine = work();
            other.map_or(mine, |other| mine + other.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    /// Redacts a line in place; `block` is the part of it that belongs to a key in other entries too.
    fn redact_line(&self, line: &mut String, block: Option<&(usize, usize)>, counts: &mut Counts) {
        let mut spans = self.spans(line);
        if let Some(&(start, end)) = block {
            spans.push(Span { start, end, kind: Kind::PrivateKey });
            merge(&mut spans);
        }
        if !spans.is_empty() {
            spans.iter().for_each(|span| counts.count(span.kind));
            *line = replace(line, &spans);
        }
    }

    fn spans(&self, line: &str) -> Vec<Span> {
        let mut spans = Vec::new();
        if self.policy.ip {
            shaped::ips(line, &mut spans);
        }
        if self.words.in_line(line).is_some_and(|certain| certain || self.trigger.is_match(line)) {
            self.find(line, &mut spans);
        }
        merge(&mut spans);
        spans
    }

    /// What each rule finds.
    fn find(&self, line: &str, spans: &mut Vec<Span>) {
        self.pem.inline(line, spans);
        self.keyed.find(line, spans);
        self.shaped.find(line, self.policy.email, spans);
    }
}

/// One cheap alternation in front of all rules. Every rule's match must contain one of these.
const TRIGGER: &str = concat!(
    r"(?i-u:@|authorization|bearer|basic|cookie|pass|pwd|secret|token|credential|[a-z][_-]?key",
    r"|auth\\*[\x22'=:]|eyj|lS0tlS1c|-----begin|sig=|signature|gh[pousr]_|github_pat_|gl[a-z]{2,6}-|sk-|[sr]k_|xox|xapp-",
    r"|a[a-z]{3}[a-z0-9]{16}|aiza|ya29|npm_|hf_|glsa_|glc_|hv[sbr]\.|dckr_|pypi-|sg\.|whsec_|shpat_|dop_v1_)"
);

/// Compiles a pattern of this module; each is a constant that the tests compile.
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern that the tests compile")
}

/// Sorts spans and joins those that overlap or touch; the kind of higher precedence wins.
fn merge(spans: &mut Vec<Span>) {
    spans.sort_by_key(|span| (span.start, span.end));
    spans.dedup_by(|next, kept| {
        let overlap = next.start < kept.end;
        if overlap {
            kept.end = kept.end.max(next.end);
            kept.kind = kept.kind.min(next.kind);
        }
        overlap
    });
}

fn replace(line: &str, spans: &[Span]) -> String {
    let mut out = String::with_capacity(line.len());
    let mut done = 0;
    for span in spans {
        out.push_str(&line[done..span.start]);
        out.push_str("[REDACTED:");
        out.push_str(span.kind.name());
        out.push(']');
        done = span.end;
    }
    out.push_str(&line[done..]);
    out
}

/// Whether a word is more likely a credential than a word of a sentence: long enough, and mixed.
fn looks_secret(word: &str) -> bool {
    if word.len() < 8 || word.starts_with("sha256:") || word.starts_with("[REDACTED:") {
        return false;
    }
    let has = |test: fn(&u8) -> bool| word.bytes().any(|b| test(&b));
    let letters = has(u8::is_ascii_alphabetic);
    let inner_upper = || word.bytes().skip(1).any(|b| b.is_ascii_uppercase()) && has(u8::is_ascii_lowercase);
    letters && (word.len() >= 32 || has(u8::is_ascii_digit) || inner_upper())
}

#[cfg(test)]
mod tests;
