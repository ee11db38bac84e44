//! Work on partitions in parallel, on one thread per processor core.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::bail;

/// Set when a thread has failed: the others stop.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Ends the caller's work when another thread has failed.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("stopped, because another partition failed");
        }
        Ok(())
    }
}

/// Calls `work` for each item, with a tool of the thread's own. The first failure ends the work on the other items.
pub fn for_each<Item: Sync, Tool>(
    items: &[Item],
    stop: &Stop,
    tool: impl Fn() -> anyhow::Result<Tool> + Sync,
    work: impl Fn(&Tool, &Item) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let work_on = || {
        let tool = tool()?;
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            stop.check()?;
            work(&tool, item)?;
        }
        anyhow::Ok(())
    };
    let worker = || {
        if let Err(error) = work_on() {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            stop.0.store(true, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(worker);
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_rest() {
        let done = AtomicUsize::new(0);
        let items: Vec<usize> = (1..=100).collect();
        let count = |(): &(), item: &usize| {
            done.fetch_add(*item, Ordering::Relaxed);
            Ok(())
        };
        for_each(&items, &Stop::default(), || Ok(()), count).unwrap();
        assert_eq!(done.into_inner(), 5050);
        let error = for_each(&items, &Stop::default(), || Ok(()), |(), item| bail!("item {item}")).unwrap_err();
        assert!(error.to_string().starts_with("item "), "{error}");
    }
}
