//! A header map as a guest sees it: pseudo-headers first, credentials hidden, bytes shown as its filter wants them.

use super::*;

/// A name, and a value in the bytes its filter wants.
type Shown<'a> = (&'a [u8], Cow<'a, [u8]>);

/// A map as the guest sees it.
pub(super) struct View<'a> {
    pub(super) pseudo: [Option<(&'static str, &'a [u8])>; 4],
    pub(super) fields: &'a HeaderMap,
    pub(super) plugin: &'a Plugin,
}

impl<'a> View<'a> {
    /// `None` for a map that is not available now.
    pub(super) fn of(state: &'a State, kind: MapKind) -> Option<Self> {
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
        Some(Self { pseudo, fields, plugin: &state.plugin })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let protection = &self.plugin.protection;
        let pseudo = self.pseudo.into_iter().flatten().map(|(name, value)| (name.as_bytes(), value));
        let seen = self.fields.iter().filter(|(name, _)| !protection.hides(name));
        pseudo.chain(seen.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
    }

    /// The pairs with the bytes the filter is to see, if they differ from those that are there.
    pub(super) fn shown(&self) -> Option<Vec<Shown<'a>>> {
        if self.plugin.settings.header_bytes == HeaderBytes::Raw || self.iter().all(|(_, value)| is_utf8(value)) {
            return None;
        }
        Some(self.iter().map(|(name, value)| (name, lossy(value))).collect())
    }

    pub(super) fn value(&self, key: &Key) -> Option<Cow<'a, [u8]>> {
        let name = match key {
            Key::Pseudo(name) => {
                let found = self.pseudo.iter().flatten().find(|(pseudo, _)| pseudo == name);
                return found.map(|(_, value)| Cow::Borrowed(*value));
            }
            Key::Field(name) => name,
        };
        let value = self.fields.get(name)?.as_bytes();
        let raw = self.plugin.settings.header_bytes == HeaderBytes::Raw;
        Some(if raw { Cow::Borrowed(value) } else { lossy(value) })
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

/// What a guest asks for by a name.
pub(super) enum Key {
    Pseudo(&'static str),
    Field(HeaderName),
}

impl Key {
    /// `None`: there is no such name, or the filter does not see it.
    pub(super) fn read(state: &mut State, text: &[u8]) -> Option<Self> {
        if text.first() == Some(&b':') {
            return Self::pseudo(text);
        }
        state.name(text).filter(|named| !named.hidden).map(|named| Self::Field(named.name))
    }

    fn pseudo(text: &[u8]) -> Option<Self> {
        let all = [":authority", ":path", ":method", ":scheme", ":status"];
        all.into_iter().find(|name| name.as_bytes() == text).map(Self::Pseudo)
    }
}

/// Whether [`View::size`] of a map is to be known before it is written; the same walk twice.
pub(super) fn map_size(state: &State, kind: MapKind) -> usize {
    View::of(state, kind).map_or(0, |view| view.size())
}

/// The value of `name` as the filter sees it; for properties.
pub(in crate::filters) fn shown_value(state: &State, kind: MapKind, name: &[u8]) -> Option<Vec<u8>> {
    let key = match HeaderName::from_bytes(name) {
        Ok(name) if state.plugin.protection.hides(&name) => return None,
        Ok(name) => Key::Field(name),
        Err(_) => Key::pseudo(&name.to_ascii_lowercase())?,
    };
    View::of(state, kind).and_then(|view| view.value(&key).map(Cow::into_owned))
}

/// All pairs as the filter sees them, serialised; for properties.
pub(in crate::filters) fn serialised(state: &State, kind: MapKind) -> Vec<u8> {
    let Some(view) = View::of(state, kind) else { return Vec::new() };
    let mut list = vec![0; view.size()];
    view.write(&mut list);
    list
}
