//! Standard output and standard error, written so that no reader who leaves early (`| head`) ends a command: its exit
//! code is what other programs decide on. And the little colour that there is.
//!
//! The macros `println!` and `eprintln!` of this crate's command line lead here (`cli.rs`). A pipe that closes is no
//! error, and the rest is not written; any other failure, such as a full disk, is kept for [`failure`].

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::ontology::Severity;

static CLOSED: AtomicBool = AtomicBool::new(false);
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Good, doubtful, bad.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Characters of a line, on a terminal and off it, so that what is pasted looks as it did.
pub(super) const WIDTH: u16 = 100;
/// A time of day for people.
pub(super) const SECOND: &str = "%Y-%m-%d %H:%M:%S UTC";
/// What frames the data.
pub(super) const DIM: Style = Style::new().dimmed();

/// Standard output for [`Write`]: never fails, see the module.
#[derive(Debug)]
pub(super) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !CLOSED.load(Ordering::Relaxed) {
            keep(io::stdout().write_all(bytes));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !CLOSED.load(Ordering::Relaxed) {
            keep(io::stdout().flush());
        }
        Ok(())
    }
}

fn keep(result: io::Result<()>) {
    let Err(error) = result else { return };
    CLOSED.store(true, Ordering::Relaxed);
    if error.kind() != io::ErrorKind::BrokenPipe {
        let _ = FAILURE.set(error);
    }
}

/// Why standard output could not be written to its end, if anybody was still reading.
pub(super) fn failure() -> Option<&'static io::Error> {
    let _ = Stdout.flush();
    FAILURE.get()
}

/// Writes one line of data.
pub(super) fn line(text: fmt::Arguments<'_>) {
    let _ = Stdout.write_all(format!("{text}\n").as_bytes());
}

/// Writes one line for the person at the terminal. If nobody can read it, nothing can be said about it either.
pub(super) fn note(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// A number of things, such as *1 line* or *2 lines*.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `text` in `style`, if standard output shows colours: a terminal, unless `NO_COLOR`, `CLICOLOR` or `TERM` say
/// otherwise; `CLICOLOR_FORCE` is heard, too.
pub(super) fn paint(style: Style, text: impl fmt::Display) -> String {
    coloured(colours(), style, text)
}

fn colours() -> bool {
    static COLOURS: OnceLock<bool> = OnceLock::new();
    *COLOURS.get_or_init(|| AutoStream::choice(&io::stdout()) != ColorChoice::Never)
}

/// The same for standard error.
pub(super) fn paint_note(style: Style, text: impl fmt::Display) -> String {
    coloured(AutoStream::choice(&io::stderr()) != ColorChoice::Never, style, text)
}

fn coloured(colours: bool, style: Style, text: impl fmt::Display) -> String {
    if colours { format!("{style}{text}{style:#}") } else { text.to_string() }
}

/// The style of a severity.
pub(super) fn of_severity(severity: Severity) -> Style {
    match severity {
        Severity::Info => GOOD,
        Severity::Warning => DOUBTFUL,
        Severity::Error | Severity::Critical => BAD,
    }
}

/// Paints the conclusions in the text of a comparison, after its columns were laid out without colour.
pub(super) fn conclusions(text: &str) -> String {
    if colours() { painted_conclusions(text) } else { text.to_owned() }
}

fn painted_conclusions(text: &str) -> String {
    let words = [
        (" better\n", GOOD),
        (" worse\n", BAD),
        (" equivalent\n", DIM),
        (" cannot tell\n", DOUBTFUL),
        (" is better than ", GOOD),
        (" is worse than ", BAD),
    ];
    words.iter().fold(text.to_owned(), |text, (word, style)| {
        let core = word.trim();
        text.replace(word, &word.replace(core, &coloured(true, *style, core)))
    })
}

/// A line of a log made fit for a terminal: at most `max` characters, and none that steers it.
pub(super) fn quote(line: &str, max: usize) -> String {
    let safe = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) => '?',
        c => c,
    };
    let mut text: String = line.trim_end().chars().take(max).map(safe).collect();
    if line.trim_end().chars().nth(max).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_line_cannot_steer_the_terminal() {
        assert_eq!(quote("a\u{1b}[31mb\tc\u{202e}d\r\n", 80), "a?[31mb c?d");
        assert_eq!(quote("ééé", 2), "éé…");
    }

    #[test]
    fn conclusions_are_painted_where_they_stand() {
        let text = painted_conclusions("m  0.1  better\n\n[b] is worse than [a]: a better word");
        assert_eq!(
            text,
            "m  0.1  \u{1b}[32mbetter\u{1b}[0m\n\n[b] \u{1b}[1m\u{1b}[31mis worse than\u{1b}[0m [a]: a better word"
        );
    }

    #[test]
    fn colour_ends_where_the_word_ends() {
        assert_eq!(coloured(true, GOOD, "x"), "\u{1b}[32mx\u{1b}[0m");
        assert_eq!(coloured(false, GOOD, "x"), "x");
    }
}
