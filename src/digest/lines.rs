//! Reads every line once, on as many threads as there are: what it says between its masks, and how it may stand in a
//! record. Everything after works on that, and comes back to few lines.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::hash::mix;
use super::level;
use super::record::{self, Start};
use super::scan::Scanner;
use crate::stream::{Entry, Window};

/// Entries that a thread takes at a time.
const PART: usize = 1 << 10;

/// What was read of each entry.
pub(super) struct Lines {
    /// Equal only for lines of equal shape, component and level in a masked header.
    pub(super) keys: Vec<u64>,
    pub(super) starts: Vec<Start>,
}

/// Reads the lines of `window`, whose streams are of the components `component_of`.
pub(super) fn read(window: &Window, component_of: &[u32], threads: NonZeroUsize) -> Lines {
    let count = window.entries.len();
    let (mut keys, mut starts) = (vec![0; count], vec![Start::default(); count]);
    let places = keys.chunks_mut(PART).zip(starts.chunks_mut(PART));
    let parts = Mutex::new(window.entries.chunks(PART).zip(places));
    let work = || {
        let mut scanner = Scanner::default();
        loop {
            let part = parts.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((entries, (keys, starts))) = part else { return };
            for ((entry, key), start) in entries.iter().zip(keys).zip(starts) {
                let line = entry.line.as_bytes();
                *key = mix(scanner.key(line), beside(component(entry, component_of), line));
                *start = record::start(line);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.get().min(count.div_ceil(PART)) {
            scope.spawn(work);
        }
        work();
    });
    Lines { keys, starts }
}

/// The component of an entry's stream.
#[inline]
pub(super) fn component(entry: &Entry, component_of: &[u32]) -> u32 {
    component_of.get(entry.stream as usize).copied().unwrap_or(u32::MAX)
}

/// What tells lines of equal text apart: component, and the level that a masked header states.
#[inline]
pub(super) fn beside(component: u32, line: &[u8]) -> u64 {
    let stated = level::header(line).map_or(0, |level| level as u64 + 1);
    u64::from(component) << 8 | stated
}
