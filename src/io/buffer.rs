//! One scratch read buffer per thread, so that an idle connection pins no memory for reading.
//!
//! A reader borrows the scratch for the length of one non-blocking read and must copy or decrypt
//! what it wants before giving it back; it refuses nested borrows by handing out a fresh buffer.

use std::cell::RefCell;

/// 64 KiB: four full TLS records, and what one `recv` of a busy loopback socket returns.
pub const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs `read` with the thread's scratch buffer of [`SCRATCH_BYTES`] bytes.
///
/// The content of the buffer on entry is unspecified.
pub fn with_scratch<R>(read: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with(|cell| match cell.try_borrow_mut() {
        Ok(mut buffer) => {
            buffer.resize(SCRATCH_BYTES, 0);
            read(&mut buffer)
        }
        Err(_) => read(&mut vec![0; SCRATCH_BYTES]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_borrow_gets_a_buffer_of_its_own() {
        with_scratch(|outer| {
            outer[0] = 7;
            with_scratch(|inner| inner[0] = 9);
            assert_eq!(outer[0], 7);
        });
    }
}
