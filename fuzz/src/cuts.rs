//! The ways an input is cut: bytes of a connection may arrive in any pieces, and no piece may change what they mean.

/// Places at which an input is cut in two, at most.
const PLACES: usize = 24;

/// The pieces of `input` in each way that is tried: whole, byte by byte, in two at places spread over it.
pub fn of(input: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let step = input.len().div_ceil(PLACES).max(1);
    // Not always at multiples of the step: where it begins depends on the input.
    let first = input.iter().fold(input.len(), |sum, &byte| sum * 31 % 8191 + usize::from(byte)) % step;
    let whole = std::iter::once(vec![input]);
    let bytes = std::iter::once(input.chunks(1).collect());
    let halves = (first..input.len()).step_by(step).map(|at| vec![&input[..at], &input[at..]]);
    whole.chain(bytes).chain(halves)
}
