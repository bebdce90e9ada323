//! Packed bytes. Pure; the only module that knows how they are packed.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::{DeflateDecoder, GzDecoder};
use flate2::write::DeflateEncoder;

/// Fewer bytes that say the same.
pub(crate) fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).ok()?;
    let mut out = encoder.finish().ok()?;
    out.shrink_to_fit();
    Some(out)
}

/// What was packed, of a length that is known.
pub(crate) fn unpack(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let most = u64::try_from(length).ok()?.saturating_add(1);
    let mut out = Vec::with_capacity(length);
    DeflateDecoder::new(packed)
        .take(most)
        .read_to_end(&mut out)
        .ok()?;
    (out.len() == length).then_some(out)
}

/// The text of a gzip file, at most so long.
pub(crate) fn gunzip(file: &[u8], most: u64) -> Option<String> {
    let mut text = String::new();
    let mut reader = GzDecoder::new(file).take(most);
    reader.read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..5_000)) {
            let packed = pack(&bytes).unwrap();
            prop_assert_eq!(unpack(&packed, bytes.len()), Some(bytes));
        }
    }

    #[test]
    fn what_has_another_length_or_is_no_packed_text_is_refused() {
        let packed = pack(b"a text").unwrap();
        assert_eq!(unpack(&packed, 7), None);
        assert_eq!(unpack(&packed, 5), None);
        assert_eq!(unpack(b"\xff\xff", 6), None);
        assert_eq!(gunzip(b"no gzip", 10), None);
    }
}
