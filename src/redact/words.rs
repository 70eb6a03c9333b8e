//! Whether any rule could match in a line at all. Most lines say no, at the cost of one look at each of their bytes.
//!
//! Every match of every rule holds one of [`WORDS`], in letters of either case, or an `@`. A table tells of any three
//! bytes which words begin with them; only there is compared. [`super::TRIGGER`] then says the same more precisely, at
//! several times the cost.

/// What every match of a rule holds one of, beside `@`; in lower case, three bytes or more.
const WORDS: &str = "abia acca aiza akia asia auth basic bearer cookie credential dckr_ dop_v1_ eyj gho_ ghp_ ghr_ ghs_ \
    ghu_ github_pat_ glagent- glc_ glcbt- gldt- glffct- glft- glimt- gloas- glpat- glptt- glrt- glsa_ glsoat- hf_ hvb. hvr. \
    hvs. key ls0tls1c npm_ pass pwd pypi- rk_ secret sg. shpat_ sig sk- sk_ token whsec_ xapp- xox ya29";

/// Entries of the table: three bytes of five bits.
const SLOTS: usize = 1 << 15;

/// The words, by their first three bytes.
pub(super) struct Words {
    /// For each slot the number of its group, from 1; 0 where no word begins so.
    table: Box<[u8; SLOTS]>,
    groups: Vec<Vec<&'static [u8]>>,
    /// Where the processor has a faster way to see most of the places where none begins.
    #[cfg(target_arch = "x86_64")]
    starts: Option<super::starts::Starts>,
}

impl Words {
    pub(super) fn new() -> Self {
        let (mut table, mut groups) = (Box::new([0; SLOTS]), Vec::<Vec<&[u8]>>::new());
        for word in WORDS.split(' ').map(str::as_bytes) {
            let group = &mut table[slot(u32::from_le_bytes([word[0], word[1], word[2], 0]))];
            if *group == 0 {
                groups.push(Vec::new());
                *group = groups.len() as u8;
            }
            groups[*group as usize - 1].push(word);
        }
        Self {
            table,
            groups,
            #[cfg(target_arch = "x86_64")]
            starts: super::starts::Starts::new(&WORDS.split(' ').map(str::as_bytes).collect::<Vec<_>>()),
        }
    }

    /// `None` if neither a word nor an `@` stands in `line`; else whether [`super::TRIGGER`] certainly matches, to go by
    /// the first that was found.
    pub(super) fn in_line(&self, line: &str) -> Option<bool> {
        let bytes = line.as_bytes();
        #[cfg(target_arch = "x86_64")]
        if let Some(starts) = &self.starts {
            let mut word = None;
            let begins = |at| {
                word = self.begins_at(&bytes[at..]).then_some(at);
                word.is_some()
            };
            return starts.any(bytes, begins).then(|| word.is_none_or(|at| triggers(bytes, at)));
        }
        self.in_bytes(bytes)
    }

