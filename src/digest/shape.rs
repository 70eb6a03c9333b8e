//! What a digest looks like apart from times and values, so that two windows of the same logs can be told to be alike.
//!
//! The shape is the set of the templates shown, each with its component and level, and how often each occurred; of what
//! was left out, how many lines of each level. Two shapes are alike if the sets are equal and no count is more than
//! [`FACTOR`] times the other: a service that goes on saying what it said keeps its shape, and a template that comes or
//! goes, an error that multiplies, or one that stops changes it. What it cannot see: another value at a masked place
//! (`sda` became `sdb`), and when in the window something happened.
//!
//! A template is known by 32 bits of a hash: enough to tell templates of one question apart, and no log text.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Digest, Level};
use crate::hash;

/// Counts that differ by no more than this factor are of one magnitude. A ratio instead of fixed bounds, so that a
/// count near a bound does not change the shape back and forth.
const FACTOR: usize = 4;

/// The shape of one digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Occurrences of each template shown, by a hash of component, level and template.
    templates: BTreeMap<u32, usize>,
    /// Lines left out, by level.
    omitted: BTreeMap<Level, usize>,
}

impl Digest {
    /// Its shape; the hashes are made under `key`, see [`hash::of_text`].
    pub fn shape(&self, key: Option<&[u8]>) -> Shape {
        let mut templates = BTreeMap::new();
        for shown in &self.templates {
            let text = format!("{}\n{}\n{}", shown.component, shown.level, shown.template);
            *templates.entry(hash::short(&text, key)).or_default() += shown.count;
        }
        Shape { templates, omitted: self.omitted.by_level.clone() }
    }
}

impl Shape {
    /// Whether both are of one shape.
    pub fn is_like(&self, other: &Self) -> bool {
        alike(&self.templates, &other.templates) && alike(&self.omitted, &other.omitted)
    }

    /// The templates, by their hashes.
    pub fn templates(&self) -> impl Iterator<Item = u32> + '_ {
        self.templates.keys().copied()
    }

    /// Share of the templates that are not among those seen; 0 if there are none.
    pub fn unseen(&self, seen: &BTreeSet<u32>) -> f64 {
        let unseen = self.templates().filter(|template| !seen.contains(template)).count();
        unseen as f64 / self.templates.len().max(1) as f64
    }
}

fn alike<K: Ord>(a: &BTreeMap<K, usize>, b: &BTreeMap<K, usize>) -> bool {
    let near = |(x, y): (&usize, &usize)| *x <= y.saturating_mul(FACTOR) && *y <= x.saturating_mul(FACTOR);
    a.keys().eq(b.keys()) && a.values().zip(b.values()).all(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Budget, digest};
    use crate::stream::{Labels, Window};

    fn shape(text: &str) -> Shape {
        let labels: Labels = [("container", "etcd")].into_iter().collect();
        digest(&Window::from_text(labels, 0, text), Budget::new(500)).shape(None)
    }

    const CALM: &str = "level=info msg=\"request 1 served\"\nlevel=warn msg=\"slow disk\"\n";

    #[test]
    fn mere_repetition_keeps_the_shape() {
        let calm = shape(CALM);
        assert!(shape(&CALM.repeat(3)).is_like(&calm) && calm.is_like(&shape(&CALM.repeat(4))));
        assert!(shape(&CALM.replace("request 1 ", "request 77 ")).is_like(&calm));
    }

    #[test]
    fn what_is_new_gone_or_multiplied_changes_it() {
        let calm = shape(CALM);
        let full = "level=error msg=\"no space left on device\"\n";
        assert!(!shape(&format!("{CALM}{full}")).is_like(&calm), "a new template");
        assert!(!shape("level=warn msg=\"slow disk\"\n").is_like(&calm), "one that is gone");
        assert!(!shape(&format!("{CALM}{}", "level=warn msg=\"slow disk\"\n".repeat(4))).is_like(&calm), "five times");
        assert!(!shape(&CALM.replace("warn", "error")).is_like(&calm), "another level");
        assert!(shape("").is_like(&shape("")) && !shape("").is_like(&calm));
    }

    #[test]
    fn the_share_of_unseen_templates_is_of_the_templates() {
        let seen: BTreeSet<u32> = shape(CALM).templates().collect();
        assert_eq!(shape(CALM).unseen(&seen), 0.0);
        assert_eq!(
            shape(&format!("{CALM}level=error msg=\"lost quorum\"\nlevel=info msg=\"bye\"\n")).unseen(&seen),
            0.5
        );
        assert_eq!(shape(CALM).unseen(&BTreeSet::new()), 1.0);
        assert_eq!(shape("").unseen(&seen), 0.0);
    }

    #[test]
    fn it_survives_json_and_holds_no_text() {
        let calm = shape(CALM);
        let json = serde_json::to_string(&calm).unwrap();
        assert_eq!(serde_json::from_str::<Shape>(&json).unwrap(), calm);
        assert!(!json.contains("disk"), "{json}");
    }
}
