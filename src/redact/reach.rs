//! How far something reaches in a line, remembered from one key to the next: keys in one stretch of text find the same
//! end, so a line full of them is read once, not once for each.

/// A stretch of a line, and what ends it.
#[derive(Debug)]
pub(super) struct Reach {
    from: usize,
    to: usize,
}

impl Default for Reach {
    /// Nothing is known yet.
    fn default() -> Self {
        Self { from: 1, to: 0 }
    }
}

impl Reach {
    /// The first place from `at` on that `find` finds, which must depend on nothing but the text there and behind it.
    pub(super) fn end(&mut self, at: usize, find: impl FnOnce(usize) -> usize) -> usize {
        if !(self.from..=self.to).contains(&at) {
            *self = Self { from: at, to: find(at) };
        }
        self.to
    }
}

/// Where the run of a key's bytes begins, the other way round.
#[derive(Debug, Default)]
pub(super) struct Run {
    from: usize,
    to: usize,
}

impl Run {
    /// The beginning of the run of bytes that `belong` before `at`; calls come in ascending order.
    pub(super) fn start(&mut self, bytes: &[u8], at: usize, belong: impl Fn(&u8) -> bool) -> usize {
        let known = self.to.min(at);
        let new = bytes[known..at].iter().rev().take_while(|byte| belong(byte)).count();
        let from = if at - new == known { self.from.min(known) } else { at - new };
        *self = Self { from, to: at };
        from
    }
}

/// What was found out about a line so far.
#[derive(Debug, Default)]
pub(super) struct Reaches {
    /// The bytes of a key before its last word.
    pub(super) key: Run,
    /// An unquoted value, and one in a list.
    pub(super) value: [Reach; 2],
    /// The bytes of a path.
    pub(super) path: Reach,
    /// A header's list of parameters.
    pub(super) list: Reach,
}
