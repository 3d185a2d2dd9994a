//! What all bodies of a VM hold together: one may hold a lot, all of them at once may not.
//!
//! It refuses to drop anything: a body that may keep no more parses what it has.

use std::cell::Cell;
use std::rc::Rc;

/// Half of the memory a filter has by default: the rest is for what is being parsed.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// One body's part.
#[derive(Debug)]
pub(crate) struct Kept {
    all: Rc<Cell<usize>>,
    own: usize,
}

impl Kept {
    pub(crate) fn of(all: &Rc<Cell<usize>>) -> Self {
        Kept { all: Rc::clone(all), own: 0 }
    }

    /// So many bytes are held by this body now.
    pub(crate) fn set(&mut self, own: usize) {
        self.all.set(self.all.get().saturating_sub(self.own).saturating_add(own));
        self.own = own;
    }

    /// Whether all bodies together hold more than they may.
    pub(crate) fn is_too_much(&self) -> bool {
        self.all.get() > KEPT_BYTES_MAX
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.set(0);
    }
}
