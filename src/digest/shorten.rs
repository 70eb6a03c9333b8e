//! Makes raw lines fit for a digest: no control characters, no line breaks, and the middle elided of what is too long.

use super::clock;
use super::record::{Record, Records};
use crate::stream::Window;

/// What stands for an elided middle.
const GAP: char = '…';

/// Lines shown of a longer record, from its start and from its end.
const FIRST_LINES: usize = 6;
const LAST_LINES: usize = 4;

/// Keys whose value says why, most telling first. Such values end with the cause.
const CAUSES: [&str; 8] =
    ["err=\"", "error=\"", "\"error\":\"", "\"err\":\"", "reason=\"", "err=", "error=", "\"stacktrace\":\""];

/// A shown line and whether something was cut out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) text: String,
    pub(super) cut: bool,
}

/// The text of a record without its leading timestamp, at most `max` bytes long.
pub(super) fn record(window: &Window, records: &Records, index: u32, max: usize) -> Short {
    let record = records.all[index as usize];
    let lines = lines(window, records, record, index);
    let (mut text, mut cut) = (String::new(), false);
    let elided = lines.len().saturating_sub(FIRST_LINES + LAST_LINES);
    for (n, line) in lines.iter().enumerate() {
        if elided > 1 && (FIRST_LINES..FIRST_LINES + elided).contains(&n) {
            if n == FIRST_LINES {
                text += &format!("\\n… {elided} lines …");
                cut = true;
            }
            continue;
        }
        if n > 0 {
            text += "\\n";
        }
        let raw = if n == 0 { without_time(line) } else { (*line, "") };
        let short = shorten(raw, max);
        cut |= short.cut;
        text += &short.text;
    }
    let whole = fit(&text, max);
    cut |= whole.len() < text.len();
    Short { text: whole, cut }
}

fn lines<'a>(window: &'a Window, records: &Records, record: Record, index: u32) -> Vec<&'a str> {
    let members = (record.head..=record.last).filter(|&e| records.of[e as usize] == index);
    members.map(|e| window.entries[e as usize].line.as_str()).collect()
}

/// The line in two parts, around its own timestamp.
fn without_time(line: &str) -> (&str, &str) {
    let (start, end) = clock::leading(line.as_bytes());
    match (line.get(..start), line.get(end..)) {
        (Some(before), Some(after)) => (before, after),
        _ => (line, ""),
    }
}

fn shorten((before, after): (&str, &str), max: usize) -> Short {
    // Escaping grows a line at most threefold (a byte becomes a replacement character): twice `max` of raw text from
    // each end always holds what will be shown, and a line of megabytes costs no more than that.
    let raw_len = before.len() + after.len();
    let keep = max.saturating_mul(2).max(64);
    let (raw, cut) = if raw_len > 2 * keep + CAUSE_SEARCH {
        (ends(before, after, keep), true)
    } else {
        (format!("{before}{after}"), false)
    };
    let clean = clean(&raw);
    let text = fit(&clean, max);
    Short { cut: cut || text.len() < clean.len(), text }
}

/// Lines up to about this long are searched for their cause before they are cut.
const CAUSE_SEARCH: usize = 1 << 16;

fn ends(before: &str, after: &str, keep: usize) -> String {
    let head = prefix(before, keep);
    let more = prefix(after, keep.saturating_sub(head.len()));
    format!("{head}{more}{GAP}{}", suffix(after, keep))
}

/// Replaces what must not reach a prompt as it is: terminal colours go, tabs become spaces, line breaks `\n`, other
/// control and direction-changing characters `?`.
pub(super) fn clean(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next_if(|c| matches!(c, '0'..='9' | ';' | '?')).is_some() {}
                chars.next_if(char::is_ascii_alphabetic);
            }
            '\t' => text.push(' '),
            '\n' => text.push_str("\\n"),
            '\r' => {}
            c if c.is_control() || invisible(c) => text.push('?'),
            c => text.push(c),
        }
    }
    text
}

/// Characters that show as nothing, break a line or turn the direction of text.
fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Cuts the middle out of `text` so that at most `max` bytes remain and the end of its cause is among them.
pub(super) fn fit(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let gap = GAP.len_utf8();
    if max < 8 * gap {
        return prefix(text, max).to_owned();
    }
    let tail = (max - gap) * 2 / 5;
    if let Some(end) = cause_end(text).filter(|&end| end + tail < text.len() && end > max - gap - tail) {
        let room = max - 2 * gap;
        let (head, cause) = (room * 2 / 5, room * 2 / 5);
        let end_part = suffix(text, room - head - cause);
        return format!("{}{GAP}{}{GAP}{end_part}", prefix(text, head), suffix(&text[..end], cause));
    }
    format!("{}{GAP}{}", prefix(text, max - gap - tail), suffix(text, tail))
}

/// Where the value that says why ends.
fn cause_end(text: &str) -> Option<usize> {
    let (key, start) = CAUSES.iter().find_map(|key| Some((key, text.rfind(key)? + key.len())))?;
    let bytes = text.as_bytes();
    let close = if key.ends_with('"') { b'"' } else { b' ' };
    let end = (start..bytes.len()).find(|&i| bytes[i] == close && bytes[i - 1] != b'\\')?;
    Some(end)
}

/// The longest prefix of at most `max` bytes.
pub(super) fn prefix(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// The longest suffix of at most `max` bytes.
fn suffix(text: &str, max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(max))..]
}

#[cfg(test)]
mod tests {
    use super::super::record as records;
    use super::*;
    use crate::stream::Labels;

    #[test]
    fn what_is_cut_is_the_middle_and_the_cause_stays() {
        let long = "x".repeat(500);
        assert!(fit(&format!("start {long} cause"), 100).ends_with("cause"));
        let chain = format!("level=error msg=\"it failed\" err=\"open {long}: no space left\" path={long}");
        let short = fit(&chain, 160);
        assert!(short.len() <= 160 && short.starts_with("level=error") && short.contains("no space left"), "{short}");
        for max in 0..60 {
            assert!(fit("ééééééééééééééééééééééééééééééééé", max).len() <= max);
        }
    }

    #[test]
    fn nothing_that_steers_a_terminal_or_a_reader_survives() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\ta\nb\r\u{7}\u{202e}c  "), "red a\\nb??c");
    }

    #[test]
    fn a_record_is_shown_on_one_line_with_its_middle_elided() {
        let text = format!("12:00:00 panic: x\n{}last", "\tframe\n".repeat(20));
        let window = Window::from_text(Labels::default(), 0, &text.replace("last", "\tlast"));
        let split = records::of(&window);
        let short = record(&window, &split, 0, 400);
        assert!(short.cut && short.text.starts_with("panic: x\\n") && short.text.ends_with(" last"), "{}", short.text);
        assert!(short.text.contains("… 12 lines …"), "{}", short.text);
    }
}
