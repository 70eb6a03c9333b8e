//! Work on two threads where there is more than one piece of it. What comes out does not depend on who did what.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Makes `count` things, each from its number alone, and returns them in order.
pub(super) fn map<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if count < 2 {
        return (0..count).map(make).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < count);
        std::iter::from_fn(take).map(|at| (at, make(at))).collect::<Vec<_>>()
    };
    let mut made = thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut made = work();
        made.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        made
    });
    made.sort_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_in_order_whoever_made_them() {
        for count in [0, 1, 2, 100] {
            assert_eq!(map(count, |at| at * at), (0..count).map(|at| at * at).collect::<Vec<_>>());
        }
    }
}
