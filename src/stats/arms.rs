//! More than two arms at once: does any of them differ from the others?

use serde::{Deserialize, Serialize};

use super::special::chi_square_tail;
use super::{Scale, StatsError, check};

/// A test of many arms against each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Omnibus {
    /// Chi-square distributed if no arm differs.
    pub statistic: f64,
    /// Its degrees of freedom: arms less one.
    pub df: usize,
    /// Probability of a statistic at least this large between equal arms.
    pub p_value: f64,
}

/// Friedman's test over blocks, each holding one value per arm; on binary outcomes it is Cochran's Q.
///
/// A block must be a cluster's means, not a case: cases of one capture are not independent. `None` without blocks,
/// with fewer than two arms, or where every block is tied throughout.
///
/// Friedman 1937, JASA 32:675-701, with the correction for ties of Conover 1999, *Practical Nonparametric Statistics*,
/// 5.8; the reduction to Cochran 1950, Biometrika 37:256-266, is shown there too.
///
/// # Errors
/// A value that is not finite, or blocks of different lengths.
pub fn friedman(blocks: &[Vec<f64>]) -> Result<Option<Omnibus>, StatsError> {
    let arms = blocks.first().map_or(0, Vec::len);
    for (row, block) in blocks.iter().enumerate() {
        block.iter().try_for_each(|value| check(&format!("block {row}"), *value, Scale::Real))?;
        if block.len() != arms {
            return Err(StatsError::Ragged { row, found: block.len(), expected: arms });
        }
    }
    if arms < 2 {
        return Ok(None);
    }
    let (mut sums, mut spread) = (vec![0.0; arms], 0.0);
    let middle = (arms as f64 + 1.0) / 2.0;
    for block in blocks {
        for (sum, rank) in sums.iter_mut().zip(ranks(block)) {
            *sum += rank - middle;
            spread += (rank - middle).powi(2);
        }
    }
    if spread == 0.0 {
        return Ok(None);
    }
    let statistic = (arms as f64 - 1.0) * sums.iter().map(|sum| sum * sum).sum::<f64>() / spread;
    Ok(Some(Omnibus { statistic, df: arms - 1, p_value: chi_square_tail(statistic, arms as f64 - 1.0) }))
}

/// Ranks from 1, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let tied = values.iter().filter(|other| *other == value).count();
        below as f64 + (tied as f64 + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}
