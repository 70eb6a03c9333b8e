//! Groups records into templates: chunk by chunk, each chunk on its own, their findings put together in order.
//!
//! Records of one *shape* (the same tokens once masked, the same component and level) are told by one hash lookup, and
//! only the first record of a shape in its chunk ever reaches [`Templates`], which decides what is one template. A chunk
//! is always the same records, so the templates do not depend on how many threads mine.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroUsize;

use super::hash::{hash_bytes, mix};
use super::level;
use super::lines::{self, Lines};
use super::record::{Record, Records};
use super::scan::{Scanner, Shape, Token};
use super::templates::{Template, Templates};
use crate::stream::Window;
use crate::threads;

/// Records per chunk.
const CHUNK: usize = 1 << 15;

/// Texts of a lone chunk that a thread takes at a time.
const TEXTS: usize = 128;

/// Texts that a thread remembers the shape of.
const MAX_KNOWN: usize = 1 << 17;

/// A hasher for keys that are hashes.
#[derive(Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash_bytes(self.0, bytes);
    }
    #[inline]
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// A map whose keys are hashes.
pub(super) type HashedMap<V> = HashMap<u64, V, BuildHasherDefault<Hashed>>;

/// The templates of a window in order of first appearance, and the template of each record.
#[derive(Debug, Default)]
pub(super) struct Mined {
    pub(super) templates: Vec<Template>,
    pub(super) of: Vec<u32>,
}

/// The components of a window, and the component of each stream; streams of one component share templates.
pub(super) fn components(window: &Window) -> (Vec<String>, Vec<u32>) {
    let mut words: Vec<String> = Vec::new();
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut of = Vec::with_capacity(window.streams.len());
    for labels in &window.streams {
        let word = labels.component();
        of.push(*known.entry(word).or_insert_with(|| {
            words.push(word.to_owned());
            words.len() as u32 - 1
        }));
    }
    (words, of)
}

/// The shapes of one chunk, in order of first appearance.
#[derive(Default)]
struct Chunk {
    shapes: Vec<Found>,
    /// Their templates, as far as they came for nothing: in the first chunk, whose shapes are nearly all new.
    templates: Vec<Option<Template>>,
    of: Vec<u32>,
}

/// What one thread mines with, chunk after chunk.
#[derive(Default)]
struct Tools {
    scanner: Scanner,
    /// Tokens of the line that was scanned last.
    tokens: Vec<Token>,
    /// Shape keys by text key, whatever the chunk: the one follows from the other.
    known: HashedMap<u64>,
}

/// A shape with its records in one chunk.
#[derive(Clone, Copy)]
struct Found {
    key: u64,
    count: u32,
    first: u32,
    last: u32,
}

/// A text key, and the first record in a chunk that has it.
struct Text {
    key: u64,
    first: u32,
}

/// A shape key, and the template of a record that has it.
type Shaped = (u64, Option<Template>);

/// What all chunks are mined from.
pub(super) struct Source<'a> {
    pub(super) window: &'a Window,
    pub(super) lines: &'a Lines,
    pub(super) records: &'a Records,
    pub(super) component_of: &'a [u32],
}

/// Mines the templates of all records on up to `threads` threads.
pub(super) fn mine(source: &Source<'_>, threads: NonZeroUsize) -> Mined {
    let records = source.records;
    let chunks = source.chunks(threads.get());
    let mut templates = Templates::default();
    let mut tools = Tools::default();
    let mut of = Vec::with_capacity(records.all.len());
    for chunk in chunks {
        let start = of.len();
        let mut made = chunk.templates.into_iter();
        let ids: Vec<u32> = chunk
            .shapes
            .iter()
            .map(|found| {
                let record = &records.all[found.first as usize];
                let made = made.next().flatten();
                let new = || made.unwrap_or_else(|| source.template(record, &mut tools));
                let id = templates.place(found.key, new);
                templates.add(id, found.count, found.first, found.last);
                id
            })
            .collect();
        of.extend(chunk.of.iter().map(|&shape| ids[shape as usize]));
        debug_assert_eq!(of.len() - start, chunk.of.len());
    }
    let (templates, renumbered) = templates.finish();
    for id in &mut of {
        *id = renumbered[*id as usize];
    }
    Mined { templates, of }
}

