//! What happens when an item meets a filter: its callback, and whether the item goes on, waits or ends.

use bytes::Bytes;

use super::stage::End;
use super::{Flow, Item};
use crate::error::{Error, Kind, Result, Side};
use crate::filters::before::Before;
use crate::filters::host::Lost;
use crate::filters::plugin::BodyMode;
use crate::filters::stream::{Data, Way};
use crate::filters::vm::Callback;

impl Flow {
    /// Lets go what a stage held.
    pub(super) fn release(&mut self, index: usize) {
        let way = self.way as usize;
        let stage = &mut self.stages[index];
        let filter = stage.filter;
        self.passage.filters[filter].set_paused(false);
        self.patience.disarm();
        if let Some(end) = stage.stopped.take() {
            stage.out.push(Item::Head(end));
            self.passage.shared.with(|data| data.slots[filter].head_open[way] = false);
            return;
        }
        stage.paused = false;
        let ended = stage.ended.take();
        self.emit(index, ended);
    }

    /// Passes on the head, if it is held, and all bytes.
    pub(super) fn emit(&mut self, index: usize, ended: Option<End>) {
        let way = self.way as usize;
        let stage = &mut self.stages[index];
        let filter = stage.filter;
        let (bytes, added) = self
            .passage
            .shared
            .with(|data| {
                let slot = &mut data.slots[filter];
                slot.head_open[way] = false;
                slot.last_chunk[way] = false;
                slot.trailers_open[way] = false;
                let bytes = slot.held[way].take();
                (bytes, data.trailers[way].as_ref().is_some_and(|fields| !fields.is_empty()))
            })
            .unwrap_or_default();
        self.recount(index);
        let stage = &mut self.stages[index];
        if std::mem::take(&mut stage.holds_head) {
            let end = ended == Some(End::Data) && bytes.is_empty() && !added;
            stage.out.push(Item::Head(end));
            if end {
                return;
            }
        }
        // Trailers that the filter made in its last body callback follow the bytes (ABI, 9).
        let trailers = ended == Some(End::Trailers) || (ended == Some(End::Data) && added);
        let end = ended == Some(End::Data) && !trailers;
        if !bytes.is_empty() || end {
            stage.out.push(Item::Data(bytes, end));
        }
        if trailers {
            stage.out.push(Item::Trailers);
        }
    }

    /// Counts the bytes that are held now.
    pub(super) fn recount(&mut self, index: usize) {
        let (way, stage) = (self.way as usize, &mut self.stages[index]);
        let held = self.passage.shared.with(|data| data.slots[stage.filter].held[way].len()).unwrap_or(0);
        if held != stage.counted {
            let grown = i64::try_from(held).unwrap_or(0) - i64::try_from(stage.counted).unwrap_or(0);
            self.passage.filters[stage.filter].shard(|shard| shard.buffered(grown));
            stage.counted = held;
        }
    }

    /// For a filter that fails open: the message as it is before a callback.
    pub(super) fn before(&self, index: usize) -> Option<Before> {
        let settings = &self.passage.filters[self.stages[index].filter].plugin.settings;
        settings.fail_open.then(|| self.passage.shared.with(|data| Before::of(data))).flatten()
    }

    /// What is held goes on, since the filter wants to see no more.
    pub(super) fn let_go(&mut self, index: usize) {
        let (way, stage) = (self.way as usize, &self.stages[index]);
        let holds = self.passage.shared.with(|data| !data.slots[stage.filter].held[way].is_empty());
        if stage.paused || holds == Some(true) {
            self.passage.filters[stage.filter].set_paused(false);
            self.stages[index].paused = false;
            self.emit(index, None);
        }
    }

    /// After a callback: notes what it left, and carries out a reply or a close that it asked for.
    /// `true`: nothing else is to be done.
    pub(super) fn interrupted(&mut self, index: usize, note: impl FnOnce(&mut Data)) -> Result<bool> {
        let asked = self.passage.shared.with(|data| {
            note(data);
            data.closed.is_some() || data.reply.is_some()
        });
        if asked == Some(false) {
            return Ok(false);
        }
        self.passage.closed()?;
        Ok(self.take_reply(index))
    }

