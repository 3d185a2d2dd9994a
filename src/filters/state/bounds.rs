//! What bounds an instance: its memory, its tables, its lines a second.

use super::*;

/// Watches the growth of one instance.
pub struct Limiter {
    pub(super) memory_max: usize,
    /// Bytes it has.
    pub memory: usize,
    /// It was refused more: what follows is likely a trap for want of memory.
    pub refused: bool,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.memory_max && maximum.is_none_or(|maximum| desired <= maximum);
        if allowed {
            self.memory = desired;
        } else {
            self.refused = true;
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 100_000 && maximum.is_none_or(|maximum| desired <= maximum))
    }
}

/// So many lines a second, and a second's worth at once.
pub(super) struct Bucket {
    pub(super) rate: f64,
    pub(super) left: f64,
    pub(super) filled: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(rate: usize) -> Self {
        let rate = u32::try_from(rate).map_or(f64::from(u32::MAX), f64::from);
        Self { rate, left: rate, filled: None }
    }

    pub(super) fn take(&mut self) -> bool {
        let now = Instant::now();
        let since = self.filled.replace(now).map_or(0.0, |filled| (now - filled).as_secs_f64());
        self.left = (self.left + since * self.rate).min(self.rate);
        let some = self.left >= 1.0;
        if some {
            self.left -= 1.0;
        }
        some
    }
}

/// Context ids are small and ours: a multiplication spreads them well enough.
#[derive(Default)]
pub struct ById(u64);

impl Hasher for ById {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
