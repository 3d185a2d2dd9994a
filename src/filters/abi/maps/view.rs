//! A header map as a guest sees it: pseudo-headers first, credentials hidden, bytes shown as its filter wants them.

use super::*;

/// A name, and a value in the bytes its filter wants.
type Shown<'a> = (&'a [u8], Cow<'a, [u8]>);

/// A map as the guest sees it.
pub(super) struct View<'a> {
    pub(super) pseudo: [Option<(&'static str, &'a [u8])>; 4],
    pub(super) fields: &'a HeaderMap,
    pub(super) settings: &'a Settings,
}

impl<'a> View<'a> {
    /// `None` for a map that is not available now.
    pub(super) fn of(state: &'a State, kind: MapKind) -> Option<Self> {
        let settings = &state.plugin.settings;
        let none = [None; 4];
        let (pseudo, fields) = match kind {
            MapKind::RequestHeaders => {
                let data = state.stream()?;
                let pseudo = [
                    Some((":authority", data.authority.as_bytes())),
                    Some((":path", data.path.as_str().as_bytes())),
                    Some((":method", data.method.as_str().as_bytes())),
                    Some((":scheme", data.facts.scheme.as_bytes())),
                ];
                (pseudo, &data.headers[0])
            }
            MapKind::ResponseHeaders => {
                let data = state.stream()?;
                let status = data.status.as_ref()?.as_str().as_bytes();
                ([Some((":status", status)), None, None, None], &data.headers[1])
            }
            MapKind::RequestTrailers => (none, state.stream()?.trailers[0].as_ref()?),
            MapKind::ResponseTrailers => (none, state.stream()?.trailers[1].as_ref()?),
            MapKind::CallResponseHeaders => {
                let call = state.call.as_deref()?;
                let status = call.status.as_ref().map(|status| (":status", status.as_str().as_bytes()));
                ([status, None, None, None], &call.headers)
            }
            MapKind::CallResponseTrailers => (none, &state.call.as_deref()?.trailers),
            MapKind::Grpc => return None,
        };
        Some(Self { pseudo, fields, settings })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let settings = self.settings;
        let pseudo = self.pseudo.into_iter().flatten().map(|(name, value)| (name.as_bytes(), value));
        let seen = self.fields.iter().filter(|(name, _)| !hidden(settings, name));
        pseudo.chain(seen.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
    }

    /// The pairs with the bytes the filter is to see, if they differ from those that are there.
    pub(super) fn shown(&self) -> Option<Vec<Shown<'a>>> {
        if self.settings.header_bytes == HeaderBytes::Raw || self.iter().all(|(_, value)| is_utf8(value)) {
            return None;
        }
        Some(self.iter().map(|(name, value)| (name, lossy(value))).collect())
    }

    pub(super) fn value(&self, name: &[u8]) -> Option<Cow<'a, [u8]>> {
        if name.first() == Some(&b':') {
            let found = self.pseudo.iter().flatten().find(|(pseudo, _)| pseudo.as_bytes() == name);
            return found.map(|(_, value)| Cow::Borrowed(*value));
        }
        let name = HeaderName::from_bytes(name).ok()?;
        if hidden(self.settings, &name) {
            return None;
        }
        let value = self.fields.get(&name)?.as_bytes();
        Some(if self.settings.header_bytes == HeaderBytes::Raw { Cow::Borrowed(value) } else { lossy(value) })
    }

    pub(super) fn size(&self) -> usize {
        match self.shown() {
            None => pairs::size(self.iter()),
            Some(shown) => pairs::size(shown.iter().map(|(name, value)| (*name, &**value))),
        }
    }

    pub(super) fn write(&self, to: &mut [u8]) {
        match self.shown() {
            None => pairs::write(|| self.iter(), to),
            Some(shown) => pairs::write(|| shown.iter().map(|(name, value)| (*name, &**value)), to),
        }
    }
}

pub(super) fn is_utf8(value: &[u8]) -> bool {
    value.is_ascii() || std::str::from_utf8(value).is_ok()
}

/// The bytes with U+FFFD for what is no UTF-8 (ABI, 21 item 11).
pub(super) fn lossy(value: &[u8]) -> Cow<'_, [u8]> {
    if value.is_ascii() {
        return Cow::Borrowed(value);
    }
    match String::from_utf8_lossy(value) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// A key, copied out of the guest: names are short, and then this costs no allocation.
pub(super) struct Key {
    pub(super) short: [u8; 64],
    pub(super) length: usize,
    pub(super) long: Vec<u8>,
}

impl Key {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut key = Self { short: [0; 64], length: bytes.len(), long: Vec::new() };
        match key.short.get_mut(..bytes.len()) {
            Some(place) => place.copy_from_slice(bytes),
            None => key.long = bytes.to_vec(),
        }
        key
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.short.get(..self.length).unwrap_or(&self.long)
    }
}

/// Whether [`View::size`] of a map is to be known before it is written; the same walk twice.
pub(super) fn map_size(state: &State, kind: MapKind) -> usize {
    View::of(state, kind).map_or(0, |view| view.size())
}

/// The value of `name` as the filter sees it; for properties.
pub(in crate::filters) fn shown_value(state: &State, kind: MapKind, name: &[u8]) -> Option<Vec<u8>> {
    let lower = name.to_ascii_lowercase();
    View::of(state, kind).and_then(|view| view.value(&lower).map(Cow::into_owned))
}

/// All pairs as the filter sees them, serialised; for properties.
pub(in crate::filters) fn serialised(state: &State, kind: MapKind) -> Vec<u8> {
    let Some(view) = View::of(state, kind) else { return Vec::new() };
    let mut list = vec![0; view.size()];
    view.write(&mut list);
    list
}