    pub(super) fn pass_head(&mut self, index: usize, end: bool) -> Result<()> {
        let (filter, way) = (self.stages[index].filter, self.way as usize);
        let passage = self.passage.clone();
        let member = &passage.filters[filter];
        let settings = &member.plugin.settings;
        let look = |data: &mut Data| {
            if !member.plugin.concerns[way].has(&data.headers[way]) {
                return None;
            }
            let before = settings.fail_open.then(|| Before::of(data));
            let pseudo = if way == 0 { 4 } else { 1 };
            let slot = &mut data.slots[filter];
            slot.head_open[way] = true;
            slot.resumed[way] = false;
            let count = u32::try_from(member.plugin.protection.shown(&data.headers[way]) + pseudo).unwrap_or(u32::MAX);
            Some((slot.context, count, before))
        };
        let running = member.running.as_ref().filter(|_| !member.skipped.get());
        let looked = running.and_then(|running| Some((running, passage.shared.with(look)??)));
        let Some((running, (context, count, before))) = looked else {
            self.stages[index].mode = BodyMode::Off;
            self.stages[index].out.push(Item::Head(end));
            return Ok(());
        };
        let head = Callback::Headers(way, count, end);
        let called =
            if context == 0 { running.begin(&passage.shared, filter, head) } else { running.call(context, head) };
        let action = match called {
            Ok(action) => action,
            Err(Lost) => return self.without(index, Item::Head(end), before),
        };
        if self.interrupted(index, |data| data.slots[filter].head_open[way] = action != 0)? {
            return Ok(());
        }
        let stage = &mut self.stages[index];
        if action == 0 {
            stage.out.push(Item::Head(end));
        } else {
            member.set_paused(true);
            if settings.holds_head && !end && stage.mode != BodyMode::Off {
                stage.holds_head = true;
                stage.paused = true;
            } else {
                stage.stopped = Some(end);
            }
        }
        Ok(())
    }

    /// The filter has failed: the item goes on without it, if it fails open.
    pub(super) fn without(&mut self, index: usize, item: Item, before: Option<Before>) -> Result<()> {
        let (filter, way) = (self.stages[index].filter, self.way as usize);
        self.passage.filters[filter].failed()?;
        if let Some(before) = before {
            self.passage.shared.with(|data| before.put_back(data));
        }
        self.passage.filters[filter].set_paused(false);
        let stage = &mut self.stages[index];
        stage.mode = BodyMode::Off;
        stage.paused = false;
        if std::mem::take(&mut stage.holds_head) {
            stage.out.push(Item::Head(false));
        }
        stage.out.push(item);
        self.passage.shared.with(|data| data.slots[filter].head_open[way] = false);
        Ok(())
    }

    pub(super) fn skips_body(&self, index: usize) -> bool {
        let stage = &self.stages[index];
        let way = self.way as usize;
        stage.mode == BodyMode::Off
            || self.passage.filters[stage.filter].skipped.get()
            || self.passage.shared.with(|data| data.slots[stage.filter].skips_body[way]).unwrap_or(true)
    }

    pub(super) fn pass_data(&mut self, index: usize, bytes: Bytes, end: bool) -> Result<()> {
        let (filter, way) = (self.stages[index].filter, self.way as usize);
        if self.skips_body(index) {
            // It was told to skip while it held something: that goes first.
            self.let_go(index);
            self.stages[index].out.push(Item::Data(bytes, end));
            return Ok(());
        }
        let passage = self.passage.clone();
        let member = &passage.filters[filter];
        let limit = member.plugin.settings.limits.buffers[way];
        let collects = self.stages[index].mode == BodyMode::Buffer;
        let holds = collects || self.stages[index].paused;
        let held = |data: &mut Data| {
            let slot = &mut data.slots[filter];
            let over = holds && slot.held[way].len() + bytes.len() > limit;
            slot.held[way].append(bytes);
            slot.last_chunk[way] = end;
            (over, slot.held[way].len())
        };
        let (over, length) = passage.shared.with(held).unwrap_or_default();
        self.recount(index);
        if over {
            return Err(self.overflow(index, limit));
        }
        if collects && !end {
            return Ok(());
        }
        self.call_body(index, length, end.then_some(End::Data))
    }

