//! Sixteen bytes compared at once: vectors of Wasm in the sandbox, pairs of words elsewhere.
//!
//! Every turn of a loop in the sandbox pays a look at the deadline, so fewer turns count twice there.
//! It refuses to read memory itself: callers hand it arrays, whose bounds are checked.

/// So many bytes are compared at once.
pub(crate) const LANES: usize = 16;

#[cfg(target_arch = "wasm32")]
mod vector {
    use core::arch::wasm32::{i8x16_splat, u8x16_bitmask, u8x16_eq, u8x16_le, v128, v128_and, v128_load, v128_or};

    pub(super) type Vector = v128;

    #[allow(unsafe_code, reason = "made of two words, which is safe, a vector takes three instructions to load")]
    #[inline]
    pub(super) fn load(bytes: &[u8; super::LANES]) -> Vector {
        // SAFETY: sixteen bytes are there to be read, and `v128.load` asks for no alignment.
        unsafe { v128_load(bytes.as_ptr().cast()) }
    }
    #[inline]
    pub(super) fn equal(vector: Vector, byte: u8) -> Vector {
        u8x16_eq(vector, i8x16_splat(byte as i8))
    }
    #[inline]
    pub(super) fn at_most(vector: Vector, byte: u8) -> Vector {
        u8x16_le(vector, i8x16_splat(byte as i8))
    }
    #[inline]
    pub(super) fn with_bits(vector: Vector, byte: u8) -> Vector {
        v128_or(vector, i8x16_splat(byte as i8))
    }
    #[inline]
    pub(super) fn or(a: Vector, b: Vector) -> Vector {
        v128_or(a, b)
    }
    #[inline]
    pub(super) fn and(a: Vector, b: Vector) -> Vector {
        v128_and(a, b)
    }
    #[inline]
    pub(super) fn bits(vector: Vector) -> u16 {
        u8x16_bitmask(vector)
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod vector {
    /// The two halves. Of what was found, the high bit of each byte.
    pub(super) type Vector = [u64; 2];

    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    #[inline]
    pub(super) fn load(bytes: &[u8; super::LANES]) -> Vector {
        let all = u128::from_le_bytes(*bytes);
        [all as u64, (all >> 64) as u64]
    }
    /// No byte carries into the next one.
    #[inline]
    pub(super) fn equal(vector: Vector, byte: u8) -> Vector {
        let zero = |word: u64| !(((word & !HIGHS) + !HIGHS) | word) & HIGHS;
        vector.map(|word| zero(word ^ (ONES * u64::from(byte))))
    }
    /// Of a byte below 0x80.
    #[inline]
    pub(super) fn at_most(vector: Vector, byte: u8) -> Vector {
        vector.map(|word| !(((word & !HIGHS) + ONES * u64::from(0x7f - byte)) | word) & HIGHS)
    }
    #[inline]
    pub(super) fn with_bits(vector: Vector, byte: u8) -> Vector {
        vector.map(|word| word | (ONES * u64::from(byte)))
    }
    #[inline]
    pub(super) fn or(a: Vector, b: Vector) -> Vector {
        [a[0] | b[0], a[1] | b[1]]
    }
    #[inline]
    pub(super) fn and(a: Vector, b: Vector) -> Vector {
        [a[0] & b[0], a[1] & b[1]]
    }
    #[inline]
    pub(super) fn bits(vector: Vector) -> u16 {
        // A multiplication gathers the high bits of eight bytes.
        let [low, high] = vector.map(|word| word.wrapping_mul(0x0002_0408_1020_4081) >> 56);
        (high << 8 | low) as u16
    }
}

/// Sixteen bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes(vector::Vector);

/// Which of sixteen bytes are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found(vector::Vector);

impl Lanes {
    #[inline]
    pub(crate) fn of(bytes: &[u8; LANES]) -> Self {
        Lanes(vector::load(bytes))
    }

    #[inline]
    pub(crate) fn equal(self, byte: u8) -> Found {
        Found(vector::equal(self.0, byte))
    }

    /// Of a byte below 0x80.
    #[inline]
    pub(crate) fn at_most(self, byte: u8) -> Found {
        Found(vector::at_most(self.0, byte))
    }

    /// These bits set in every byte: with `0x20`, letters are small.
    #[inline]
    pub(crate) fn with_bits(self, bits: u8) -> Self {
        Lanes(vector::with_bits(self.0, bits))
    }
}

impl Found {
    #[inline]
    pub(crate) fn or(self, other: Found) -> Self {
        Found(vector::or(self.0, other.0))
    }

    #[inline]
    pub(crate) fn and(self, other: Found) -> Self {
        Found(vector::and(self.0, other.0))
    }

    /// One bit for each byte, the lowest for the first.
    #[inline]
    pub(crate) fn bits(self) -> u16 {
        vector::bits(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_say_what_a_loop_says(bytes: [u8; LANES], near in 0..LANES, also: u8) {
            let lanes = Lanes::of(&bytes);
            let bits = |is: &dyn Fn(u8) -> bool| (0..LANES).fold(0, |bits, i| bits | u16::from(is(bytes[i])) << i);
            for byte in [bytes[near], also] {
                prop_assert_eq!(lanes.equal(byte).bits(), bits(&|lane| lane == byte));
                let most = byte & 0x7f;
                prop_assert_eq!(lanes.at_most(most).bits(), bits(&|lane| lane <= most));
                let small = lanes.with_bits(0x20).equal(byte | 0x20);
                prop_assert_eq!(small.bits(), bits(&|lane| lane | 0x20 == byte | 0x20));
                prop_assert_eq!(lanes.equal(byte).or(small).bits(), small.bits());
                prop_assert_eq!(lanes.equal(byte).and(small).bits(), lanes.equal(byte).bits());
            }
        }
    }
}
