//! The time that a log line carries: RFC 3339 and its relatives, klog, syslog, access logs, epoch numbers, uptimes.
//!
//! Looks at the front of a line, then at its time-like keys (logfmt, JSON), then for an access log's brackets. A time
//! without zone is taken for UTC, one without year for the last such day before `now`. What only might be a time is
//! refused: a wrong time puts a line in the wrong place.

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Bytes of a line that are searched.
const SEARCHED: usize = 400;

/// Keys under which structured lines carry their time.
const KEYS: [&[u8]; 8] = [b"ts", b"time", b"t", b"timestamp", b"@timestamp", b"@t", b"datetime", b"asctime"];

/// The time of a line, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// Since the Unix epoch.
    At(i64),
    /// Since a moment that the line does not tell: the program's start, or midnight.
    Since(i64),
}

/// The time that `line` carries near its front, if it carries one.
pub fn stamp(line: &str, now: DateTime<Utc>) -> Option<Stamp> {
    let head = &line.as_bytes()[..line.len().min(SEARCHED)];
    front(head, now).or_else(|| keyed(head, now)).or_else(|| access(head))
}

/// A time right at the front, after what may stand before it: a syslog priority, klog's letter, a bracket.
fn front(head: &[u8], now: DateTime<Utc>) -> Option<Stamp> {
    let mut rest = head;
    if let [b'<', after @ ..] = head {
        let digits = after.iter().take_while(|b| b.is_ascii_digit()).count();
        if (1..=3).contains(&digits) && after.get(digits) == Some(&b'>') {
            rest = &after[digits + 1..];
            rest = rest.strip_prefix(b"1 ").unwrap_or(rest);
        }
    }
    if let [b'D' | b'I' | b'W' | b'E' | b'F', b'0'..=b'9', ..] = rest {
        return Cursor(&rest[1..]).klog(now).map(Stamp::At);
    }
    let bracket = rest.strip_prefix(b"[");
    if let Some(uptime) = bracket.and_then(|inside| Cursor(inside).kernel()) {
        return Some(Stamp::Since(uptime));
    }
    let mut cursor = Cursor(bracket.unwrap_or(rest));
    let found = cursor.stamp(now)?;
    let close = if bracket.is_some() { cursor.0.first() == Some(&b']') } else { cursor.ends() };
    close.then_some(found)
}

/// `ts=…`, `time="…"`, `"timestamp":"…"` or `"ts":1700000000.5`.
fn keyed(head: &[u8], now: DateTime<Utc>) -> Option<Stamp> {
    for at in (1..head.len()).filter(|&at| matches!(head[at], b'=' | b':')) {
        let quoted = head[at - 1] == b'"';
        let end = at - usize::from(quoted);
        let word = head[..end].iter().rev().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'@'));
        let start = end - word.count();
        let opens = start == 0 || matches!(head[start - 1], b' ' | b',' | b'{' | b'"' | b'\t');
        if !opens || !KEYS.contains(&head[start..end].to_ascii_lowercase().as_slice()) {
            continue;
        }
        let value = head[at + 1..].trim_ascii_start();
        let mut cursor = Cursor(value.strip_prefix(b"\"").unwrap_or(value));
        let scientific = cursor.scientific();
        match scientific.or_else(|| cursor.stamp(now)) {
            // A time of day, or a duration such as `time=12:00:00`, says too little in a pair.
            Some(found @ Stamp::At(_)) if cursor.ends() => return Some(found),
            _ => {}
        }
    }
    None
}

/// `127.0.0.1 - - [23/Nov/2026:22:02:07 +0000] "GET /`.
fn access(head: &[u8]) -> Option<Stamp> {
    let open = head.iter().take(200).position(|&b| b == b'[')?;
    Cursor(&head[open + 1..]).access().map(Stamp::At)
}

/// How one form is read.
type Form<'a> = fn(&mut Cursor<'a>, DateTime<Utc>) -> Option<Stamp>;