    pub(super) fn call_body(&mut self, index: usize, length: usize, ended: Option<End>) -> Result<()> {
        let (filter, way) = (self.stages[index].filter, self.way as usize);
        let passage = self.passage.clone();
        let member = &passage.filters[filter];
        let Some(running) = &member.running else { return self.without(index, Item::Data(Bytes::new(), false), None) };
        let open = member.plugin.settings.fail_open;
        let before_it = self.before(index);
        let look = |data: &mut Data| {
            let slot = &mut data.slots[filter];
            slot.resumed[way] = false;
            (slot.context, open.then(|| Bytes::copy_from_slice(slot.held[way].as_slice())))
        };
        let (context, before) = passage.shared.with(look).unwrap_or_default();
        let size = u32::try_from(length).unwrap_or(u32::MAX);
        let action = match running.call(context, Callback::Body(way, size, ended == Some(End::Data))) {
            Ok(action) => action,
            Err(Lost) => {
                passage.shared.with(|data| data.slots[filter].held[way].take());
                self.recount(index);
                let bytes = Item::Data(before.unwrap_or_default(), ended == Some(End::Data));
                return self.without(index, bytes, before_it);
            }
        };
        let mut after = 0;
        if self.interrupted(index, |data| after = data.slots[filter].held[way].len())? {
            return Ok(());
        }
        self.recount(index);
        if after != length && self.head_passed && self.promised.is_some() {
            let mend = "it changed the length of a body whose Content-Length had gone out; set rewrites_body = true";
            return Err(member.broke(mend));
        }
        if action == 0 {
            self.stages[index].paused = false;
            member.set_paused(false);
            self.emit(index, ended);
        } else {
            self.stages[index].paused = true;
            self.stages[index].ended = ended;
            member.set_paused(true);
        }
        Ok(())
    }

    pub(super) fn pass_trailers(&mut self, index: usize) -> Result<()> {
        let (filter, way) = (self.stages[index].filter, self.way as usize);
        if self.skips_body(index) {
            self.let_go(index);
            self.stages[index].out.push(Item::Trailers);
            return Ok(());
        }
        let passage = self.passage.clone();
        let member = &passage.filters[filter];
        let Some(running) = &member.running else { return self.without(index, Item::Trailers, None) };
        if self.stages[index].mode == BodyMode::Buffer {
            let length = passage.shared.with(|data| data.slots[filter].held[way].len()).unwrap_or(0);
            self.call_body(index, length, None)?;
            if self.skips_body(index) {
                // It failed open, or its reply stands in this place now.
                if member.skipped.get() {
                    self.stages[index].out.push(Item::Trailers);
                }
                return Ok(());
            }
        }
        let before = self.before(index);
        let look = |data: &mut Data| {
            let count = data.trailers[way].as_ref().map_or(0, http::HeaderMap::len);
            let slot = &mut data.slots[filter];
            slot.trailers_open[way] = true;
            slot.resumed[way] = false;
            (slot.context, u32::try_from(count).unwrap_or(u32::MAX))
        };
        let (context, count) = passage.shared.with(look).unwrap_or_default();
        let called = running.call(context, Callback::Trailers(way, count));
        let action = match called {
            Ok(action) => action,
            Err(Lost) => {
                if member.plugin.settings.fail_open {
                    self.let_go(index);
                }
                return self.without(index, Item::Trailers, before);
            }
        };
        if self.interrupted(index, |_| {})? {
            return Ok(());
        }
        if action == 0 {
            self.stages[index].paused = false;
            member.set_paused(false);
            self.emit(index, Some(End::Trailers));
        } else {
            self.stages[index].paused = true;
            self.stages[index].ended = Some(End::Trailers);
            member.set_paused(true);
        }
        Ok(())
    }

    pub(super) fn overflow(&self, index: usize, limit: usize) -> Error {
        let member = &self.passage.filters[self.stages[index].filter];
        member.shard(crate::metrics::FilterShard::overflow);
        let name = &member.plugin.settings.name;
        let (kind, setting) = match self.way {
            Way::Request => (Kind::ContentTooLarge, "request_buffer"),
            Way::Response => (Kind::ResponseTooLarge, "response_buffer"),
        };
        Error::new(kind, format!("filter={name} held more than limits.{setting}, {limit} bytes")).on(Side::Filter)
    }
}
