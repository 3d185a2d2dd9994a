//! One direction of one exchange on its way through the filters: heads, chunks, pauses, trailers.
//!
//! ```text
//!   source ─item─▶ stage ─item─▶ stage ─item─▶ head first, then whoever writes the body pulls
//!                    │ PAUSE: holds what came, keeps pulling (a body) or stops (a head)
//!                    └ continue_stream: everything held goes on
//! ```
//!
//! Items are pulled, so a filter that stops reading stops the sender (ABI, 9). Nothing is buffered
//! without a limit. It refuses to guess: an unknown action pauses.

mod coding;
mod head;
mod pass;
mod stage;

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{StatusCode, header};

use super::chain::{FilteredBody, Passage, is_grpc};
use super::codec::Decoder;
use super::plugin::BodyMode;
use super::source::Source;
use super::stream::{Data, Waiting, Way};
use crate::error::{Error, Kind, Result};
use crate::http::{Body, Frame, body};
use crate::io::clock::Watchdog;
use coding::{Coded, codings, take_coding};
use head::broken_promise;
use stage::Stage;

/// What moves from stage to stage.
#[derive(Debug)]
pub(super) enum Item {
    /// The head; whether nothing follows it.
    Head(bool),
    /// Bytes; whether they are the last of the message.
    Data(Bytes, bool),
    /// The trailers, which lie in the stream's data; nothing follows them.
    Trailers,
}

/// How a head leaves the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes on.
    Head,
    /// A filter answers itself.
    Reply,
}

/// One direction of one exchange.
pub(super) struct Flow {
    passage: Rc<Passage>,
    way: Way,
    source: Source,
    stages: Vec<Stage>,
    head_passed: bool,
    /// Since when the first of them waits for a filter.
    patience: Watchdog,
    replied: bool,
    done: bool,
    /// The length that was promised to the next hop.
    promised: Option<u64>,
    coded: Option<Coded>,
    /// What follows the last bytes of an encoder.
    last: Option<Item>,
}

/// What a stage that waits finds.
enum Look {
    Resumed,
    Replied,
    Nothing,
}

impl Flow {
    /// The request's way, through all filters.
    pub(super) fn new(passage: Rc<Passage>, way: Way, body: Body, ended: bool) -> Self {
        let order = 0..passage.filters.len();
        Self::through(passage, way, body, ended, order)
    }

    /// The response's way, from the filter before `from` back to the first.
    pub(super) fn response(passage: Rc<Passage>, body: Body, ended: bool, from: usize) -> Self {
        Self::through(passage, Way::Response, body, ended, (0..from).rev())
    }

    fn through(
        passage: Rc<Passage>,
        way: Way,
        body: Body,
        ended: bool,
        order: impl Iterator<Item = usize> + Clone,
    ) -> Self {
        let wanted = |filter: usize| passage.filters[filter].plugin.settings.bodies[way as usize];
        let is_whole = |mode| matches!(mode, BodyMode::Buffer | BodyMode::Decoded);
        // The bytes of a WebSocket have no end to wait for and no content coding.
        let is_websocket = order.clone().any(|filter| is_whole(wanted(filter))) && is_websocket(&passage, way);
        let decodes = !ended && !is_websocket && order.clone().any(|filter| wanted(filter) == BodyMode::Decoded);
        let (codings, decodable) = if decodes { codings(&passage, way) } else { (Vec::new(), true) };
        let stages = order.map(|filter| {
            let mode = match wanted(filter) {
                mode if is_websocket && is_whole(mode) => BodyMode::Off,
                BodyMode::Decoded if !decodable => BodyMode::Off,
                mode => mode,
            };
            Stage::new(filter, mode)
        });
        let stages: Vec<Stage> = stages.collect();
        let decoder = (!codings.is_empty()).then(|| Decoder::new(&codings));
        let source = Source::new(body, ended, way, decoder);
        let coded = take_coding(&passage, way, &codings);
        Self {
            passage,
            way,
            source,
            stages,
            head_passed: false,
            patience: Watchdog::default(),
            replied: false,
            done: false,
            promised: None,
            coded,
            last: None,
        }
    }

