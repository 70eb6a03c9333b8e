//! Components named against components at fault, whatever the spelling: case, `_` for `-`, a pod's generated suffix.

use std::collections::BTreeSet;

/// How many named components were right, wrong and missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ComponentCounts {
    /// Named, and at fault.
    pub right: usize,
    /// Named, and not at fault.
    pub wrong: usize,
    /// At fault, and not named.
    pub missed: usize,
}

impl ComponentCounts {
    /// Compares two lists of names. A name given twice counts once; an empty name does not count.
    pub fn new<T: AsRef<str>, P: AsRef<str>>(target: &[T], predicted: &[P]) -> Self {
        let target: BTreeSet<String> = target.iter().map(|name| normalise(name.as_ref())).collect();
        let predicted: BTreeSet<String> = predicted.iter().map(|name| normalise(name.as_ref())).collect();
        let named = |set: &BTreeSet<String>| set.iter().filter(|name| !name.is_empty()).count();
        let right = target.intersection(&predicted).filter(|name| !name.is_empty()).count();
        Self { right, wrong: named(&predicted) - right, missed: named(&target) - right }
    }

    /// Right ones among the named: 1 where nothing was to be named and nothing was, 0 where something was missed.
    pub fn precision(&self) -> f64 {
        share(self.right, self.wrong, self.missed)
    }

    /// Right ones among those at fault: 1 where nothing was at fault and nothing was named, 0 where only wrong ones were.
    pub fn recall(&self) -> f64 {
        share(self.right, self.missed, self.wrong)
    }

    /// Harmonic mean of both, 2 right / (2 right + wrong + missed); 1 where both lists are empty.
    pub fn f1(&self) -> f64 {
        let whole = 2 * self.right + self.wrong + self.missed;
        if whole == 0 { 1.0 } else { 2.0 * self.right as f64 / whole as f64 }
    }
}

/// Sums, for micro averages: each component weighs the same, however many a case has.
impl std::iter::Sum for ComponentCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, one| Self {
            right: sum.right + one.right,
            wrong: sum.wrong + one.wrong,
            missed: sum.missed + one.missed,
        })
    }
}

fn share(right: usize, rest: usize, other: usize) -> f64 {
    match (right + rest, other) {
        (0, 0) => 1.0,
        (0, _) => 0.0,
        (whole, _) => right as f64 / whole as f64,
    }
}

/// The name of a component without what a scheduler or a person's spelling adds: `Coredns-7db6d8ff4d-x2x4z`,
/// `node_exporter` and `etcd-0` become `coredns`, `node-exporter` and `etcd`.
pub fn normalise(name: &str) -> String {
    let name = name.trim().to_lowercase().replace(['_', ' '], "-");
    let mut parts: Vec<&str> = name.split('-').collect();
    let generated = |part: &&str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|b| SUFFIX_LETTERS.contains(&b))
    };
    let digit = |part: &&str| part.bytes().any(|b| b.is_ascii_digit());
    if let [_, .., hash, suffix] = parts.as_slice()
        && generated(suffix, 5..=5)
        && generated(hash, 6..=10)
        && (digit(hash) || digit(suffix))
    {
        parts.truncate(parts.len() - 2);
    } else if let [_, .., suffix] = parts.as_slice()
        && ((generated(suffix, 5..=10) && digit(suffix)) || is_ordinal(suffix))
    {
        parts.pop();
    }
    parts.join("-")
}

/// Kubernetes draws suffixes from these, so that they spell no words (apimachinery `util/rand`); a ReplicaSet's hash
/// is made of the same.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The number of a StatefulSet's pod.
fn is_ordinal(part: &str) -> bool {
    (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_spelling_and_suffix() {
        for (name, want) in [
            ("Prometheus", "prometheus"),
            ("node_exporter", "node-exporter"),
            ("kube-proxy-x2x4z", "kube-proxy"),
            ("coredns-7db6d8ff4d-x2x4z", "coredns"),
            ("loki-0", "loki"),
            (" source-controller ", "source-controller"),
            ("llama-server", "llama-server"),
            ("kube-scheduler", "kube-scheduler"),
            ("etcd", "etcd"),
            ("tempo-query-frontend", "tempo-query-frontend"),
            ("", ""),
            ("-", "-"),
        ] {
            assert_eq!(normalise(name), want);
        }
    }

    #[test]
    fn figures_of_a_mixed_case() {
        let counts = ComponentCounts::new(&["etcd", "kube-apiserver"], &["etcd-0", "ETCD", "coredns"]);
        assert_eq!(counts, ComponentCounts { right: 1, wrong: 1, missed: 1 });
        assert_eq!((counts.precision(), counts.recall(), counts.f1()), (0.5, 0.5, 0.5));
    }

    #[test]
    fn empty_lists_agree_and_one_empty_list_scores_nothing() {
        let none: [&str; 0] = [];
        assert_eq!(ComponentCounts::new(&none, &none).f1(), 1.0);
        assert_eq!(ComponentCounts::new(&none, &none).precision(), 1.0);
        for counts in [ComponentCounts::new(&["a"], &none), ComponentCounts::new(&none, &["a"])] {
            assert_eq!((counts.precision(), counts.recall(), counts.f1()), (0.0, 0.0, 0.0));
        }
        assert_eq!(ComponentCounts::new(&none, &[""]), ComponentCounts::default());
    }

    #[test]
    fn the_sum_of_cases_gives_the_micro_average() {
        let cases = [ComponentCounts::new(&["a"], &["a"]), ComponentCounts::new(&["b", "c", "d"], &["x"])];
        let macro_f1 = cases.iter().map(ComponentCounts::f1).sum::<f64>() / 2.0;
        let micro: ComponentCounts = cases.into_iter().sum();
        assert_eq!((macro_f1, micro.f1()), (0.5, 2.0 / 6.0));
    }
}
