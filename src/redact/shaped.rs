//! Secrets that are known by their own shape, wherever they stand.

use std::net::{Ipv4Addr, Ipv6Addr};

use regex::Regex;

use super::{Kind, Span, looks_secret, regex};

/// Formats that issuers document, or that secret scanners publish. A match must not continue a longer word.
const ISSUED: &str = concat!(
    r"(?-u)gh[pousr]_[A-Za-z0-9_.-]{16,}|github_pat_[A-Za-z0-9_]{16,}",
    r"|gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent|oas|ffct)-[A-Za-z0-9_.-]{16,}|sk-[A-Za-z0-9_-]{16,}",
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}|xox[a-z]{1,2}-[A-Za-z0-9-]{10,}",
    r"|xapp-[A-Za-z0-9-]{10,}|A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}",
    r"|npm_[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{20,}|glsa_[A-Za-z0-9_]{20,}|glc_[A-Za-z0-9+/=_-]{20,}",
    r"|hv[sbr]\.[A-Za-z0-9_-]{20,}|dckr_(?:pat|oat)_[A-Za-z0-9_-]{16,}|pypi-[A-Za-z0-9_-]{20,}",
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|shpat_[A-Fa-f0-9]{16,}|dop_v1_[a-f0-9]{32,}|eyJrIjoi[A-Za-z0-9+/=]{20,}"
);

/// Unit types of systemd: `getty@tty1.service` is no address.
const NOT_TOP_LEVEL: [&str; 9] = ["service", "socket", "timer", "mount", "slice", "scope", "target", "device", "path"];

#[derive(Debug)]
pub(super) struct Rules {
    issued: Regex,
    jwt: Regex,
    userinfo: Regex,
    dsn: Regex,
    email: Regex,
}

impl Rules {
    pub(super) fn new() -> Self {
        Self {
            issued: regex(ISSUED),
            jwt: regex(r"(?-u)eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){1,4}"),
            userinfo: regex(r#"://([^\s/"'<>?#`]+)@"#),
            dsn: regex(r#"([^\s/"'<>@`:=]+:[^\s"'<>`]+)@(?:tcp|unix)\("#),
            email: regex(r"(?-u)[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+([A-Za-z]{2,})"),
        }
    }

    pub(super) fn find(&self, line: &str, email: bool, spans: &mut Vec<Span>) {
        self.tokens(line, spans);
        if line.contains('@') {
            self.userinfo(line, spans);
            if email {
                self.emails(line, spans);
            }
        }
    }

    fn tokens(&self, line: &str, spans: &mut Vec<Span>) {
        for found in self.issued.find_iter(line).filter(|found| starts_word(line, found.start())) {
            // `sk-` is short and a legal start of a pod's name.
            let text = found.as_str();
            let mixed = text.bytes().any(|b| b.is_ascii_uppercase()) || text.len() >= 40;
            if !text.starts_with("sk-") || (mixed && looks_secret(text)) {
                spans.push(Span { start: found.start(), end: found.end(), kind: Kind::ApiKey });
            }
        }
        let jwts = self.jwt.find_iter(line).filter(|found| starts_word(line, found.start()));
        spans.extend(jwts.map(|found| Span { start: found.start(), end: found.end(), kind: Kind::Jwt }));
    }

    fn userinfo(&self, line: &str, spans: &mut Vec<Span>) {
        let urls = self.userinfo.captures_iter(line).filter_map(|groups| groups.get(1));
        let urls = urls.filter(|group| {
            let text = group.as_str();
            // `ssh://git@host` names an account that everybody has.
            let secret = text.split_once(':').is_some_and(|(_, password)| !password.is_empty());
            !text.contains("[REDACTED:") && (secret || text.len() >= 16 || looks_secret(text))
        });
        let dsns = self.dsn.captures_iter(line).filter_map(|groups| groups.get(1));
        let dsns = dsns.filter(|group| !group.as_str().contains("[REDACTED:"));
        let all = urls.chain(dsns);
        spans.extend(all.map(|group| Span { start: group.start(), end: group.end(), kind: Kind::UrlUserinfo }));
    }

    fn emails(&self, line: &str, spans: &mut Vec<Span>) {
        for groups in self.email.captures_iter(line) {
            let (Some(all), Some(top)) = (groups.get(0), groups.get(1)) else { continue };
            // `git@github.com:…` is how a repository is addressed.
            let address = !all.as_str().starts_with("git@") && !NOT_TOP_LEVEL.contains(&top.as_str());
            if address {
                spans.push(Span { start: all.start(), end: all.end(), kind: Kind::Email });
            }
        }
    }
}

fn starts_word(line: &str, at: usize) -> bool {
    let bytes = line.as_bytes();
    let Some(&before) = at.checked_sub(1).and_then(|i| bytes.get(i)) else { return true };
    // In JSON inside a string, the `n` of an escaped line end touches the next word.
    let escaped = at >= 2 && bytes[at - 2] == b'\\' && matches!(before, b'n' | b't' | b'r');
    escaped || !(before.is_ascii_alphanumeric() || matches!(before, b'_' | b'-'))
}

/// IPv4 and IPv6 addresses, without port or prefix length. Loopback and unspecified addresses say nothing about anyone.
pub(super) fn ips(line: &str, spans: &mut Vec<Span>) {
    let part = |b: u8| b.is_ascii_hexdigit() || b == b':' || b == b'.';
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        while at < bytes.len() && part(bytes[at]) {
            at += 1;
        }
        let whole = starts_word(line, start) && !bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if at - start >= 3 && whole {
            ip_in(line, start, at, spans);
        }
        at = at.max(start + 1);
    }
}

/// Tries the word as it is, then as `v4:port`, then without trailing punctuation.
fn ip_in(line: &str, start: usize, end: usize, spans: &mut Vec<Span>) {
    let word = line[start..end].trim_end_matches(['.', ':']);
    let v4 = word.split_once(':').map_or(word, |(host, _)| host);
    let (length, public) = if let Ok(ip) = v4.parse::<Ipv4Addr>() {
        (v4.len(), !ip.is_loopback() && !ip.is_unspecified())
    } else if let Ok(ip) = line[start..end].trim_end_matches('.').parse::<Ipv6Addr>() {
        (line[start..end].trim_end_matches('.').len(), !ip.is_loopback() && !ip.is_unspecified())
    } else if let Ok(ip) = word.parse::<Ipv6Addr>() {
        (word.len(), !ip.is_loopback() && !ip.is_unspecified())
    } else {
        return;
    };
    if public {
        spans.push(Span { start, end: start + length, kind: Kind::Ip });
    }
}
