//! hpack/2–6: a block that cannot be decoded ends the connection (RFC 7541; RFC 9113, 4.3).

use super::Verdict::Connection;
use super::{Case, case, coded};
use crate::frames::{COMPRESSION_ERROR, integer};

pub(super) fn cases() -> Vec<Case> {
    [decoding_errors()].concat()
}

fn decoding_errors() -> Vec<Case> {
    // The first is a literal without indexing of a new name, `x-test` in Huffman coding.
    const NAME: &[u8] = b"\x00\x85\xf2\xb2\x4a\x84\xff";
    let huffman = |value: &[u8]| coded(b"", &[NAME, value].concat());
    let larger = integer(0x20, 5, 4097);
    let broken = || Connection(&[COMPRESSION_ERROR]);
    vec![
        case("hpack/2.3.3/1", "an index beyond the tables, field", [coded(b"", b"\xfe")], broken()),
        case("hpack/2.3.3/2", "an index beyond the tables, name", [coded(b"", b"\x7f\x00\x04test")], broken()),
        case("hpack/4.2/1", "a table size update at the end", [coded(b"", b"\x21")], broken()),
        case("hpack/5.2/1", "padding longer than 7 bits", [huffman(b"\x84\x49\x50\x9f\xff")], broken()),
        case("hpack/5.2/2", "padding of zeros", [huffman(b"\x83\x49\x50\x90")], broken()),
        case("hpack/5.2/3", "the EOS symbol", [huffman(b"\x87\xff\xff\xff\xfd\x25\x42\x7f")], broken()),
        case("hpack/6.1/1", "index 0", [coded(b"", b"\x80")], broken()),
        case("hpack/6.3/1", "a table size above SETTINGS_HEADER_TABLE_SIZE", [coded(&larger, b"")], broken()),
    ]
}
