//! Inputs made of seeds: windows put together, then words of the grammar, holes, cuts and bytes.
//!
//! A sequence for each seed number, so that a finding is a number. Used by the bounded run of
//! `cargo test` and by `filters/link-translation/examples/fuzz`; under cargo-fuzz libFuzzer does this
//! instead. It refuses to know what is valid.

/// SplitMix64: a sequence for each seed, and nothing secret.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `limit` - 1; 0 for a limit of 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % limit.max(1)
    }
}

/// One to three windows of `seeds`, a third of them from the beginning, with up to 13 changes.
pub fn mutated(seeds: &[Vec<u8>], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..=random.below(3) {
        let seed = &seeds[random.below(seeds.len())];
        let start = if random.below(3) == 0 { 0 } else { random.below(seed.len()) };
        let length = random.below(600);
        input.extend(seed.iter().skip(start).take(length));
    }
    changed(&mut input, words, 12, random);
    input
}

/// Up to `most` + 1 changes of `input`.
pub fn changed(input: &mut Vec<u8>, words: &[&str], most: usize, random: &mut Random) {
    for _ in 0..=random.below(most) {
        let at = random.below(input.len() + 1);
        match random.below(8) {
            0..5 if !words.is_empty() => drop(input.splice(at..at, words[random.below(words.len())].bytes())),
            5 => input.truncate(at.max(1)),
            6 => drop(input.splice(at..(at + random.below(9)).min(input.len()), [])),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = u8::try_from(random.below(256)).unwrap_or_default();
                }
            }
        }
    }
}
