//! Tasks that are used again: a stream is given to one that rests instead of to a new one.
//!
//! ```text
//!   give(job) ─┬─ somebody rests ─▶ its desk, woken ─┐
//!              └─ nobody ─▶ a new task ──────────────┴─▶ works ─▶ rests, at most RESTING ─▶ …
//! ```
//!
//! A task for each stream would be made, moved into place (several KiB) and taken down each time.
//! The crew refuses to queue: a job is begun by somebody at once.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Tasks that rest for the next job: a burst of so many streams costs nothing new. About 8 KiB
/// each, 2 MiB per worker.
const RESTING: usize = 256;

/// The tasks of one worker.
pub(super) struct Crew<J> {
    resting: RefCell<Vec<Rc<Desk<J>>>>,
}

impl<J> Default for Crew<J> {
    fn default() -> Self {
        Self { resting: RefCell::default() }
    }
}

/// Where a resting task finds its next job.
struct Desk<J> {
    job: Cell<Option<J>>,
    waker: Cell<Option<Waker>>,
}

/// A task's place in the crew.
pub(super) struct Next<J>(Rc<Desk<J>>);

impl<J: 'static> Crew<J> {
    /// Gives `job` to a resting task, or to a new one that runs `work`.
    pub(super) fn give<F>(&self, job: J, work: impl FnOnce(J, Next<J>) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        // The one that rested last: its memory is still in the caches.
        let rested = self.resting.borrow_mut().pop();
        match rested {
            Some(desk) => {
                desk.job.set(Some(job));
                if let Some(waker) = desk.waker.take() {
                    waker.wake();
                }
            }
            None => {
                let desk = Rc::new(Desk { job: Cell::default(), waker: Cell::default() });
                // Boxed, since a task moves its future when it begins and when it ends.
                tokio::task::spawn_local(Box::pin(work(job, Next(desk))));
            }
        }
    }
}

impl<J> Next<J> {
    /// Rests until there is a job; `None` when enough others rest already.
    pub(super) async fn wait(&mut self, crew: &Crew<J>) -> Option<J> {
        {
            let mut resting = crew.resting.borrow_mut();
            if resting.len() >= RESTING {
                return None;
            }
            resting.push(self.0.clone());
        }
        std::future::poll_fn(|cx| match self.0.job.take() {
            Some(job) => Poll::Ready(Some(job)),
            None => {
                self.0.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Ship {
        crew: Crew<usize>,
        made: Cell<usize>,
        done: Cell<usize>,
        left: Cell<usize>,
    }

    async fn work(ship: Rc<Ship>, mut job: usize, mut next: Next<usize>) {
        loop {
            tokio::task::yield_now().await;
            ship.done.set(ship.done.get() + job);
            match next.wait(&ship.crew).await {
                Some(next) => job = next,
                None => return ship.left.set(ship.left.get() + 1),
            }
        }
    }

    #[tokio::test]
    async fn every_job_is_done_and_tasks_are_used_again() {
        const MORE: usize = 4;
        let run = async {
            let ship = Rc::new(Ship::default());
            for round in 1..=3 {
                for _ in 0..RESTING + MORE {
                    ship.crew.give(1, |job, next| {
                        ship.made.set(ship.made.get() + 1);
                        work(ship.clone(), job, next)
                    });
                }
                // invariant: every task is done after a few turns of the queue
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(ship.done.get(), round * (RESTING + MORE));
                assert_eq!(ship.crew.resting.borrow().len(), RESTING);
                assert_eq!((ship.made.get(), ship.left.get()), (RESTING + round * MORE, round * MORE));
            }
        };
        tokio::task::LocalSet::new().run_until(run).await;
    }
}