    /// The same, byte by byte.
    fn in_bytes(&self, bytes: &[u8]) -> Option<bool> {
        let fours = bytes.windows(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        let last = bytes.last_chunk().map(|[a, b, c]| u32::from_le_bytes([*a, *b, *c, 0]));
        let mut starts = fours.chain(last).map(|start| self.table[slot(start)]).enumerate();
        if bytes.contains(&b'@') {
            return Some(true);
        }
        let (at, _) = starts.find(|(at, group)| *group != 0 && self.begins(&bytes[*at..], *group))?;
        Some(triggers(bytes, at))
    }

    /// Whether `text` begins with a word.
    #[cfg(target_arch = "x86_64")]
    fn begins_at(&self, text: &[u8]) -> bool {
        let [a, b, c] = text.first_chunk().copied().unwrap_or_default();
        let group = self.table[slot(u32::from_le_bytes([a, b, c, 0]))];
        group != 0 && self.begins(text, group)
    }

    /// Whether `text` begins with a word of this group.
    #[inline(never)]
    fn begins(&self, text: &[u8], group: u8) -> bool {
        let with = |word: &&[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        self.groups[group as usize - 1].iter().any(with)
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Words")
    }
}

/// Whether the word at `at` is by itself what [`super::TRIGGER`] looks for; of most words it looks for nothing else.
fn triggers(bytes: &[u8], at: usize) -> bool {
    let begins =
        |word: &str| bytes[at..].get(..word.len()).is_some_and(|text| text.eq_ignore_ascii_case(word.as_bytes()));
    let mut before = bytes[..at].iter().rev();
    match bytes[at].to_ascii_lowercase() {
        b'a' => begins("authorization") || begins("aiza"),
        b's' if begins("sig") => begins("sig=") || begins("signature"),
        b'k' => match before.next() {
            Some(b'_' | b'-') => before.next().is_some_and(u8::is_ascii_alphabetic),
            before => before.is_some_and(u8::is_ascii_alphabetic),
        },
        _ => true,
    }
}

/// Where the first three bytes of a little-endian number stand in the table. Letters of either case stand in one place;
/// what else does is told apart by [`Words::begins`].
#[inline(always)]
fn slot(start: u32) -> usize {
    /// Brings five bits of each byte side by side.
    const GATHER: u64 = (1 << 26) + (1 << 13) + 1;
    ((u64::from(start & 0x001f_1f1f) * GATHER) >> 16) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::{Policy, Redactor};
    use super::*;

    static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(Policy { ip: false, email: true }));

    #[test]
    fn every_word_is_found_wherever_it_stands_in_either_case() {
        let words = Words::new();
        for word in WORDS.split(' ').chain(["@"]) {
            for line in [word.to_owned(), format!("µ {word}"), format!("{word} ."), word.to_ascii_uppercase()] {
                assert!(words.in_line(&line).is_some(), "{line}");
            }
        }
        for line in ["", "ke", "level=info ts=2026-11-23T22:12:03Z caller=main.go:513 msg=\"took 5s\"", "pa-ss se_cret"]
        {
            assert_eq!(words.in_line(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_line_is_seen_alike_byte_by_byte_and_by_blocks(
            parts in prop::collection::vec(prop_oneof![
                prop::sample::select(WORDS.split(' ').collect::<Vec<_>>()).prop_map(str::to_owned),
                "(?i)[a-z_.@-]{1,3}", "[ -~]{0,40}", "\\PC{0,9}",
            ], 0..6)
        ) {
            let words = Words::new();
            let line = parts.concat();
            for from in (0..line.len()).filter(|from| line.is_char_boundary(*from)) {
                let line = &line[from..];
                let (blocks, bytes) = (words.in_line(line), words.in_bytes(line.as_bytes()));
                prop_assert_eq!(blocks.is_some(), bytes.is_some(), "{}", line);
                for certain in [blocks, bytes] {
                    prop_assert!(certain != Some(true) || REDACTOR.trigger.is_match(line), "{}", line);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_rule_matches_in_a_line_without_any(
            parts in prop::collection::vec(prop_oneof![
                "(?i)(api|ssh|x)?[_-]?(key|pass|passwd|pwd|secret|tok|token|credentials?|sig|signature|auth|authorization)",
                "(?i)bearer|basic|cookie|set-cookie|digest",
                "(gh[a-z]_|gl[a-z]{1,6}[-_]|[srk]k[-_]|xox[a-z]-|A[A-Z]{3}|AIza|ya29\\.|npm_|hf_|hv[a-z]\\.|SG\\.|eyJ|LS0tLS1CRUdJTi)[A-Za-z0-9._-]{0,40}",
                "-----(BEGIN|END) (RSA )?PRIVATE KEY-----",
                "://[a-z]{1,4}:[a-z0-9]{1,9}@|[a-z]{3}:[a-z]{4}@tcp\\(",
                "[ =:\"'\\\\,;<>?&-]{1,3}", "[A-Za-z0-9+/]{1,24}",
            ], 0..8)
        ) {
            let line = parts.concat();
            let mut spans = Vec::new();
            REDACTOR.find(&line, &mut spans);
            prop_assert!(spans.is_empty() || REDACTOR.words.in_line(&line).is_some(), "{}", line);
        }
    }
}
