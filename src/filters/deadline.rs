//! How long a callback may run, counted in time of the processor: that other work keeps the machine busy is no
//! filter's fault.
//!
//! ```text
//!   call ── half the deadline on the clock ──▶ note the thread's time ──▶ half of it used since? ── yes ──▶ trap
//!                                                                  ▲          └─ no: what is left ─┐
//!                                                                  └───────────────────────────────┘
//! ```
//!
//! A callback that ends in its first half, as all but a few do, is never looked at: to ask for a thread's time costs
//! as much as calling a guest. A guest cannot wait, only run, so its time passes or it is not running. It refuses to
//! judge what the host does on a guest's behalf any other way: that is its time, too.

use std::time::Duration;

use wasmtime::{Store, Trap, UpdateDeadline};

use super::engine::ticks;

/// The deadline of the present callback.
#[derive(Debug, Default)]
pub struct Deadline {
    half: Duration,
    /// The thread's time when the first half had passed.
    noted: Option<Duration>,
}

impl Deadline {
    /// Has guests of `store` judged by the deadline in its data.
    pub fn watch<T: 'static>(store: &mut Store<T>, find: fn(&mut T) -> &mut Self) {
        store.epoch_deadline_callback(move |mut cx| find(cx.data_mut()).passed(thread_time()));
    }

    /// Sets the deadline of the call that follows.
    pub fn set<T: 'static>(store: &mut Store<T>, deadline: Duration, find: fn(&mut T) -> &mut Self) {
        let half = deadline / 2;
        *find(store.data_mut()) = Self { half, noted: None };
        store.set_epoch_deadline(ticks(half));
    }

    /// The clock has reached what was set; `now` is the thread's time.
    fn passed(&mut self, now: Duration) -> wasmtime::Result<UpdateDeadline> {
        let used = now.saturating_sub(*self.noted.get_or_insert(now));
        match self.half.checked_sub(used) {
            Some(left) if !left.is_zero() => Ok(UpdateDeadline::Continue(ticks(left))),
            _ => Err(Trap::Interrupt.into()),
        }
    }
}

/// The time this thread has had of a processor.
#[cfg(unix)]
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Where a thread's time cannot be had for little, the clock's counts.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    static BEGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGIN.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::engine::Engine;
    use wasmtime::{Instance, Module};

    const DEADLINE: Duration = Duration::from_millis(20);

    /// Calls `stall` and then turns in a loop `turns` times; what came of it.
    fn run(stall: Duration, turns: i64) -> wasmtime::Result<()> {
        let engine = Engine::shared().expect("an engine");
        let mut store = Store::new(engine.wasmtime(), Deadline::default());
        Deadline::watch(&mut store, |deadline| deadline);
        let wat = "(module (import \"\" \"stall\" (func $stall)) (func (export \"run\") (param i64)
            (loop $again (local.set 0 (i64.sub (local.get 0) (i64.const 1)))
                (if (i64.eqz (i64.rem_s (local.get 0) (i64.const 100000))) (then (call $stall)))
                (br_if $again (i64.gt_s (local.get 0) (i64.const 0))))))";
        let module = Module::new(engine.wasmtime(), wat::parse_str(wat).expect("a module"))?;
        let stalling = wasmtime::Func::wrap(&mut store, move || std::thread::sleep(stall));
        let instance = Instance::new(&mut store, &module, &[stalling.into()])?;
        let function = instance.get_typed_func::<i64, ()>(&mut store, "run")?;
        Deadline::set(&mut store, DEADLINE, |deadline| deadline);
        function.call(&mut store, turns)
    }

    #[test]
    fn who_runs_without_end_is_stopped() {
        let error = run(Duration::ZERO, i64::MAX).expect_err("it never ends");
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt), "{error:?}");
    }

    #[test]
    #[cfg(unix)]
    fn who_is_kept_from_running_is_waited_for() {
        // Ten times for twice its deadline on the clock, and for hardly any time of the processor.
        run(DEADLINE * 2, 1_000_000).expect("it did nothing for long");
    }
}
