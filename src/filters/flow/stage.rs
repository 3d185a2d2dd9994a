//! One filter's place in a direction: what it holds back and what it has let go.

use super::Item;
use crate::filters::plugin::BodyMode;

/// One filter's place in a direction.
pub(super) struct Stage {
    pub(super) filter: usize,
    pub(super) mode: BodyMode,
    pub(super) out: Out,
    /// Its head is held back while its body callbacks run.
    pub(super) holds_head: bool,
    /// A pause in the headers: nothing is pulled; whether the head was all.
    pub(super) stopped: Option<bool>,
    /// A pause in the body.
    pub(super) paused: bool,
    /// How the input ended while paused.
    pub(super) ended: Option<End>,
    /// Held bytes as they were counted last.
    pub(super) counted: usize,
}

impl Stage {
    pub(super) fn new(filter: usize, mode: BodyMode) -> Self {
        let out = Out::default();
        Self { filter, mode, out, holds_head: false, stopped: None, paused: false, ended: None, counted: 0 }
    }
}

/// What a stage has let go: a head, bytes and trailers at most, so that no queue has to be allocated.
#[derive(Default)]
pub(super) struct Out {
    items: [Option<Item>; 3],
    first: usize,
}

impl Out {
    pub(super) fn push(&mut self, item: Item) {
        if let Some(place) = self.items.iter_mut().skip(self.first).find(|place| place.is_none()) {
            *place = Some(item);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.get_mut(self.first)?.take();
        self.first = if item.is_some() && self.items.iter().any(Option::is_some) { self.first + 1 } else { 0 };
        item
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Data,
    Trailers,
}
