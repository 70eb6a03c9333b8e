//! Work in pieces on several threads. What comes out does not depend on who did what.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Makes `count` things, each from its number alone, and returns them in order; each thread has tools of its own.
pub(crate) fn map<W: Default, T: Send>(
    count: usize,
    threads: usize,
    make: impl Fn(usize, &mut W) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tools = W::default();
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < count);
        std::iter::from_fn(take).map(|at| (at, make(at, &mut tools))).collect::<Vec<_>>()
    };
    let mut made = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(work)).collect();
        let mut made = work();
        for other in others {
            made.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        made
    });
    made.sort_unstable_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, thing)| thing).collect()
}

/// The same on two threads, for what needs no tools.
pub(crate) fn on_two<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    map(count, 2, |at, (): &mut ()| make(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_in_order_whoever_made_them() {
        for (count, threads) in [(0, 1), (1, 4), (2, 2), (100, 3)] {
            let made = map(count, threads, |at, (): &mut ()| at * at);
            assert_eq!(made, (0..count).map(|at| at * at).collect::<Vec<_>>());
            assert_eq!(made, on_two(count, |at| at * at));
        }
    }
}
