//! Times in and around lines: where a line's own timestamp stands, and how a digest writes a time (UTC).

use std::ops::Range;

const NS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Writes `ns` since the epoch as `HH:MM:SS`, or `MM-DDTHH:MM:SS` if `dated`.
pub(super) fn time(ns: i64, dated: bool) -> String {
    let seconds = ns.div_euclid(NS_PER_SECOND);
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let clock = format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    if !dated {
        return clock;
    }
    let (month, day) = month_day(seconds.div_euclid(SECONDS_PER_DAY));
    format!("{month:02}-{day:02}T{clock}")
}

/// Whether the two instants fall on different days.
pub(super) fn spans_days(first_ns: i64, last_ns: i64) -> bool {
    let day = |ns: i64| ns.div_euclid(NS_PER_SECOND).div_euclid(SECONDS_PER_DAY);
    day(first_ns) != day(last_ns)
}

/// Month and day of a day number since 1970-01-01; the civil calendar by Howard Hinnant's `civil_from_days`.
fn month_day(days: i64) -> (i64, i64) {
    let z = days + 719_468;
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// Keys under which structured lines carry their time.
const PAIRS: [&[u8]; 5] = [b"ts", b"time", b"t", b"timestamp", b"@timestamp"];

/// The bytes of `line` that are its own timestamp with the space around it: empty if it has none near its front.
pub(super) fn leading(line: &[u8]) -> (usize, usize) {
    let cut = front(line).or_else(|| pair(line)).or_else(|| json(line)).unwrap_or(0..0);
    (cut.start, cut.end)
}

fn front(line: &[u8]) -> Option<Range<usize>> {
    if super::level::header(line).is_some() {
        return after_header(line);
    }
    let mut end = stamp(line)?;
    for stream in [&b"stdout F "[..], b"stderr F ", b"stdout P ", b"stderr P "] {
        if line[end..].starts_with(stream) {
            end += stream.len();
            end += stamp(&line[end..]).unwrap_or(0);
        }
    }
    Some(0..end)
}

/// klog keeps its letter, syslog its priority.
fn after_header(line: &[u8]) -> Option<Range<usize>> {
    if line[0] == b'<' {
        let mut start = line.iter().position(|&b| b == b'>')? + 1;
        if line[start..].starts_with(b"1 ") {
            start += 2;
        }
        let len = stamp(&line[start..])?;
        return Some(start..start + len);
    }
    let time = clock(&line[6..])?;
    let end = 6 + time;
    let spaces = line[end..].iter().take_while(|&&b| b == b' ').count();
    Some(1..end + spaces.saturating_sub(1))
}

/// `ts=…` or `time="…"` among the first three pairs of a logfmt line.
fn pair(line: &[u8]) -> Option<Range<usize>> {
    let head = &line[..line.len().min(200)];
    let mut start = 0;
    for _ in 0..3 {
        let eq = start + head[start..].iter().take(32).position(|&b| b == b'=')?;
        let key = &head[start..eq];
        if !key.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'@' | b'.')) {
            return None;
        }
        let quoted = head.get(eq + 1) == Some(&b'"');
        let from = eq + 1 + usize::from(quoted);
        let close = if quoted { b'"' } else { b' ' };
        let len = head.get(from..)?.iter().position(|&b| b == close)?;
        let end = from + len + usize::from(quoted);
        let end = end + usize::from(head.get(end) == Some(&b' '));
        if PAIRS.contains(&key) && head[from].is_ascii_digit() {
            return Some(start..end);
        }
        start = end;
    }
    None
}

/// `"ts":…,` near the front of a JSON object.
fn json(line: &[u8]) -> Option<Range<usize>> {
    if line.first() != Some(&b'{') {
        return None;
    }
    let head = &line[..line.len().min(300)];
    for (start, _) in head.iter().enumerate().filter(|(_, b)| **b == b'"') {
        let key = head.get(start + 1..)?;
        let len = key.iter().take(16).position(|&b| b == b'"').unwrap_or(0);
        if !PAIRS.contains(&&key[..len]) || key.get(len + 1) != Some(&b':') {
            continue;
        }
        let mut end = start + len + 3;
        end += head[end..].iter().take_while(|&&b| b == b' ').count();
        end += match head.get(end)? {
            b'"' => 2 + head[end + 1..].iter().position(|&b| b == b'"')?,
            b'0'..=b'9' => head[end..].iter().position(|&b| matches!(b, b',' | b'}'))?,
            _ => continue,
        };
        if head.get(end) == Some(&b',') {
            return Some(start..end + 1);
        }
        let comma = usize::from(start > 0 && head[start - 1] == b',');
        return Some(start - comma..end);
    }
    None
}

/// Length of the timestamp that `line` starts with, including brackets and the space after it.
fn stamp(line: &[u8]) -> Option<usize> {
    let open = usize::from(line.first() == Some(&b'['));
    let body = &line[open..];
    let mut len = open + dated(body).or_else(|| uptime(body)).or_else(|| clock(body)).or_else(|| epoch(body))?;
    if open == 1 {
        if line.get(len) != Some(&b']') {
            return None;
        }
        len += 1;
    }
    match line.get(len) {
        None | Some(b' ' | b'\t' | b':') => {}
        Some(_) => return None,
    }
    len += line[len..].iter().take_while(|b| matches!(b, b' ' | b'\t' | b':')).count();
    Some(len)
}

