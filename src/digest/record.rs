//! Joins the lines of one stream that belong together: stack traces, goroutine dumps, indented continuations.

use super::clock;
use crate::stream::Window;

/// A longer record is cut, so that a program that indents everything does not become one record.
const MAX_LINES: u32 = 400;

/// A line and those that continue it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Index of the entry that opens it.
    pub(super) head: u32,
    /// Index of its last entry.
    pub(super) last: u32,
    /// How many entries it has.
    pub(super) lines: u32,
    /// Entry whose text tells it from other records of its kind, beside the head: a Python traceback's last line.
    pub(super) key: u32,
}

/// The records of a window, as [`split`] makes them.
#[cfg(test)]
pub(super) fn of(window: &Window) -> Records {
    split(window, &super::lines::read(window, &[], std::num::NonZeroUsize::MIN).starts)
}

/// The records of a window, in order of their first line, and the record of each entry.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) all: Vec<Record>,
    pub(super) of: Vec<u32>,
}

/// What may follow in a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Only an indented line continues.
    Plain,
    /// A Go panic or a Rust one: everything continues until a line that opens a record of its own.
    Dump,
    /// A Python traceback: indented lines and the first line after them.
    Python,
}

/// How a line may stand in a record, as far as its own text tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Start {
    #[default]
    Plain,
    Empty,
    Indented,
    /// Java's `Caused by: `.
    Cause,
    /// A Go panic or a Rust one.
    Dump,
    /// It announces a Python traceback.
    Traceback,
}

/// How `line` may stand in a record. A program that panics writes no timestamp any more: only the line's start decides.
#[inline]
pub(super) fn start(line: &[u8]) -> Start {
    let begins = |with: &[&[u8]]| with.iter().any(|start| line.starts_with(start));
    match line.first() {
        None => Start::Empty,
        Some(b' ' | b'\t') if !line.trim_ascii().is_empty() => Start::Indented,
        Some(b'C' | b'S') if begins(&[b"Caused by: ", b"Suppressed: "]) => Start::Cause,
        Some(b'p' | b'f' | b'g' | b'S' | b'r' | b't')
            if begins(&[b"panic: ", b"fatal error: ", b"goroutine ", b"SIGQUIT: ", b"runtime: ", b"thread '"]) =>
        {
            Start::Dump
        }
        _ if ends_with_traceback(line) => Start::Traceback,
        _ => Start::Plain,
    }
}

/// Splits a window, whose lines start as `starts` tells, into records.
pub(super) fn split(window: &Window, starts: &[Start]) -> Records {
    let count = window.entries.len();
    // Room that is never written to is never taken from the system.
    let mut records = Records { all: Vec::with_capacity(count), of: Vec::with_capacity(count) };
    let mut open: Vec<Option<(u32, State)>> = vec![None; window.streams.len().max(1)];
    for ((index, entry), &start) in (0u32..).zip(&window.entries).zip(starts) {
        let slot = (entry.stream as usize).min(open.len() - 1);
        let continues = open[slot].and_then(|(record, state)| {
            let next = continues(start, state, &entry.line)?;
            (records.all[record as usize].lines < MAX_LINES).then_some((record, next))
        });
        let record = match continues {
            Some((record, next)) => {
                let joined = &mut records.all[record as usize];
                if open[slot].is_some_and(|(_, state)| state == State::Python) && next == State::Plain {
                    joined.key = index;
                }
                joined.last = index;
                joined.lines += 1;
                open[slot] = Some((record, next));
                record
            }
            None => {
                let record = records.all.len() as u32;
                records.all.push(Record { head: index, last: index, lines: 1, key: index });
                open[slot] = Some((record, opens(start, &entry.line)));
                record
            }
        };
        records.of.push(record);
    }
    records
}

/// What may follow a line that opens a record.
#[inline]
fn opens(start: Start, line: &str) -> State {
    match start {
        Start::Dump => State::Dump,
        Start::Traceback => State::Python,
        Start::Indented if ends_with_traceback(line.as_bytes()) => State::Python,
        _ => State::Plain,
    }
}

#[inline]
fn ends_with_traceback(line: &[u8]) -> bool {
    line.last() == Some(&b':') && line.ends_with(b"Traceback (most recent call last):")
}

/// Whether a line continues a record in `state`, and the state after it.
#[inline]
fn continues(start: Start, state: State, line: &str) -> Option<State> {
    match (start, state) {
        (Start::Indented, state) => Some(state),
        (Start::Cause, State::Plain) => Some(State::Plain),
        (_, State::Plain) => None,
        (Start::Empty | Start::Traceback, State::Python) => Some(State::Python),
        (_, State::Python) => (!looks_new(line.as_bytes())).then_some(State::Plain),
        (_, State::Dump) => (!looks_new(line.as_bytes())).then_some(State::Dump),
    }
}

/// Whether a line has what only the first line of a record has: a timestamp, a level key, an object.
fn looks_new(line: &[u8]) -> bool {
    if line.is_empty() {
        return false;
    }
    let (start, end) = clock::leading(line);
    end > start
        || line.starts_with(b"{\"")
        || [&b"level="[..], b"panic: ", b"Traceback (", b"fatal error: "].iter().any(|new| line.starts_with(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Labels;

    fn sizes(text: &str) -> Vec<u32> {
        of(&Window::from_text(Labels::default(), 0, text)).all.iter().map(|r| r.lines).collect()
    }

    #[test]
    fn stack_traces_are_one_record() {
        let go = "level=info msg=a\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1 +0x1\nexit status 2\nlevel=info msg=b";
        assert_eq!(sizes(go), [1, 6, 1]);
        let python = "Traceback (most recent call last):\n  File \"a.py\", line 1\n    x()\nValueError: no\nnext line";
        assert_eq!(sizes(python), [4, 1]);
        let java = "ERROR x\n\tat a.B(C.java:1)\nCaused by: y\n\tat d\nINFO z";
        assert_eq!(sizes(java), [4, 1]);
    }

    #[test]
    fn a_program_that_indents_everything_is_not_one_record() {
        let text = " x\n".repeat(1000);
        assert_eq!(sizes(&text), [400, 400, 200]);
    }

    #[test]
    fn streams_do_not_mix() {
        let entry = |ts, stream, line: &str| crate::stream::Entry { ts, stream, line: line.to_owned() };
        let window = Window::new(
            vec![Labels::default(); 2],
            vec![entry(1, 0, "panic: x"), entry(2, 1, "other"), entry(3, 0, "main.main()"), entry(4, 9, "\tz")],
        );
        assert_eq!(of(&window).of, [0, 1, 0, 1]);
    }
}