    /// The body behind the head: the source itself when no filter wants to see it.
    pub(super) fn into_body(mut self) -> Body {
        if self.done {
            return Body::Empty;
        }
        let is_idle = |index: usize| self.skips_body(index) && self.stages[index].out.is_empty();
        if (0..self.stages.len()).all(is_idle)
            && let Some(body) = self.source.take_untouched()
        {
            return body;
        }
        Body::Boxed(Box::pin(FilteredBody(self.into())))
    }

    /// The next frame of the body.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        loop {
            if self.done {
                return Poll::Ready(None);
            }
            let next = match self.last.take() {
                Some(item) => Ok(item),
                None => ready!(self.poll_stage(self.stages.len(), cx)).and_then(|item| self.encode(item)),
            };
            let item = match next {
                Ok(item) => item,
                Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
            };
            match item {
                Item::Head(_) => {}
                Item::Data(bytes, end) => {
                    self.done = end;
                    if let Some(promised) = self.promised {
                        let left = promised.checked_sub(bytes.len() as u64).filter(|left| !end || *left == 0);
                        self.promised = left;
                        if left.is_none() {
                            return Poll::Ready(Some(Err(self.fail(broken_promise()))));
                        }
                    }
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(body::data(bytes))));
                    }
                }
                Item::Trailers if self.promised.is_some_and(|left| left > 0) => {
                    return Poll::Ready(Some(Err(self.fail(broken_promise()))));
                }
                Item::Trailers => {
                    self.done = true;
                    let way = self.way as usize;
                    let trailers = self.passage.shared.with(|data| data.trailers[way].clone()).flatten();
                    return Poll::Ready(
                        trailers.filter(|fields| !fields.is_empty()).map(|fields| Ok(body::trailers(fields))),
                    );
                }
            }
        }
    }

    /// The body ends with an error, which the corridor is to answer with: of a request's body the relay
    /// would only say that it broke off.
    fn fail(&mut self, error: Error) -> Error {
        self.done = true;
        if self.way == Way::Request {
            self.passage.shared.with(|data| {
                data.fault.get_or_insert_with(|| error.clone());
                data.wake();
            });
        }
        error
    }

    /// Whether nothing is left.
    pub(super) fn is_ended(&self) -> bool {
        self.done
    }

    /// The bytes that are left, when the next hop was promised them.
    pub(super) fn length(&self) -> Option<u64> {
        if self.done { Some(0) } else { self.promised }
    }

    /// The next item out of the first `count` stages.
    fn poll_stage(&mut self, count: usize, cx: &mut Context<'_>) -> Poll<Result<Item>> {
        let Some(index) = count.checked_sub(1) else { return self.source.poll_item(&self.passage.shared, cx) };
        loop {
            if let Some(item) = self.stages[index].out.pop() {
                return Poll::Ready(Ok(item));
            }
            if self.replied && self.way == Way::Request {
                // The corridor takes the reply and drops this flow.
                return Poll::Pending;
            }
            let stage = &self.stages[index];
            if stage.stopped.is_some() || stage.paused {
                match self.look(index, cx)? {
                    Look::Resumed => {
                        self.release(index);
                        continue;
                    }
                    Look::Replied => continue,
                    Look::Nothing => {}
                }
                let stage = &self.stages[index];
                if stage.stopped.is_some() || stage.ended.is_some() {
                    ready!(self.poll_patience(index, cx));
                    let member = &self.passage.filters[self.stages[index].filter];
                    let mend = "it paused for twice limits.http_call_timeout and did not go on";
                    return Poll::Ready(Err(member.broke(mend)));
                }
            }
            let item = ready!(self.poll_stage(index, cx))?;
            match item {
                Item::Head(end) => self.pass_head(index, end)?,
                Item::Data(bytes, end) => self.pass_data(index, bytes, end)?,
                Item::Trailers => self.pass_trailers(index)?,
            }
        }
    }

    /// How long a filter may leave a message waiting: for two calls out, one after the other. Without
    /// an end a client that has left would not be noticed, and what it left would stay.
    fn poll_patience(&mut self, index: usize, cx: &mut Context<'_>) -> Poll<()> {
        let plugin = &self.passage.filters[self.stages[index].filter].plugin;
        self.patience.arm_once(plugin.settings.limits.http_call_timeout * 2);
        self.patience.poll_elapsed(cx)
    }

    /// Whether something has happened that a waiting stage waits for.
    fn look(&mut self, index: usize, cx: &Context<'_>) -> Result<Look> {
        let (filter, way) = (self.stages[index].filter, self.way as usize);
        let waiting = if self.way == Way::Request { Waiting::Request } else { Waiting::Response };
        let look = |data: &mut Data| {
            data.wait(waiting, cx);
            let slot = &mut data.slots[filter];
            (std::mem::take(&mut slot.resumed[way]), slot.lost)
        };
        let (resumed, lost) = self.passage.shared.with(look).unwrap_or_default();
        self.passage.closed()?;
        if self.take_reply(index) {
            return Ok(Look::Replied);
        }
        if lost {
            self.passage.filters[filter].failed()?;
            return Ok(Look::Resumed);
        }
        Ok(if resumed { Look::Resumed } else { Look::Nothing })
    }

    /// Puts a reply in the place of what was on its way. Of a request the corridor does that.
    fn take_reply(&mut self, index: usize) -> bool {
        if self.way == Way::Request {
            self.replied = self.passage.shared.with(|data| data.reply.is_some()).unwrap_or(false);
            return self.replied;
        }
        if self.head_passed {
            return false;
        }
        let taken = self.passage.shared.with(|data| data.reply.take()).flatten();
        let Some((filter, reply)) = taken else { return false };
        let grpc = self.passage.shared.with(|data| is_grpc(&data.headers[0])).unwrap_or(false);
        let (status, headers, body) = self.passage.answer(filter, reply, grpc);
        self.passage.shared.with(|data| {
            data.status = Some(status);
            data.headers[1] = headers;
            data.trailers[1] = None;
        });
        let bytes = if let Body::Full(bytes) = body { bytes } else { Bytes::new() };
        self.source.replace(bytes.clone());
        self.coded = None;
        // The filter itself sees no more of this response (ABI, 10), nor do those behind it, which
        // stand before it on this way; those before it see all of it.
        let at = self.stages.iter().position(|stage| stage.filter == filter).map_or(index, |at| at.max(index));
        for passed in 0..=at {
            let filter = self.stages[passed].filter;
            self.passage.shared.with(|data| {
                let slot = &mut data.slots[filter];
                slot.held[1].take();
                (slot.head_open[1], slot.last_chunk[1], slot.trailers_open[1]) = (false, false, false);
            });
            self.recount(passed);
            self.passage.filters[filter].set_paused(false);
            self.stages[passed] = Stage::new(filter, BodyMode::Off);
        }
        self.stages[at].out.push(Item::Head(bytes.is_empty()));
        true
    }
}

fn is_websocket(passage: &Passage, way: Way) -> bool {
    let look = |data: &mut Data| match way {
        Way::Request => data.is_websocket,
        Way::Response => data.status == Some(StatusCode::SWITCHING_PROTOCOLS),
    };
    passage.shared.with(look).unwrap_or(false)
}

impl Drop for Flow {
    /// What is still held goes with the request.
    fn drop(&mut self) {
        let way = self.way as usize;
        for stage in &self.stages {
            let member = &self.passage.filters[stage.filter];
            if stage.mode != BodyMode::Off {
                self.passage.shared.with(|data| data.slots[stage.filter].held[way].take());
            }
            if stage.counted > 0 {
                member.shard(|shard| shard.buffered(-i64::try_from(stage.counted).unwrap_or(0)));
            }
            if stage.paused || stage.stopped.is_some() {
                member.set_paused(false);
            }
        }
    }
}
