//! Header blocks by hand (RFC 7541): literals without indexing out, a status in. It refuses to keep a dynamic table.

/// A block of `fields`, in this order, each a literal without indexing.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect()
}

/// RFC 7541, 6.2.2: literal without indexing, new name, no Huffman coding.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &integer(0, 7, name.len()), name, &integer(0, 7, value.len()), value].concat()
}

/// RFC 7541, 5.1: `value` with a prefix of `bits` bits, whose byte begins with `mark`.
pub fn integer(mark: u8, bits: u32, mut value: usize) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if value < most {
        return vec![mark | u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![mark | u8::try_from(most).unwrap()];
    value -= most;
    while value >= 128 {
        bytes.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// The status a header block begins with: indexed, or a literal whose digits may be Huffman-coded (RFC 7541, A and B).
/// The first response of a connection has nothing in the dynamic table yet; one that names an entry of it comes out
/// as 0.
pub fn status(block: &[u8]) -> u16 {
    let at = usize::from(block[0] & 0xe0 == 0x20); // a table size update may come first
    match block[at] {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        named if named & 0x80 != 0 => 0,
        _ => {
            let (huffman, length) = (block[at + 1] & 0x80 != 0, usize::from(block[at + 1] & 0x7f));
            let text = &block[at + 2..at + 2 + length];
            if huffman { huffman_digits(text) } else { String::from_utf8_lossy(text).into_owned() }.parse().unwrap()
        }
    }
}

/// Digits only: `0`–`2` are 00000–00010, `3`–`9` are 011001–011111.
fn huffman_digits(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut rest = bits.as_str();
    let mut digits = String::new();
    for _ in 0..3 {
        let long = rest.starts_with("011");
        let (code, tail) = rest.split_at(if long { 6 } else { 5 });
        let value = u32::from_str_radix(code, 2).unwrap();
        digits.push(char::from_digit(if long { value - 0b011001 + 3 } else { value }, 10).unwrap());
        rest = tail;
    }
    digits
}
