//! ROUGE of two texts, equal to PyPI `rouge-score` 0.1.2: same tokens, same counts, same rounding of nothing.
//!
//! Source: C.-Y. Lin, "ROUGE: a package for automatic evaluation of summaries", 2004; where the paper and the package
//! differ (union LCS without double counting) the package is followed. It measures overlap of words, not truth.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::porter;

/// How a text becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stemming {
    /// Words as they are, in lower case.
    Off,
    /// Words of more than three letters are stemmed by [`porter::stem`].
    Porter,
}

/// Overlap of a prediction with a reference: each 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rouge {
    /// Share of the prediction that the reference has.
    pub precision: f64,
    /// Share of the reference that the prediction has.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Rouge {
    fn new(hits: usize, reference: usize, prediction: usize) -> Self {
        let (precision, recall) = (ratio(hits, prediction), ratio(hits, reference));
        let sum = precision + recall;
        let f1 = if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 };
        Self { precision, recall, f1 }
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The tokens of a text: runs of ASCII letters and digits of its lower-case form.
pub fn tokens(text: &str, stemming: Stemming) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let stemmed = |word: &str| match stemming {
        Stemming::Porter if word.len() > 3 => porter::stem(word),
        _ => word.to_owned(),
    };
    words.map(stemmed).filter(|word| !word.is_empty()).collect()
}

/// ROUGE-N over n-grams of tokens; all zero for `n` = 0.
pub fn rouge_n(reference: &[String], prediction: &[String], n: usize) -> Rouge {
    if n == 0 {
        return Rouge::default();
    }
    let (wanted, got) = (grams(reference, n), grams(prediction, n));
    let hits = wanted.iter().map(|(gram, count)| *count.min(got.get(gram).unwrap_or(&0))).sum();
    Rouge::new(hits, wanted.values().sum(), got.values().sum())
}

fn grams(tokens: &[String], n: usize) -> BTreeMap<&[String], usize> {
    let mut counts = BTreeMap::new();
    for gram in tokens.windows(n) {
        *counts.entry(gram).or_insert(0) += 1;
    }
    counts
}

/// ROUGE-L: the longest common subsequence of the tokens.
pub fn rouge_l(reference: &[String], prediction: &[String]) -> Rouge {
    if reference.is_empty() || prediction.is_empty() {
        return Rouge::default();
    }
    let table = Lcs::new(reference, prediction);
    Rouge::new(table.at(reference.len(), prediction.len()), reference.len(), prediction.len())
}

/// ROUGE-Lsum: per reference line the union of its longest common subsequences with all lines of the prediction, each
/// token counted no more often than either text has it.
pub fn rouge_lsum(reference: &str, prediction: &str, stemming: Stemming) -> Rouge {
    let lines = |text: &str| -> Vec<Vec<String>> {
        text.split('\n').filter(|line| !line.is_empty()).map(|line| tokens(line, stemming)).collect()
    };
    let (wanted, got) = (lines(reference), lines(prediction));
    let (mut left_wanted, mut left_got) = (counts(&wanted), counts(&got));
    let mut hits = 0;
    for line in &wanted {
        let union: BTreeSet<usize> = got.iter().flat_map(|other| Lcs::new(line, other).indices()).collect();
        for token in union.into_iter().map(|index| line[index].as_str()) {
            let (Some(a), Some(b)) = (left_wanted.get_mut(token), left_got.get_mut(token)) else { continue };
            if *a > 0 && *b > 0 {
                hits += 1;
                *a -= 1;
                *b -= 1;
            }
        }
    }
    let length = |lines: &[Vec<String>]| lines.iter().map(Vec::len).sum::<usize>();
    Rouge::new(hits, length(&wanted), length(&got))
}

fn counts(lines: &[Vec<String>]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for token in lines.iter().flatten() {
        *counts.entry(token.as_str()).or_insert(0) += 1;
    }
    counts
}