/// What is left to read. Where a method answers `None`, the rest is of no further use.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// Tries each form, and stands behind the one that fits.
    fn stamp(&mut self, now: DateTime<Utc>) -> Option<Stamp> {
        let forms: [Form<'a>; 6] = [
            |cursor, _| cursor.iso().map(Stamp::At),
            |cursor, now| cursor.syslog(now).map(Stamp::At),
            |cursor, _| cursor.access().map(Stamp::At),
            |cursor, now| cursor.epoch(now).map(Stamp::At),
            |cursor, _| cursor.uptime().map(Stamp::Since),
            |cursor, _| cursor.clock().map(|(seconds, ns)| Stamp::Since(i64::from(seconds) * NS_PER_SECOND + ns)),
        ];
        let start = *self;
        forms.iter().find_map(|form| {
            *self = start;
            form(self, now)
        })
    }

    /// `2026-11-23T22:12:03.5+01:00`, with `/` in the date or a space in the middle, too.
    fn iso(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        let dash = self.eat(b"-/")?;
        let month = self.number(2)?;
        self.eat(&[dash])?;
        let day = self.number(2)?;
        self.eat(b"Tt _")?;
        let time = self.clock()?;
        nanoseconds(year, month, day, time, self.zone())
    }

    /// `Nov  3 22:12:03`, without a year.
    fn syslog(&mut self, now: DateTime<Utc>) -> Option<i64> {
        let month = self.month()?;
        self.eat(b" ")?;
        let day = if self.eat(b" ").is_some() { self.number(1)? } else { self.number(2)? };
        self.eat(b" ")?;
        let time = self.clock()?;
        last_such_day(month, day, time, now)
    }

    /// klog's `1123 22:12:03.123456`, after its letter.
    fn klog(&mut self, now: DateTime<Utc>) -> Option<i64> {
        let (month, day) = (self.number(2)?, self.number(2)?);
        self.eat(b" ")?;
        let time = self.clock()?;
        last_such_day(month, day, time, now)
    }

    /// `23/Nov/2026:22:02:07 +0000`.
    fn access(&mut self) -> Option<i64> {
        let day = self.number(2)?;
        self.eat(b"/")?;
        let month = self.month()?;
        self.eat(b"/")?;
        let year = self.number(4)?;
        self.eat(b":")?;
        let time = self.clock()?;
        nanoseconds(year, month, day, time, self.zone())
    }

    /// Seconds (with a fraction), milliseconds, microseconds or nanoseconds since the epoch, within 20 years of `now`.
    fn epoch(&mut self, now: DateTime<Utc>) -> Option<i64> {
        let digits = self.0.iter().take(20).take_while(|b| b.is_ascii_digit()).count();
        let unit = match digits {
            10 => NS_PER_SECOND,
            13 => 1_000_000,
            16 => 1_000,
            19 => 1,
            _ => return None,
        };
        let value: i64 = std::str::from_utf8(&self.0[..digits]).ok()?.parse().ok()?;
        self.0 = &self.0[digits..];
        let fraction = if digits == 10 { self.fraction() } else { 0 };
        let ns = value.checked_mul(unit)?.checked_add(fraction)?;
        let years = (ns / NS_PER_SECOND - now.timestamp()).abs() / (365 * 86_400);
        (years < 20).then_some(ns)
    }

    /// zap's `1.7000000001234e+09`.
    fn scientific(&mut self) -> Option<Stamp> {
        let len = self.0.iter().take(30).take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+')).count();
        let text = std::str::from_utf8(&self.0[..len]).ok().filter(|text| text.contains('e'))?;
        let seconds: f64 = text.parse().ok().filter(|seconds| (1e9..9e9).contains(seconds))?;
        self.0 = &self.0[len..];
        Some(Stamp::At((seconds * 1e9) as i64))
    }

    /// llama.cpp's minutes, seconds, milliseconds and microseconds since its start: `0.00.009.154`.
    fn uptime(&mut self) -> Option<i64> {
        let digits = self.0.iter().take(6).take_while(|b| b.is_ascii_digit()).count();
        let minutes = self.number(digits.max(1))?;
        let mut parts = [0; 3];
        for (part, digits) in parts.iter_mut().zip([2, 3, 3]) {
            self.eat(b".")?;
            *part = self.number(digits)?;
        }
        let seconds = i64::from(minutes) * 60 + i64::from(parts[0]);
        Some(seconds * NS_PER_SECOND + i64::from(parts[1]) * 1_000_000 + i64::from(parts[2]) * 1_000)
    }

    /// The kernel's seconds since boot, after their bracket: `[ 3772.848254]`.
    fn kernel(&mut self) -> Option<i64> {
        while self.eat(b" ").is_some() {}
        let digits = self.0.iter().take(9).take_while(|b| b.is_ascii_digit()).count();
        let seconds = self.number(digits.max(1))?;
        self.eat(b".")?;
        let micros = self.number(6)?;
        self.eat(b"]")?;
        Some(i64::from(seconds) * NS_PER_SECOND + i64::from(micros) * 1_000)
    }

    /// `HH:MM:SS` with an optional fraction: seconds of the day and nanoseconds.
    fn clock(&mut self) -> Option<(u32, i64)> {
        let hour = self.number(2).filter(|hour| *hour < 24)?;
        self.eat(b":")?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        self.eat(b":")?;
        // 60 is a leap second.
        let second = self.number(2).filter(|second| *second <= 60)?;
        Some((hour * 3600 + minute * 60 + second, self.fraction()))
    }

    /// `.5` or `,500` in nanoseconds; 0 if there is none.
    fn fraction(&mut self) -> i64 {
        let [b'.' | b',', rest @ ..] = self.0 else { return 0 };
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return 0;
        }
        self.0 = &rest[digits..];
        let padded = rest[..digits].iter().copied().chain(std::iter::repeat(b'0'));
        padded.take(9).fold(0, |ns, digit| ns * 10 + i64::from(digit - b'0'))
    }

    /// Seconds east of UTC; 0 where no zone is stated.
    fn zone(&mut self) -> i64 {
        if self.eat(b"Zz").is_some() {
            return 0;
        }
        let mut ahead = *self;
        ahead.eat(b" ");
        let Some(sign) = ahead.eat(b"+-") else { return 0 };
        let Some(hours) = ahead.number(2) else { return 0 };
        ahead.eat(b":");
        let Some(minutes) = ahead.number(2) else { return 0 };
        *self = ahead;
        let seconds = i64::from(hours * 3600 + minutes * 60);
        if sign == b'-' { -seconds } else { seconds }
    }

    fn month(&mut self) -> Option<u32> {
        const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        let name = self.0.get(..3)?;
        let (month, _) = (1..).zip(MONTHS.chunks(3)).find(|(_, month)| *month == name)?;
        self.0 = &self.0[3..];
        Some(month)
    }

    fn number(&mut self, digits: usize) -> Option<u32> {
        let number = self.0.get(..digits)?;
        let value =
            number.iter().try_fold(0, |value: u32, b| b.is_ascii_digit().then(|| value * 10 + u32::from(b - b'0')))?;
        self.0 = &self.0[digits..];
        Some(value)
    }

    fn eat(&mut self, any: &[u8]) -> Option<u8> {
        let first = *self.0.first().filter(|b| any.contains(b))?;
        self.0 = &self.0[1..];
        Some(first)
    }

    /// Whether nothing follows that would make a time part of a longer word.
    fn ends(&self) -> bool {
        match self.0.first() {
            None => true,
            Some(b) => !b.is_ascii_alphanumeric() && !matches!(b, b'.' | b'-' | b'/' | b'_' | b'%'),
        }
    }
}