/// `#` is a digit, a letter stands for itself.
fn fits(line: &[u8], pattern: &[u8]) -> bool {
    line.len() >= pattern.len()
        && line.iter().zip(pattern).all(|(b, p)| match p {
            b'#' => b.is_ascii_digit(),
            b'?' => b.is_ascii_digit() || *b == b' ',
            _ => b == p,
        })
}

fn dated(line: &[u8]) -> Option<usize> {
    let date = if fits(line, b"####-##-##") || fits(line, b"####/##/##") {
        10
    } else if month(line) && fits(&line[3..], b" ?# ") {
        6
    } else if fits(line, b"##/") && month(&line[3..]) && fits(&line[6..], b"/####:") {
        11
    } else {
        return None;
    };
    match line.get(date) {
        Some(b'T' | b' ' | b':') => {}
        _ => return None,
    }
    let mut len = date + 1;
    len += clock(&line[len..])?;
    if line.get(len) == Some(&b'Z') {
        return Some(len + 1);
    }
    if fits(&line[len..], b" UTC") {
        return Some(len + 4);
    }
    let space = usize::from(line.get(len) == Some(&b' '));
    let zone = &line[len + space..];
    if matches!(zone.first(), Some(b'+' | b'-')) {
        if fits(&zone[1..], b"##:##") {
            len += space + 6;
        } else if fits(&zone[1..], b"####") {
            len += space + 5;
        }
    }
    Some(len)
}

fn month(line: &[u8]) -> bool {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    line.len() >= 3 && MONTHS.chunks(3).any(|m| m == &line[..3])
}

/// `HH:MM:SS` with an optional fraction.
fn clock(line: &[u8]) -> Option<usize> {
    fits(line, b"##:##:##").then(|| 8 + fraction(&line[8..]))
}

fn fraction(line: &[u8]) -> usize {
    match line {
        [b'.' | b',', rest @ ..] => match rest.iter().take_while(|b| b.is_ascii_digit()).count() {
            0 => 0,
            n => n + 1,
        },
        _ => 0,
    }
}

/// llama.cpp's minutes, seconds, milliseconds and microseconds since start.
fn uptime(line: &[u8]) -> Option<usize> {
    let minutes = line.iter().take(6).take_while(|b| b.is_ascii_digit()).count();
    (minutes > 0 && fits(&line[minutes..], b".##.###.###")).then_some(minutes + 11)
}

/// Seconds (with a fraction), milliseconds or nanoseconds since the epoch.
fn epoch(line: &[u8]) -> Option<usize> {
    let digits = line.iter().take(20).take_while(|b| b.is_ascii_digit()).count();
    match digits {
        10 => Some(10 + fraction(&line[10..])),
        13 | 16 | 19 => Some(digits),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(line: &str) -> String {
        let (start, end) = leading(line.as_bytes());
        format!("{}{}", &line[..start], &line[end..])
    }

    #[test]
    fn leading_timestamps_are_found_in_every_common_form() {
        for (line, want) in [
            ("2026-11-23T22:08:27.957398+00:00 node1 x", "node1 x"),
            ("2026/11/23 22:03:59 [notice] x", "[notice] x"),
            ("2026-11-23 22:12:03,123 ERROR x", "ERROR x"),
            ("Nov  3 22:12:03 host x", "host x"),
            ("[23/Nov/2026:22:02:07.150] x", "x"),
            ("[2026-11-23T22:12:03Z] x", "x"),
            ("0.00.009.154 I srv x", "I srv x"),
            ("1700000000.123 x", "x"),
            ("22:12:03.5 x", "x"),
            ("E1123 22:12:03.123456       1 a.go:12] x", "E 1 a.go:12] x"),
            ("<11>1 2026-11-23T22:12:03Z host x", "<11>1 host x"),
            ("ts=2026-11-23T22:02:31.675Z caller=a level=info", "caller=a level=info"),
            (r#"time="2026-11-23T22:12:03Z" level=info"#, "level=info"),
            ("level=info ts=2026-11-23T22:02:31.675Z caller=a", "level=info caller=a"),
            (r#"{"level":"info","ts":"2026-11-23T22:07:53.532Z","msg":"x"}"#, r#"{"level":"info","msg":"x"}"#),
            (r#"{"msg":"x","ts":1700000000.5}"#, r#"{"msg":"x"}"#),
            ("2026-11-23T22:12:03Z stderr F 2026/11/23 22:12:03 x", "x"),
            ("t=soon x", "t=soon x"),
            ("127.0.0.1:54450 x", "127.0.0.1:54450 x"),
            ("12345 x", "12345 x"),
        ] {
            assert_eq!(stripped(line), want, "{line}");
        }
    }

    #[test]
    fn times_are_written_in_utc_and_survive_the_extremes() {
        assert_eq!(time(1_700_000_000_000_000_000, false), "22:13:20");
        assert_eq!(time(1_700_000_000_000_000_000, true), "11-14T22:13:20");
        assert_eq!(time(951_782_400_000_000_000, true), "02-29T00:00:00");
        assert_eq!(time(-1, true), "12-31T23:59:59");
        for ns in [i64::MIN, i64::MAX] {
            assert_eq!(time(ns, true).len(), 14);
        }
        assert!(spans_days(0, 86_400_000_000_000) && !spans_days(0, 86_399_999_999_999));
    }
}
