//! How a head leaves the filters, and what it promises of the body behind it.

use super::*;

impl Flow {
    /// Pulls until the head has passed every filter.
    pub(in crate::filters) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step>> {
        let last = self.stages.len();
        let item = match self.poll_stage(last, cx) {
            Poll::Ready(Ok(item)) => item,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending if self.replied => return Poll::Ready(Ok(Step::Reply)),
            Poll::Pending => return Poll::Pending,
        };
        debug_assert!(matches!(item, Item::Head(_)), "a head comes first");
        self.head_passed = true;
        self.done = matches!(item, Item::Head(true));
        self.promise();
        Poll::Ready(Ok(Step::Head))
    }

    /// Decides whether the next hop is told a length.
    pub(super) fn promise(&mut self) {
        let active = |index: &usize| !self.skips_body(*index);
        let touched = (0..self.stages.len()).any(|index| active(&index));
        let rewrites = (0..self.stages.len()).filter(active).any(|index| {
            let stage = &self.stages[index];
            stage.mode == BodyMode::Decoded || self.passage.filters[stage.filter].plugin.settings.rewrites_body
        });
        if !touched {
            self.leave_coded();
        }
        let way = self.way as usize;
        let began = self.source.has_begun();
        // A head that waited for its body knows what became of it, if all of it has come.
        let length = if began { self.gathered() } else { self.source.length() };
        self.put_coding_back(rewrites);
        if !touched {
            self.promised = length;
            return;
        }
        let done = self.done;
        let promised = self.passage.shared.with(|data| {
            let headers = &mut data.headers[way];
            let told = headers.get(header::CONTENT_LENGTH);
            let is_kept = told.is_some();
            if done {
                // To a HEAD, or of a 304: the length of a body that the filter would have changed.
                if rewrites && told.is_some_and(|told| told != "0") {
                    headers.remove(header::CONTENT_LENGTH);
                }
                return length;
            }
            let promised = length.filter(|_| began || (is_kept && !rewrites));
            match promised {
                Some(length) if is_kept => drop(headers.insert(header::CONTENT_LENGTH, length.into())),
                _ => drop(headers.remove(header::CONTENT_LENGTH)),
            }
            promised
        });
        self.promised = promised.flatten();
    }

    /// The length of a body that waits behind its head as a whole.
    pub(super) fn gathered(&self) -> Option<u64> {
        let out = &self.stages.last()?.out;
        let is_whole = matches!(out.iter().last(), Some(Item::Data(_, true) | Item::Trailers));
        let length = |item: &Item| if let Item::Data(bytes, _) = item { bytes.len() as u64 } else { 0 };
        (is_whole && self.coded.is_none()).then(|| out.iter().map(length).sum())
    }
}

pub(super) fn broken_promise() -> Error {
    Error::new(
        Kind::FilterFailed,
        "filters changed the length of a body whose Content-Length had gone out; set rewrites_body = true",
    )
}