fn nanoseconds(year: u32, month: u32, day: u32, (seconds, ns): (u32, i64), zone: i64) -> Option<i64> {
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let midnight = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    (midnight + i64::from(seconds) - zone).checked_mul(NS_PER_SECOND)?.checked_add(ns)
}

/// The last time before tomorrow that was this month, day and time.
fn last_such_day(month: u32, day: u32, time: (u32, i64), now: DateTime<Utc>) -> Option<i64> {
    let latest = now.checked_add_days(Days::new(1))?.timestamp_nanos_opt()?;
    let this_year = u32::try_from(now.year()).ok()?;
    // Eight years hold a leap day.
    let years = (0..=8).filter_map(|back| nanoseconds(this_year.checked_sub(back)?, month, day, time, 0));
    years.into_iter().find(|ns| *ns <= latest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-24T06:00:00Z".parse().unwrap()
    }

    fn at(time: &str) -> Option<Stamp> {
        let time: DateTime<Utc> = time.parse().unwrap();
        Some(Stamp::At(time.timestamp_nanos_opt().unwrap()))
    }

    #[test]
    fn every_common_form_is_read() {
        for (line, time) in [
            ("2026-11-23T22:08:27.957398+00:00 node1 x", "2026-11-23T22:08:27.957398Z"),
            ("2026-11-23T23:08:27+01:00 x", "2026-11-23T22:08:27Z"),
            ("2026-11-23T22:12:03.5Z stderr F 2020/01/01 00:00:00 x", "2026-11-23T22:12:03.5Z"),
            ("2026/11/23 22:03:59 [notice] x", "2026-11-23T22:03:59Z"),
            ("2026-11-23 22:12:03,123 ERROR x", "2026-11-23T22:12:03.123Z"),
            ("[2026-11-23T22:12:03Z] x", "2026-11-23T22:12:03Z"),
            ("Nov  3 22:12:03 host x", "2026-11-03T22:12:03Z"),
            ("Dec 31 22:12:03 host x", "2025-12-31T22:12:03Z"),
            ("<11>1 2026-11-23T22:12:03Z host x", "2026-11-23T22:12:03Z"),
            ("<34>Oct 11 22:14:15 host x", "2026-10-11T22:14:15Z"),
            ("E1123 22:12:03.123456       1 a.go:12] x", "2026-11-23T22:12:03.123456Z"),
            ("I0229 22:12:03.000000 1 a.go:12] x", "2024-02-29T22:12:03Z"),
            ("[23/Nov/2026:22:02:07.150] x", "2026-11-23T22:02:07.150Z"),
            (r#"10.0.0.1 - - [23/Nov/2026:22:02:07 -0200] "GET / HTTP/1.1" 200 5"#, "2026-11-24T00:02:07Z"),
            ("ts=2026-11-23T22:02:31.675Z caller=a level=info", "2026-11-23T22:02:31.675Z"),
            (r#"level=info time="2026-11-23T22:12:03Z" x=1"#, "2026-11-23T22:12:03Z"),
            (r#"{"level":"info","ts":"2026-11-23T22:07:53.532Z","msg":"x"}"#, "2026-11-23T22:07:53.532Z"),
            (r#"{"msg":"x","ts":1700000000.5}"#, "2023-11-14T22:13:20.5Z"),
            (r#"{"ts":1.7000000005e+09,"msg":"x"}"#, "2023-11-14T22:13:20.5Z"),
            (r#"{"level":30,"time":1700000000123,"msg":"x"}"#, "2023-11-14T22:13:20.123Z"),
            ("1700000000.123 x", "2023-11-14T22:13:20.123Z"),
            ("1700000000123456789 x", "2023-11-14T22:13:20.123456789Z"),
        ] {
            assert_eq!(stamp(line, now()), at(time), "{line}");
        }
        assert_eq!(stamp("0.01.009.154 I srv x", now()), Some(Stamp::Since(1_009_154_000)));
        assert_eq!(stamp("[ 3772.848254] x", now()), Some(Stamp::Since(3_772_848_254_000)));
        assert_eq!(stamp("00:00:03.5 x", now()), Some(Stamp::Since(3_500_000_000)));
    }

    #[test]
    fn what_only_looks_like_a_time_is_refused() {
        for line in [
            "",
            "x",
            "12345 x",
            "1234567890123456789012 x",
            "127.0.0.1:54450 x",
            "time=12ms x",
            "t=soon",
            "uptime=1700000000",
            "2026-13-45T22:12:03Z x",
            "2026-11-23T25:12:03Z x",
            "2026-11-23",
            "Nov 33 22:12:03 x",
            "E1323 22:12:03.1 1 x",
            "9999999999 x",
            "[1700000000 x",
            "[ 3772.84] x",
            "22:12:03-b x",
            "é",
            "runtime=2026-11-23T22:12:03Z",
        ] {
            assert_eq!(stamp(line, now()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "\\PC{0,60}", digits in "[0-9:./T<>\\[\\]= \"-]{0,60}") {
            stamp(&line, now());
            stamp(&digits, now());
        }
    }
}