impl Source<'_> {
    fn chunks(&self, threads: usize) -> Vec<Chunk> {
        let parts: Vec<&[Record]> = self.records.all.chunks(CHUNK).collect();
        if let [only] = parts[..] {
            return vec![self.chunk(only, 0, |texts| {
                let some: Vec<&[Text]> = texts.chunks(TEXTS).collect();
                let read = |n: usize, tools: &mut Tools| self.shapes(some[n], true, tools);
                threads::map(some.len(), threads, read).into_iter().flatten().collect()
            })];
        }
        threads::map(parts.len(), threads, |n, tools: &mut Tools| {
            self.chunk(parts[n], n * CHUNK, |texts| self.shapes(texts, n == 0, tools))
        })
    }

    /// The shapes of some records, as `shapes` finds them for each text that is in them.
    fn chunk(&self, part: &[Record], start: usize, shapes: impl FnOnce(&[Text]) -> Vec<Shaped>) -> Chunk {
        let (mut by_text, mut by_shape) = (HashedMap::<u32>::default(), HashedMap::<u32>::default());
        let mut texts: Vec<Text> = Vec::new();
        let text_of = |(first, record): (u32, &Record)| {
            let key = self.text_key(record);
            *by_text.entry(key).or_insert_with(|| {
                texts.push(Text { key, first });
                texts.len() as u32 - 1
            })
        };
        let mut of: Vec<u32> = (start as u32..).zip(part).map(text_of).collect();
        let mut chunk = Chunk::default();
        let shape_of = |(text, (key, made)): (&Text, Shaped)| {
            *by_shape.entry(key).or_insert_with(|| {
                chunk.shapes.push(Found { key, count: 0, first: text.first, last: text.first });
                chunk.templates.push(made);
                chunk.shapes.len() as u32 - 1
            })
        };
        let shape_of: Vec<u32> = texts.iter().zip(shapes(&texts)).map(shape_of).collect();
        for (index, of) in (start as u32..).zip(&mut of) {
            *of = shape_of[*of as usize];
            let found = &mut chunk.shapes[*of as usize];
            found.count += 1;
            found.last = index;
        }
        Chunk { of, ..chunk }
    }

    /// The shape of each text, and where it comes for nothing the template that it would open, if they are to be `made`.
    fn shapes(&self, texts: &[Text], made: bool, tools: &mut Tools) -> Vec<Shaped> {
        let shape = |text: &Text| {
            let record = &self.records.all[text.first as usize];
            let (key, punctuation) = self.known_key(text.key, record, tools);
            let punctuation = punctuation.filter(|_| made);
            (key, punctuation.map(|punctuation| self.of_tokens(record, &tools.tokens, punctuation)))
        };
        texts.iter().map(shape).collect()
    }

    fn line(&self, entry: u32) -> &[u8] {
        self.window.entries[entry as usize].line.as_bytes()
    }

    fn component(&self, record: &Record) -> u32 {
        lines::component(&self.window.entries[record.head as usize], self.component_of)
    }

    /// Equal only for records of one shape.
    #[inline]
    fn text_key(&self, record: &Record) -> u64 {
        let key = self.lines.keys[record.head as usize];
        // A traceback's first line says nothing: its last one does.
        if record.key == record.head { key } else { mix(key, self.lines.keys[record.key as usize]) }
    }

    /// The shape key of a record with this text key. If its tokens are those that the tools hold now, also the
    /// punctuation between them.
    fn known_key(&self, text: u64, record: &Record, tools: &mut Tools) -> (u64, Option<u64>) {
        if let Some(&key) = tools.known.get(&text) {
            return (key, None);
        }
        if tools.known.len() >= MAX_KNOWN {
            tools.known.clear();
        }
        let (key, punctuation) = self.shape_key(record, tools);
        tools.known.insert(text, key);
        (key, (record.key == record.head).then_some(punctuation))
    }

    /// Hash of everything that must be equal for two records to be of one shape, and the punctuation of the line that
    /// opens it.
    fn shape_key(&self, record: &Record, Tools { scanner, tokens, .. }: &mut Tools) -> (u64, u64) {
        let line = self.line(record.head);
        let punctuation = scanner.tokens(line, tokens);
        let shape = Shape::of(tokens, punctuation);
        let key = mix(shape.sum ^ u64::from(shape.tokens), shape.punctuation);
        let key = mix(key, lines::beside(self.component(record), line));
        if record.key == record.head {
            return (key, punctuation);
        }
        let last = scanner.shape(self.line(record.key));
        (mix(key, mix(last.sum, last.punctuation)), punctuation)
    }

    /// The template of which `record` is the first.
    fn template(&self, record: &Record, Tools { scanner, tokens, .. }: &mut Tools) -> Template {
        let punctuation = scanner.tokens(self.line(record.head), tokens);
        if record.key == record.head {
            return self.of_tokens(record, tokens, punctuation);
        }
        let mut hashes = hashes(tokens);
        let kind = mix(mix(punctuation, u64::from(self.component(record))), hashes.len() as u64);
        scanner.tokens(self.line(record.key), tokens);
        hashes.extend(tokens.iter().map(|token| token.hash));
        self.stated(record, hashes, kind)
    }

    /// The template of which `record`, told by one line with these tokens, is the first.
    fn of_tokens(&self, record: &Record, tokens: &[Token], punctuation: u64) -> Template {
        self.stated(record, hashes(tokens), mix(punctuation, u64::from(self.component(record))))
    }

    /// A template with the level that its first record states.
    fn stated(&self, record: &Record, hashes: Vec<u64>, kind: u64) -> Template {
        let line = self.line(record.head);
        let level = level::detect(line, body(line));
        Template::new(hashes, mix(kind, level as u64), level, self.component(record))
    }
}

