//! Many metrics, one error rate: only the declared primary metric is tested as it stands.

use super::StatsError;

/// Holm's step-down adjustment, in the order given; compare the result with 0.05 as if it were one test.
///
/// The chance that any of the hypotheses is rejected wrongly stays at 5 %, however the tests depend on each other.
/// Holm 1979, Scandinavian Journal of Statistics 6:65-70.
///
/// # Errors
/// A value that is no probability.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, StatsError> {
    if let Some(&value) = p_values.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(StatsError::Parameter { name: "p-value", value, expected: "from 0 to 1" });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|x, y| p_values[*x].total_cmp(&p_values[*y]));
    let (mut adjusted, mut largest) = (vec![0.0; p_values.len()], 0.0f64);
    for (rank, &at) in order.iter().enumerate() {
        let remaining = (p_values.len() - rank) as f64;
        largest = largest.max((p_values[at] * remaining).min(1.0));
        adjusted[at] = largest;
    }
    Ok(adjusted)
}
