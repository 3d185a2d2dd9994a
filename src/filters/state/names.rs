//! Field names as a guest writes them, read once: a filter names the same few fields in every request.

use http::HeaderName;

use crate::filters::concern::spread;
use crate::filters::protection::Protection;

/// Names that are remembered, each in a place of its own; two that fall on one place take turns.
const PLACES: usize = 32;

/// A longer name is read each time, so that a guest cannot make the host keep much.
const LENGTH_MAX: usize = 64;

/// A name, and what the filter may do to it.
#[derive(Clone, Debug)]
pub struct Named {
    /// The name.
    pub name: HeaderName,
    /// The filter does not see it.
    pub hidden: bool,
    /// The filter may not write it.
    pub barred: bool,
}

/// The names a VM has used.
#[derive(Default)]
pub struct Names([Option<(Box<[u8]>, Named)>; PLACES]);

impl Names {
    /// What `text` names; `None`: it is no token (RFC 9110, 5.1).
    pub fn read(&mut self, text: &[u8], protection: &Protection) -> Option<Named> {
        let place = &mut self.0[spread(text) % PLACES];
        if let Some((known, named)) = place
            && **known == *text
        {
            return Some(named.clone());
        }
        let name = HeaderName::from_bytes(text).ok()?;
        let named = Named { hidden: protection.hides(&name), barred: protection.bars(&name), name };
        if text.len() <= LENGTH_MAX {
            *place = Some((text.into(), named.clone()));
        }
        Some(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against reading each time.
        #[test]
        fn what_is_remembered_is_what_is_read(texts in prop::collection::vec("[a-cA-C:=]{0,3}|cookie|x-request-id|[a-z]{60,70}", 0..64)) {
            let (mut names, protection) = (Names::default(), Protection::without(&[]));
            for text in texts {
                let read = names.read(text.as_bytes(), &protection).map(|named| (named.name, named.hidden, named.barred));
                let fresh = HeaderName::from_bytes(text.as_bytes()).ok();
                let fresh = fresh.map(|name| (name.clone(), protection.hides(&name), protection.bars(&name)));
                prop_assert_eq!(read, fresh, "{}", text);
            }
        }
    }
}
