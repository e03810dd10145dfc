//! When something far away is left alone: after a few failures in a row, for the rest of a run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// After so many failures in a row it is left alone.
const MOST_FAILURES: usize = 3;

/// Counts failures in a row, and keeps what is to be told of them.
#[derive(Debug, Default)]
pub struct CircuitBreaker {
    failures: AtomicUsize,
    is_open: AtomicBool,
    /// What is to be told and was not yet.
    news: Mutex<Vec<String>>,
}

impl CircuitBreaker {
    /// Returns whether nothing more is asked.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Takes note that all was well.
    pub fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Takes note of a failure; returns whether there were so many in a row that it is to be opened.
    pub fn failed(&self) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_FAILURES
    }

    /// Lets nothing more be asked; returns whether anything was until now.
    pub fn open(&self) -> bool {
        !self.is_open.swap(true, Ordering::Relaxed)
    }

    /// Keeps a line that is to be told.
    pub fn tell(&self, line: String) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        news.push(line);
    }

    /// Returns what is to be told since this was asked last.
    pub fn take_news(&self) -> Vec<String> {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
