//! Retries with exponential pauses, for failures of the surroundings and for nothing else.
//!
//! A model's failure is a result and a refused request stays refused. The sleep is an argument, the jitter is
//! seeded: the same policy pauses the same way every time.

use std::future::Future;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::ModelError;

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Upper bound of the first pause; it doubles each time.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
    /// All pauses together are no longer: zero means a single attempt.
    pub budget: Duration,
    /// Of the jitter, so that several askers do not come back at the same moment.
    pub seed: u64,
}

impl Default for Retry {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { first: Duration::from_millis(250), longest: secs(10), budget: secs(60), seed: 1 }
    }
}

impl Retry {
    /// The pauses between attempts: each drawn from the upper half of its bound, until the budget is used up.
    pub fn pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let (longest, mut left) = (self.longest, self.budget);
        let mut bound = self.first.min(longest);
        std::iter::from_fn(move || {
            let pause = bound.mul_f64(rng.random_range(0.5..=1.0));
            left = left.checked_sub(pause).filter(|_| !pause.is_zero())?;
            bound = bound.saturating_mul(2).min(longest);
            Some(pause)
        })
        .fuse()
    }
}

/// Calls `op` with the number of the attempt (from 1) until it succeeds, fails for good, or the budget is spent.
///
/// # Errors
/// The last one of `op`.
pub async fn retry<T, F, S>(
    policy: &Retry,
    mut sleep: impl FnMut(Duration) -> S,
    mut op: impl FnMut(u32) -> F,
) -> Result<T, ModelError>
where
    F: Future<Output = Result<T, ModelError>>,
    S: Future<Output = ()>,
{
    let mut attempt = 1;
    for pause in policy.pauses() {
        match op(attempt).await {
            Err(ModelError::Infra { .. }) => sleep(pause).await,
            settled => return settled,
        }
        attempt += 1;
    }
    op(attempt).await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;

    use super::*;

    fn infra() -> ModelError {
        ModelError::Infra { url: "u".to_owned(), reason: "r".to_owned() }
    }

    /// Runs `retry` over prepared outcomes; returns the result, the attempts made and the pauses slept.
    async fn play(policy: Retry, mut outcomes: Vec<Result<u8, ModelError>>) -> (Result<u8, ModelError>, u32, Duration) {
        outcomes.reverse();
        let outcomes = RefCell::new(outcomes);
        let (attempts, slept) = (RefCell::new(0), RefCell::new(Duration::ZERO));
        let sleep = |pause| {
            *slept.borrow_mut() += pause;
            ready(())
        };
        let result = retry(&policy, sleep, |attempt| {
            *attempts.borrow_mut() = attempt;
            ready(outcomes.borrow_mut().pop().unwrap_or(Err(infra())))
        })
        .await;
        (result, attempts.into_inner(), slept.into_inner())
    }

    #[tokio::test]
    async fn only_the_surroundings_are_tried_again() {
        let (result, attempts, _) = play(Retry::default(), vec![Err(infra()), Err(infra()), Ok(7)]).await;
        assert_eq!((result, attempts), (Ok(7), 3));
        let timeout = ModelError::Timeout { url: "u".to_owned(), budget: Duration::from_secs(1) };
        let output = ModelError::Output { reason: "r".to_owned() };
        for fatal in [timeout, output] {
            let (result, attempts, _) = play(Retry::default(), vec![Err(fatal.clone()), Ok(7)]).await;
            assert_eq!((result, attempts), (Err(fatal), 1));
        }
    }

    #[tokio::test]
    async fn the_budget_bounds_what_is_slept() {
        let policy = Retry { budget: Duration::from_secs(3), ..Retry::default() };
        let (result, attempts, slept) = play(policy, Vec::new()).await;
        assert_eq!(result, Err(infra()));
        assert!(attempts > 2 && slept <= policy.budget, "{attempts} attempts, {slept:?}");
        let (_, attempts, slept) = play(Retry { budget: Duration::ZERO, ..policy }, Vec::new()).await;
        assert_eq!((attempts, slept), (1, Duration::ZERO));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_repeat_with_the_seed() {
        let policy = Retry { longest: Duration::from_secs(1), ..Retry::default() };
        let pauses: Vec<Duration> = policy.pauses().take(6).collect();
        for (pause, bound) in pauses.iter().zip([250, 500, 1000, 1000, 1000, 1000]) {
            let bound = Duration::from_millis(bound);
            assert!(*pause <= bound && *pause >= bound / 2, "{pause:?} of {bound:?}");
        }
        assert_eq!(policy.pauses().take(6).collect::<Vec<_>>(), pauses);
        assert_ne!(Retry { seed: 2, ..policy }.pauses().take(6).collect::<Vec<_>>(), pauses);
        assert_eq!(Retry { first: Duration::ZERO, ..policy }.pauses().count(), 0);
    }
}
