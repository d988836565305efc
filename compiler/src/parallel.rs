//! The same work for many items on several threads. The answers come in the order of the items, whatever the number
//! of threads; nothing here may let a result depend on who was first.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most threads that are started for one piece of work.
const THREADS_MAX: usize = 16;

/// The answer for every item, in order. A panic of the work is one of the caller.
pub fn map<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = threads.clamp(1, THREADS_MAX).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        // ORDER: whoever takes a number does that item; the answers are put in order below.
        while let Some((at, item)) = Some(next.fetch_add(1, Relaxed)).and_then(|at| Some((at, items.get(at)?))) {
            done.push((at, work(item)));
        }
        done
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        let others =
            others.into_iter().flat_map(|other| other.join().unwrap_or_else(|it| std::panic::resume_unwind(it)));
        own.into_iter().chain(others).collect()
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1_000).collect();
        for threads in [0, 1, 2, 7, 100] {
            assert_eq!(map(&items, threads, |item| item * 2), (0..1_000).map(|item| item * 2).collect::<Vec<_>>());
        }
        assert!(map(&[], 4, |item: &u8| *item).is_empty());
    }
}
