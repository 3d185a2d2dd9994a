//! An open loop: turns begin when the schedule says, whether the last ones are done or not.
//!
//! ```text
//!   timerfd ─▶ due turns, each with the moment it was meant for ─▶ queue ─▶ the next idle connection
//! ```
//!
//! The kernel's timer, not the runtime's: that one knows milliseconds only. It refuses to skip a turn
//! it is late for; being late is what an open loop is there to show.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// Waking up more often costs the machine more than it tells.
const TICK_LEAST: Duration = Duration::from_micros(50);

/// Turns that are due, in order.
pub struct Queue {
    due: RefCell<VecDeque<Instant>>,
    /// Turns handed to a connection and not done.
    running: Cell<usize>,
    more: Notify,
}

impl Queue {
    pub fn new() -> Self {
        Self { due: RefCell::default(), running: Cell::new(0), more: Notify::new() }
    }

    /// The next turn's moment; idle connections are served in the order they asked.
    pub async fn next(&self) -> Instant {
        loop {
            let due = self.due.borrow_mut().pop_front();
            if let Some(intended) = due {
                self.running.set(self.running.get() + 1);
                return intended;
            }
            self.more.notified().await;
        }
    }

    pub fn done(&self) {
        self.running.set(self.running.get() - 1);
    }

    /// Turns that have not been done.
    pub fn left(&self) -> usize {
        self.due.borrow().len() + self.running.get()
    }

    /// Fills the queue at `rate` turns a second until the window closes.
    pub async fn fill(&self, rate: f64, until: Instant) -> std::io::Result<()> {
        #[allow(deprecated, reason = "its successor is unsafe; an owned descriptor keeps what that one asks for")]
        let timer = AsyncFd::new(timer(Duration::from_secs_f64(1.0 / rate).max(TICK_LEAST))?)?;
        let start = Instant::now();
        let mut begun = 0_u32;
        loop {
            let mut ready = timer.readable().await?;
            let mut count = [0; 8];
            match rustix::io::read(timer.get_ref(), &mut count) {
                Err(error) if error != rustix::io::Errno::AGAIN => return Err(error.into()),
                _ => {}
            }
            ready.clear_ready();
            drop(ready);
            let now = Instant::now();
            loop {
                let intended = start + Duration::from_secs_f64(f64::from(begun) / rate);
                if intended >= until {
                    return Ok(());
                }
                if intended > now {
                    break;
                }
                self.due.borrow_mut().push_back(intended);
                self.more.notify_one();
                begun += 1;
            }
        }
    }
}

fn timer(interval: Duration) -> std::io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let tick = Timespec::try_from(interval).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: tick, it_value: tick })?;
    Ok(timer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_due_at_the_rate() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let queue = Queue::new();
        let until = Instant::now() + Duration::from_millis(100);
        runtime.block_on(queue.fill(1000.0, until)).expect("a timer");
        assert!((95..=100).contains(&queue.left()), "{}", queue.left());
        runtime.block_on(queue.next());
        assert_eq!(queue.due.borrow().len() + 1, queue.left(), "one is under way");
        queue.done();
    }
}
