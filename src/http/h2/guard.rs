//! How many streams are under way, counted by what keeps them alive.

use std::cell::Cell;
use std::rc::Rc;

/// Counts streams: one counter shared by its guards, each of which counts one.
#[derive(Default)]
pub struct StreamGuard {
    count: Rc<Cell<usize>>,
    counted: bool,
}

impl StreamGuard {
    /// How many are counted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// One more, until the guard returned is dropped.
    #[must_use]
    pub fn enter(&self) -> Self {
        self.count.set(self.count.get() + 1);
        Self { count: self.count.clone(), counted: true }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        if self.counted {
            self.count.set(self.count.get() - 1);
        }
    }
}