/// The table of lengths of longest common subsequences of all prefixes.
struct Lcs<'a> {
    reference: &'a [String],
    prediction: &'a [String],
    table: Vec<u32>,
}

impl<'a> Lcs<'a> {
    fn new(reference: &'a [String], prediction: &'a [String]) -> Self {
        let columns = prediction.len() + 1;
        let mut table = vec![0; (reference.len() + 1) * columns];
        for (i, a) in reference.iter().enumerate() {
            for (j, b) in prediction.iter().enumerate() {
                let at = (i + 1) * columns + j + 1;
                table[at] = if a == b { table[at - columns - 1] + 1 } else { table[at - columns].max(table[at - 1]) };
            }
        }
        Self { reference, prediction, table }
    }

    fn at(&self, i: usize, j: usize) -> usize {
        self.table[i * (self.prediction.len() + 1) + j] as usize
    }

    /// Positions in the reference of one longest subsequence. Which one matters to the union, so ties are broken as
    /// the package breaks them: towards the shorter reference.
    fn indices(&self) -> Vec<usize> {
        let (mut i, mut j) = (self.reference.len(), self.prediction.len());
        let mut found = Vec::new();
        while i > 0 && j > 0 {
            if self.reference[i - 1] == self.prediction[j - 1] {
                found.push(i - 1);
                (i, j) = (i - 1, j - 1);
            } else if self.at(i, j - 1) > self.at(i - 1, j) {
                j -= 1;
            } else {
                i -= 1;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct File {
        pairs: Vec<(String, String, [f64; 8])>,
        stems: BTreeMap<String, String>,
    }

    fn reference() -> File {
        serde_json::from_str(include_str!("../../tests/reference/rouge/reference.json")).unwrap()
    }

    #[test]
    fn equal_to_the_python_package_on_every_generated_pair() {
        let file = reference();
        assert!(file.pairs.len() >= 1_000, "{} pairs", file.pairs.len());
        for (wanted, got, expected) in &file.pairs {
            for (stemming, expected) in [(Stemming::Off, &expected[..4]), (Stemming::Porter, &expected[4..])] {
                let (a, b) = (tokens(wanted, stemming), tokens(got, stemming));
                let ours = [
                    rouge_n(&a, &b, 1).f1,
                    rouge_n(&a, &b, 2).f1,
                    rouge_l(&a, &b).f1,
                    rouge_lsum(wanted, got, stemming).f1,
                ];
                for (ours, theirs) in ours.iter().zip(expected) {
                    assert!((ours - theirs).abs() < 1e-9, "{stemming:?}: {ours} is not {theirs}\n{wanted:?}\n{got:?}");
                }
            }
        }
    }

    #[test]
    fn stems_equal_to_nltks() {
        let file = reference();
        assert!(file.stems.len() >= 1_000, "{} stems", file.stems.len());
        for (word, want) in &file.stems {
            assert_eq!(&porter::stem(word), want, "{word}");
        }
    }

    #[test]
    fn nothing_in_common_and_nothing_at_all() {
        let none = Rouge::default();
        let (a, empty) = (tokens("disk full", Stemming::Off), Vec::new());
        assert_eq!(rouge_n(&a, &empty, 1), none);
        assert_eq!(rouge_n(&a, &a, 0), none);
        assert_eq!(rouge_l(&empty, &empty), none);
        assert_eq!(rouge_lsum("", "\n\n", Stemming::Porter), none);
        assert_eq!(rouge_l(&a, &a).f1, 1.0);
    }

    proptest::proptest! {
        #[test]
        fn any_two_texts_score_between_zero_and_one(a in "\\PC{0,40}", b in "\\PC{0,40}") {
            for stemming in [Stemming::Off, Stemming::Porter] {
                let score = rouge_lsum(&a, &b, stemming).f1;
                proptest::prop_assert!((0.0..=1.0).contains(&score));
            }
        }
    }
}
