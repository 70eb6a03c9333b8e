//! A log in hand: a file or standard input, read as one stream of timestamped lines.

use std::io::{IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, Utc};
use clap::Args;

use crate::stream::{Labels, TextLog};

/// Bytes that are looked at to tell a log from a binary file.
const PROBED: usize = 8192;

/// First bytes of what people take for a log, and how to read it.
const PACKED: [(&[u8], &str, &str); 5] = [
    (b"\x1f\x8b", "gzip", "gunzip -c"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
    (b"\xfd7zXZ", "xz", "xz -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
    (b"LPKSHHRH", "systemd journal", "journalctl -o short-iso --file"),
];

#[derive(Debug, Args)]
pub(in crate::cli) struct LabelArgs {
    /// Label of the log's stream as Loki would have it, such as container=etcd; repeatable.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

impl LabelArgs {
    pub(in crate::cli) fn labels(&self) -> Labels {
        self.labels.iter().cloned().collect()
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, such as container=etcd".to_owned()),
    }
}

/// An instant.
pub(in crate::cli) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| "write it as RFC 3339, such as 2026-11-24T09:00:00Z".to_owned())
}

/// A difference in the unit of a metric.
pub(in crate::cli) fn size(text: &str) -> Result<f64, String> {
    let size = text.parse().ok().filter(|size: &f64| size.is_finite() && *size >= 0.0);
    size.ok_or_else(|| "give 0 or more in the metric's unit, such as 0.05 for 5 percentage points".to_owned())
}

/// Reads the log at `path`, `-` for standard input. What a person should know about it goes to standard error.
pub(in crate::cli) fn read(path: &Path, labels: Labels) -> Result<TextLog> {
    let (bytes, changed) = bytes(path)?;
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    refuse_binary(path, &bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let replaced = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    if matches!(text, std::borrow::Cow::Owned(_)) {
        eprintln!("note: {name} is not UTF-8 everywhere: {replaced} places are shown as \u{fffd}");
    }
    let log = TextLog::parse(labels, &text, changed);
    match log.window.entries.len() {
        0 => eprintln!("note: {name} is empty"),
        _ if log.timed == 0 => {
            eprintln!("note: no line of {name} carries a time: their order is all that is known");
        }
        _ => {}
    }
    Ok(log)
}

/// The content, and when it was last written.
fn bytes(path: &Path) -> Result<(Vec<u8>, DateTime<Utc>)> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        if std::io::stdin().is_terminal() {
            eprintln!("reading standard input: end it with Ctrl-D");
        }
        std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok((bytes, Utc::now()));
    }
    let name = path.display();
    let about = std::fs::metadata(path).with_context(|| format!("cannot read {name}"))?;
    if about.is_dir() {
        bail!("{name} is a folder\n  hint: name a file, or pipe several: cat {name}/*.log | assay … -");
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let changed = about.modified().ok().filter(|_| about.is_file()).map_or_else(Utc::now, DateTime::<Utc>::from);
    Ok((bytes, changed))
}

/// A log has a control character here and there; a program or an archive is full of them.
fn refuse_binary(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.display();
    if let Some((_, kind, unpack)) = PACKED.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Err(anyhow!("{name} is packed ({kind})\n  hint: {unpack} {name} | assay … -"));
    }
    let head = &bytes[..bytes.len().min(PROBED)];
    let control = head.iter().filter(|b| b.is_ascii_control() && !b"\n\r\t\x1b\x08\x0c".contains(b)).count();
    if control * 10 > head.len() {
        bail!("{name} is not a log: {control} of its first {} bytes are control characters", head.len());
    }
    Ok(())
}
