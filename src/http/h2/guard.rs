//! How many streams are under way, counted by what keeps them alive.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Counts streams: one counter shared by its guards, each of which counts one.
#[derive(Default)]
pub struct StreamGuard {
    counter: Rc<Counter>,
    counted: bool,
}

#[derive(Default)]
struct Counter {
    count: Cell<usize>,
    /// Who waits for the last one. `h2` does not wake a connection whose socket is full when a
    /// stream ends, so its idle time would never begin.
    waiting: RefCell<Option<Waker>>,
}

impl StreamGuard {
    /// How many are counted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counter.count.get()
    }

    /// Ready while none is counted; otherwise whoever asked last is woken when the last one ends.
    pub fn poll_none(&self, cx: &Context<'_>) -> Poll<()> {
        if self.count() == 0 {
            return Poll::Ready(());
        }
        let mut waiting = self.counter.waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// One more, until the guard returned is dropped.
    #[must_use]
    pub fn enter(&self) -> Self {
        self.counter.count.set(self.counter.count.get() + 1);
        Self { counter: self.counter.clone(), counted: true }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let left = self.counter.count.get() - 1;
        self.counter.count.set(left);
        let waiting = if left == 0 { self.counter.waiting.take() } else { None };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}
