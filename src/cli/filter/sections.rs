//! What a module says of itself in its custom sections: who made it, what it needs of a machine.
//!
//! Reads the frame of the binary format only (WebAssembly core specification, 5.5). Whatever is not
//! as it should be ends the reading: what was found before counts.

/// Custom sections of a module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sections {
    /// `language`, `processed-by` and `sdk` of the producers, each with name and version.
    pub(super) producers: Vec<(String, String, String)>,
    /// Features of the target that were switched on.
    pub(super) features: Vec<String>,
    /// Bytes of all `.debug_…` sections.
    pub(super) debug_bytes: usize,
    /// Bytes of the names of functions, which traps are told with.
    pub(super) name_bytes: usize,
}

impl Sections {
    /// Reads `wasm`, a core module.
    pub(super) fn of(wasm: &[u8]) -> Self {
        let mut found = Self::default();
        let mut rest = Reader(wasm.get(8..).unwrap_or_default());
        while let Some((id, content)) = rest.section() {
            let mut content = Reader(content);
            if id != 0 {
                continue;
            }
            let Some(name) = content.text() else { break };
            match &*name {
                "producers" => found.producers = content.producers().unwrap_or_default(),
                "target_features" => found.features = content.features().unwrap_or_default(),
                "name" => found.name_bytes = content.0.len(),
                debug if debug.starts_with(".debug_") => found.debug_bytes += content.0.len(),
                _ => {}
            }
        }
        found
    }

    /// The value of a producers field, as `name version`.
    fn producer(&self, field: &str) -> Option<String> {
        let found = self.producers.iter().find(|(of, ..)| of == field)?;
        Some(format!("{} {}", found.1, found.2).trim_end().to_owned())
    }

    /// The language, as far as the module tells.
    pub(super) fn language(&self, exports: impl Fn(&str) -> bool) -> String {
        let guessed = if exports("__new") && exports("__pin") {
            "AssemblyScript"
        } else if exports("proxy_on_memory_allocate") && exports("malloc") && exports("_initialize") {
            "Go (TinyGo)"
        } else if exports("emscripten_stack_get_current") || exports("emscripten_stack_init") {
            "C++ (Emscripten)"
        } else {
            "unknown"
        };
        let told: Vec<String> =
            [self.producer("language"), self.producer("processed-by")].into_iter().flatten().collect();
        if told.is_empty() { guessed.to_owned() } else { told.join(", by ") }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn section(&mut self) -> Option<(u8, &'a [u8])> {
        let (&id, rest) = self.0.split_first()?;
        self.0 = rest;
        let size = self.number()?;
        Some((id, self.take(size)?))
    }

    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    /// An unsigned LEB128 of 32 bits.
    fn number(&mut self) -> Option<usize> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let &byte = self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).ok().map(|value| value as usize);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let size = self.number()?;
        Some(String::from_utf8_lossy(self.take(size)?).into_owned())
    }

    fn producers(&mut self) -> Option<Vec<(String, String, String)>> {
        let mut found = Vec::new();
        for _ in 0..self.number()? {
            let field = self.text()?;
            for _ in 0..self.number()? {
                found.push((field.clone(), self.text()?, self.text()?));
            }
        }
        Some(found)
    }

    fn features(&mut self) -> Option<Vec<String>> {
        let mut found = Vec::new();
        for _ in 0..self.number()? {
            let prefix = *self.take(1)?.first()?;
            let name = self.text()?;
            if prefix == b'+' {
                found.push(name);
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn producers_are_read() {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        let content = b"\x09producers\x01\x08language\x01\x04Rust\x04\x32\x30\x32\x34";
        wasm.extend([0, u8::try_from(content.len()).unwrap()]);
        wasm.extend(content);
        wasm.extend([0, 3, 2, b'.', b'x']);
        let sections = Sections::of(&wasm);
        assert_eq!(sections.producers, [("language".into(), "Rust".into(), "2024".into())]);
        assert_eq!(sections.language(|_| false), "Rust 2024");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>) {
            Sections::of(&[&b"\0asm\x01\0\0\0"[..], &bytes].concat());
        }
    }
}
