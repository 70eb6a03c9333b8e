//! Decides which shapes are one template.
//!
//! Shapes that differ in a single token are one template once enough different words were seen in its place, all else
//! being equal. Drain (He et al., 2017) asks for a share of equal tokens instead; with that, `connection refused` and
//! `permission denied` soon stand in one template, and the cause is gone. Sums of terms, one for each token, find such
//! shapes without comparing any two: the sum less one term is the same for all of them.

use super::hash::{mix, term};
use super::level::Level;
use super::mine::HashedMap;
use super::scan::MASK;

/// A position is a variable once this many different words were seen in it, all else being equal.
const VARIABLE_FROM: usize = 4;

/// Rounds of joining: a template may have this many positions where words vary.
const ROUNDS: usize = 3;

/// Positions considered for joining; later ones only have to be equal.
const JOINED_POSITIONS: usize = 64;

/// Templates beyond this many are told apart by component, level, length and first word alone.
pub(super) const MAX_TEMPLATES: usize = 1 << 14;

/// Keys remembered; when they are more, all are forgotten and found again.
const MAX_KEYS: usize = 1 << 17;

/// Sets of positions where words vary that are looked up for a new shape of one kind and length.
const MAX_PATTERNS: usize = 8;

/// A group of records that say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    /// Hashes of its tokens, [`MASK`] where they vary.
    pub(super) tokens: Vec<u64>,
    /// Records in it.
    pub(super) count: u32,
    /// Its first and last record.
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) level: Level,
    /// Index into the components of the window.
    pub(super) component: u32,
    /// Hash of what must be equal beside the tokens.
    kind: u64,
    /// Positions where words vary, ascending.
    freed: Vec<u16>,
}

impl Template {
    /// A template without records yet. `kind` stands for all that must be equal beside the tokens.
    pub(super) fn new(tokens: Vec<u64>, kind: u64, level: Level, component: u32) -> Self {
        Self { tokens, count: 0, first: u32::MAX, last: 0, level, component, kind, freed: Vec::new() }
    }

    /// Hash of kind and length.
    fn base(&self) -> u64 {
        mix(self.kind, self.tokens.len() as u64)
    }

    fn sum(&self) -> u64 {
        (0..).zip(&self.tokens).fold(0, |sum: u64, (position, &token)| sum.wrapping_add(term(position, token)))
    }

    /// Hash of the template with `freed` left out.
    fn key_without(&self, freed: &[u16]) -> u64 {
        let terms = freed.iter().map(|&position| term(position as usize, self.tokens[position as usize]));
        let sum = terms.fold(self.sum(), u64::wrapping_sub);
        freed.iter().fold(mix(self.base(), sum), |key, &position| mix(key, u64::from(position)))
    }
}

/// All templates found so far.
#[derive(Default)]
pub(super) struct Templates {
    all: Vec<Template>,
    /// The template that each has become part of; itself if it stands.
    parent: Vec<u32>,
    /// How many stand.
    standing: usize,
    by_key: HashedMap<u32>,
    /// By base: the sets of positions where words vary among its templates.
    patterns: HashedMap<Vec<Vec<u16>>>,
    by_pattern: HashedMap<u32>,
    /// Templates for what there was no room for.
    overflow: HashedMap<u32>,
    /// Joining no longer helps.
    full: bool,
}

impl Templates {
    /// The template of the shape with this `key`, made by `new` if none is known.
    pub(super) fn place(&mut self, key: u64, new: impl FnOnce() -> Template) -> u32 {
        if let Some(&id) = self.by_key.get(&key) {
            return self.standing(id);
        }
        if self.by_key.len() >= MAX_KEYS {
            self.by_key.clear();
        }
        let template = new();
        let id = self.matching(&template).unwrap_or_else(|| self.push(template));
        self.by_key.insert(key, id);
        self.standing(id)
    }

    /// Counts `count` more records of template `id`, from record `first` to `last`.
    pub(super) fn add(&mut self, id: u32, count: u32, first: u32, last: u32) {
        let template = &mut self.all[id as usize];
        template.count += count;
        template.first = template.first.min(first);
        template.last = template.last.max(last);
    }

    fn standing(&self, mut id: u32) -> u32 {
        while self.parent[id as usize] != id {
            id = self.parent[id as usize];
        }
        id
    }

    /// A template whose varying positions are all that tells `template` from it.
    fn matching(&self, template: &Template) -> Option<u32> {
        let patterns = self.patterns.get(&template.base())?;
        let id = patterns.iter().find_map(|freed| self.by_pattern.get(&template.key_without(freed)))?;
        Some(self.standing(*id))
    }

