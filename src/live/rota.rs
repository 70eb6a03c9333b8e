//! The rota of the standing questions: which is due when. Pure: time comes in as the time since the rota began.
//!
//! First turns are spread, so that a restart asks not everything at once. A turn that was missed, because the machine
//! slept or the loop was late, is not made up for.

use std::time::Duration;

/// No question is asked more often.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);
/// First turns lie within this time.
const SPREAD: Duration = Duration::from_secs(30);

/// When each of some questions is due.
#[derive(Debug)]
pub(super) struct Rota(Vec<Turn>);

#[derive(Debug)]
struct Turn {
    every: Duration,
    next: Duration,
}

impl Rota {
    /// A rota of questions, each given as how often it is asked and a number from 0 to 1 that spreads the first turns.
    pub(super) fn new(questions: impl IntoIterator<Item = (Duration, f64)>) -> Self {
        let turn = |(every, spread): (Duration, f64)| {
            let every = every.max(SHORTEST);
            Turn { every, next: every.min(SPREAD).mul_f64(spread.clamp(0.0, 1.0)) }
        };
        Self(questions.into_iter().map(turn).collect())
    }

    /// The numbers of the questions that are due now; their next turn is after now.
    pub(super) fn due(&mut self, now: Duration) -> Vec<usize> {
        let mut due = Vec::new();
        for (number, turn) in self.0.iter_mut().enumerate() {
            if let Some(late) = now.checked_sub(turn.next) {
                let missed = (late.as_nanos() / turn.every.as_nanos()) as u32;
                turn.next = turn.next.saturating_add(turn.every.saturating_mul(missed.saturating_add(1)));
                due.push(number);
            }
        }
        due
    }

    /// When the next is due; `None` if there are no questions.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.iter().map(|turn| turn.next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn questions_come_in_their_turns_and_missed_turns_are_gone() {
        let mut rota = Rota::new([(secs(300), 0.0), (secs(60), 0.5)]);
        assert_eq!(rota.next(), Some(secs(0)));
        assert_eq!(rota.due(secs(0)), [0]);
        assert_eq!((rota.next(), rota.due(secs(14))), (Some(secs(15)), vec![]));
        assert_eq!((rota.due(secs(15)), rota.next()), (vec![1], Some(secs(75))));
        // Asleep for an hour.
        assert_eq!(rota.due(secs(3615)), [0, 1]);
        assert_eq!((rota.due(secs(3616)), rota.next()), (vec![], Some(secs(3675))));
    }

    #[test]
    fn no_interval_is_too_short_or_too_long() {
        let mut rota = Rota::new([(Duration::ZERO, 0.9), (Duration::MAX, f64::NAN.max(1.0))]);
        assert_eq!(rota.due(secs(100)), [0, 1]);
        assert!(rota.next().unwrap() > secs(100));
        assert_eq!(Rota::new([]).next(), None);
    }
}