fn hashes(tokens: &[Token]) -> Vec<u64> {
    tokens.iter().map(|token| token.hash).collect()
}

/// Where the text of a line begins that is not its leading timestamp.
fn body(line: &[u8]) -> usize {
    match super::clock::leading(line) {
        (0, end) => end,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Labels;

    fn mined(text: &str, threads: usize) -> Mined {
        let threads = NonZeroUsize::new(threads).expect("a thread");
        super::super::mined(&Window::from_text(Labels::default(), 0, text), &[0], threads).1
    }

    fn counts(text: &str) -> Vec<u32> {
        mined(text, 1).templates.iter().map(|t| t.count).collect()
    }

    #[test]
    fn numbers_do_not_make_templates_but_causes_do() {
        assert_eq!(counts("a 1 refused\na 2 refused\na 3 denied"), [2, 1]);
    }

    #[test]
    fn a_position_with_many_words_is_a_variable() {
        assert_eq!(counts("user ann in\nuser bob in\nuser cat in\nuser dan in\nother line"), [4, 1]);
        assert_eq!(counts("user ann in\nuser bob in\nuser cat in"), [1, 1, 1]);
    }

    #[test]
    fn two_positions_may_vary() {
        let mut text = String::new();
        for a in ["ann", "bob", "cat", "dan"] {
            for b in ["tea", "oil", "jam", "pie"] {
                text += &format!("{a} eats {b} now\n");
            }
        }
        assert_eq!(counts(&text), [16]);
    }

    /// A word of letters beyond `f` for each number, so that nothing of it is masked.
    fn word(mut n: usize) -> String {
        let mut word = String::from("x");
        while n > 0 {
            word.push(char::from(b'g' + (n % 16) as u8));
            n /= 16;
        }
        word
    }

    #[test]
    fn threads_change_nothing() {
        let line = |n: usize| format!("level=info msg=\"{} took {n}ms\" user={}\n", word(n % 37), word(n * 7 % 90_000));
        let text: String = (0..2 * CHUNK + 500).map(line).collect();
        let (one, three) = (mined(&text, 1), mined(&text, 3));
        assert_eq!(one.templates, three.templates);
        assert_eq!(one.of, three.of);
        assert_eq!(one.templates.iter().map(|t| t.count as usize).sum::<usize>(), 2 * CHUNK + 500);
        assert!(one.templates.len() < 100, "{}", one.templates.len());
    }

    #[test]
    fn unique_words_everywhere_stay_bounded() {
        let line = |n: usize| format!("{} {} {}\n", word(n), word(n * 31), word(n * 17 + 5));
        let text: String = (0..40_000).map(line).collect();
        assert!(mined(&text, 1).templates.len() <= super::super::templates::MAX_TEMPLATES + 64);
    }
}