    fn push(&mut self, template: Template) -> u32 {
        if self.standing >= MAX_TEMPLATES && !self.full {
            self.join();
            self.full = self.standing > MAX_TEMPLATES / 4 * 3;
            if let Some(id) = self.matching(&template) {
                return id;
            }
        }
        let coarse = self.full.then(|| {
            let first = template.tokens.first().copied().unwrap_or(0) % 16;
            mix(mix(u64::from(template.component), template.level as u64), first)
        });
        if let Some(coarse) = coarse
            && let Some(&id) = self.overflow.get(&coarse)
        {
            return id;
        }
        let id = self.all.len() as u32;
        self.all.push(template);
        self.parent.push(id);
        self.standing += 1;
        if let Some(coarse) = coarse {
            self.overflow.insert(coarse, id);
        }
        id
    }

    /// Joins all that can be joined and hands out the templates in order of first appearance, with the new number of
    /// every old one.
    pub(super) fn finish(mut self) -> (Vec<Template>, Vec<u32>) {
        self.join();
        let mut standing: Vec<u32> = (0..self.all.len() as u32).filter(|&id| self.parent[id as usize] == id).collect();
        standing.sort_unstable_by_key(|&id| self.all[id as usize].first);
        let mut number = vec![u32::MAX; self.all.len()];
        for (n, &id) in (0..).zip(&standing) {
            number[id as usize] = n;
        }
        let renumbered = (0..self.all.len() as u32).map(|id| number[self.standing(id) as usize]).collect();
        let templates = standing.iter().map(|&id| self.all[id as usize].clone()).collect();
        (templates, renumbered)
    }

    fn join(&mut self) {
        for _ in 0..ROUNDS {
            let before = self.standing;
            self.round();
            self.merge_equal();
            if self.standing == before {
                break;
            }
        }
    }

    fn ids(&self) -> Vec<u32> {
        (0..self.all.len() as u32).filter(|&id| self.parent[id as usize] == id).collect()
    }

    fn round(&mut self) {
        // A template takes part in one joining a round: after it, its tokens are not those it was grouped by.
        let mut joined = vec![false; self.all.len()];
        let alike = self.alike();
        let mut groups: Vec<&[Alike]> =
            alike.chunk_by(|a, b| a.key == b.key).filter(|group| group.len() >= VARIABLE_FROM).collect();
        groups.sort_by_key(|group| (usize::MAX - group.len(), group[0].id, group[0].position));
        for group in groups {
            let free: Vec<&Alike> = group.iter().filter(|alike| !joined[alike.id as usize]).collect();
            if free.len() < VARIABLE_FROM {
                continue;
            }
            for alike in &free {
                joined[alike.id as usize] = true;
                if alike.id != free[0].id {
                    self.absorb(free[0].id, alike.id);
                }
            }
            self.release(free[0].id, free[0].position);
        }
    }

    /// Every standing template with each of its words left out in turn; those that are then equal side by side.
    fn alike(&self) -> Vec<Alike> {
        let mut alike = Vec::new();
        for id in self.ids() {
            let template = &self.all[id as usize];
            let (base, sum) = (template.base(), template.sum());
            for (position, &token) in template.tokens.iter().enumerate().take(JOINED_POSITIONS) {
                if token != MASK {
                    let key = mix(mix(base, sum.wrapping_sub(term(position, token))), position as u64);
                    alike.push(Alike { key, id, position: position as u16 });
                }
            }
        }
        keep_frequent(&mut alike);
        alike.sort_unstable();
        alike
    }

    fn absorb(&mut self, into: u32, other: u32) {
        let Template { count, first, last, .. } = self.all[other as usize];
        self.parent[other as usize] = into;
        self.standing -= 1;
        self.add(into, count, first, last);
    }

    /// From now on any word may stand at `position` of template `id`.
    fn release(&mut self, id: u32, position: u16) {
        let template = &mut self.all[id as usize];
        template.tokens[position as usize] = MASK;
        template.freed.push(position);
        template.freed.sort_unstable();
        let patterns = self.patterns.entry(template.base()).or_default();
        if !patterns.contains(&template.freed) && patterns.len() < MAX_PATTERNS {
            patterns.push(template.freed.clone());
        }
        self.by_pattern.insert(template.key_without(&template.freed), id);
    }

    /// Two templates may have become equal by the positions that were released in each.
    fn merge_equal(&mut self) {
        let mut known: HashedMap<u32> = HashedMap::default();
        for id in self.ids() {
            let template = &self.all[id as usize];
            let first = *known.entry(mix(template.base(), template.sum())).or_insert(id);
            if first != id {
                self.absorb(first, id);
            }
        }
    }
}

/// A template without one of its words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    key: u64,
    id: u32,
    position: u16,
}

/// Leaves out what has too few of its key to be joined, before it is sorted: nearly all. Keys that share a slot count as
/// one.
fn keep_frequent(alike: &mut Vec<Alike>) {
    let mask = (4 * alike.len()).next_power_of_two() - 1;
    let slot = |alike: &Alike| alike.key as usize & mask;
    let mut counts = vec![0u8; mask + 1];
    for alike in &*alike {
        let count = &mut counts[slot(alike)];
        *count = count.saturating_add(1);
    }
    alike.retain(|alike| counts[slot(alike)] as usize >= VARIABLE_FROM);
}
