//! Round trips, streams cut and broken at every place, and bombs.

use super::decode::{BOMB_FREE_BYTES, BOMB_RATIO, PIECE_BYTES};
use super::*;
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use proptest::prelude::*;

const STACKS: [&[Coding]; 8] = [
    &[],
    &[Coding::Gzip],
    &[Coding::Deflate],
    &[Coding::Brotli],
    &[Coding::Zstd],
    &[Coding::Gzip, Coding::Brotli],
    &[Coding::Zstd, Coding::Deflate, Coding::Gzip],
    &[Coding::Brotli, Coding::Brotli, Coding::Zstd],
];

fn encode(codings: &[Coding], body: &[u8]) -> Vec<u8> {
    let mut output = BytesMut::new();
    let mut encoder = Encoder::new(codings, Levels::default()).unwrap();
    encoder.write(body, &mut output).unwrap();
    encoder.finish(&mut output).unwrap();
    output.to_vec()
}

/// Decodes chunk by chunk; the pieces that came before an error are returned with it.
fn decode_chunks<'a>(
    decoder: &mut Decoder,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Option<DecodeError>) {
    let mut decoded = Vec::new();
    for chunk in chunks {
        let mut input = Bytes::copy_from_slice(chunk);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(piece)) => {
                    assert!(piece.len() <= PIECE_BYTES);
                    decoded.extend_from_slice(&piece);
                }
                Ok(None) => break assert!(input.is_empty()),
                Err(error) => {
                    assert_eq!(decoder.decode(&mut input), Err(error.clone()), "an error is final");
                    assert_eq!(decoder.finish(), Err(error.clone()));
                    return (decoded, Some(error));
                }
            }
        }
    }
    (decoded, decoder.finish().err())
}

fn decode(codings: &[Coding], body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    match decode_chunks(&mut Decoder::new(codings), [body]) {
        (decoded, None) => Ok(decoded),
        (_, Some(error)) => Err(error),
    }
}

/// Text with repetitions near and far, and some bytes that do not pack.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => prop::sample::select(vec!["<div class=\"", "\">", "</div>\n", "https://intranet.example/", "wiki"])
            .prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..300),
        1 => (any::<u8>(), 0_usize..40_000).prop_map(|(byte, count)| vec![byte; count]),
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

/// `bytes` in chunks that end at these places.
fn split_at<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let (mut chunks, mut from) = (Vec::new(), 0);
    for to in places.into_iter().chain([bytes.len()]) {
        chunks.push(&bytes[from..to]);
        from = to;
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_encoded_decodes_to_itself_however_it_is_split(
        body in text(),
        stack in prop::sample::select(&STACKS[..]),
        writes in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        flushes in any::<u8>(),
        reads in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut encoder = Encoder::new(stack, Levels::default()).unwrap();
        let mut encoded = BytesMut::new();
        let mut reader = Decoder::new(stack);
        let (mut written, mut sent, mut read) = (0, 0, Vec::new());
        for (turn, chunk) in split_at(&body, &writes).into_iter().enumerate() {
            encoder.write(chunk, &mut encoded).unwrap();
            written += chunk.len();
            if flushes >> turn & 1 == 1 {
                encoder.flush(&mut encoded).unwrap();
                let length = encoded.len();
                encoder.flush(&mut encoded).unwrap();
                prop_assert_eq!(length, encoded.len(), "a second flush adds nothing");
                let (more, _) = decode_chunks(&mut reader, [&encoded[sent..]]);
                sent = encoded.len();
                read.extend(more);
                prop_assert_eq!(&read[..], &body[..written], "flushed bytes are readable");
            }
        }
        encoder.finish(&mut encoded).unwrap();
        let (decoded, error) = decode_chunks(&mut Decoder::new(stack), split_at(&encoded, &reads));
        prop_assert_eq!(error, None);
        prop_assert!(decoded == body);
    }

    #[test]
    fn cut_short_is_an_error_and_what_came_before_is_right(
        body in text(),
        stack in prop::sample::select(&STACKS[1..]),
        place in any::<prop::sample::Index>(),
    ) {
        let encoded = encode(stack, &body);
        prop_assume!(encoded.len() > 1); // br of nothing is one byte
        let cut = &encoded[..1 + place.index(encoded.len() - 1)];
        let (decoded, error) = decode_chunks(&mut Decoder::new(stack), [cut]);
        prop_assert!(matches!(error, Some(DecodeError::Truncated(_))), "{:?} at {}", error, cut.len());
        prop_assert!(body.starts_with(&decoded));
    }

    #[test]
    fn broken_bytes_never_panic_and_never_decode_to_the_same(
        body in text(),
        stack in prop::sample::select(&STACKS[1..]),
        breaks in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        reads in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut encoded = encode(stack, &body);
        for (place, by) in breaks {
            let place = place.index(encoded.len());
            encoded[place] ^= by;
        }
        let whole = decode(stack, &encoded);
        let (decoded, error) = decode_chunks(&mut Decoder::new(stack), split_at(&encoded, &reads));
        prop_assert_eq!(whole.is_err(), error.is_some());
        if let Ok(whole) = whole {
            prop_assert!(whole == decoded);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), stack in prop::sample::select(&STACKS[..])) {
        let _ = decode(stack, &bytes);
    }
}

#[test]
fn no_bytes_are_an_empty_body_and_an_empty_body_is_a_stream() {
    for stack in STACKS {
        assert_eq!(decode(stack, b""), Ok(vec![]));
        assert_eq!(decode(stack, &encode(stack, b"")), Ok(vec![]));
        assert_eq!(encode(stack, b"").is_empty(), stack.is_empty());
    }
}

#[test]
fn rfc1952_checksum_and_length_are_checked() {
    let good = encode(&[Coding::Gzip], b"hello");
    for place in good.len() - 8..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        assert!(matches!(decode(&[Coding::Gzip], &bad), Err(DecodeError::Corrupt { .. })), "{place}");
    }
    let mut bad = encode(&[Coding::Deflate], b"hello");
    *bad.last_mut().unwrap() ^= 1;
    assert!(decode(&[Coding::Deflate], &bad).is_err());
}

#[test]
fn rfc1952_header_fields_are_skipped() {
    let mut member = vec![0x1f, 0x8b, 8, 0b1_1100, 0, 0, 0, 0, 0, 3, 2, 0, b'x', b'y'];
    member.extend_from_slice(b"name\0comment\0");
    member.extend_from_slice(&encode(&[Coding::Gzip], b"hello")[10..]);
    assert_eq!(decode(&[Coding::Gzip], &member), Ok(b"hello".to_vec()));
}

#[test]
fn rfc9110_8_4_1_2_deflate_is_read_with_zlib_header_and_without() {
    let body = vec![b'x'; 100_000];
    let zlib = encode(&[Coding::Deflate], &body);
    assert_eq!(zlib[0] & 0x0f, 8, "written with the header");
    for level in 0..=9 {
        let mut bare = Vec::with_capacity(200_000);
        let mut deflate = flate2::Compress::new(flate2::Compression::new(level), false);
        deflate.compress_vec(&body, &mut bare, flate2::FlushCompress::Finish).unwrap();
        assert_eq!(decode(&[Coding::Deflate], &bare).as_ref(), Ok(&body), "level {level}");
        let (decoded, error) = decode_chunks(&mut Decoder::new(&[Coding::Deflate]), bare.chunks(1));
        assert_eq!((decoded.len(), error), (body.len(), None));
    }
    assert_eq!(decode(&[Coding::Deflate], &zlib), Ok(body));
}

#[test]
fn members_and_frames_follow_each_other_and_the_rest_is_dropped() {
    for coding in Coding::ALL {
        let one = encode(&[coding], b"one");
        let several = matches!(coding, Coding::Gzip | Coding::Zstd);
        let mut decoder = Decoder::new(&[coding]);
        let both = [&one[..], &one[..], &one[..]].concat();
        let (decoded, error) = decode_chunks(&mut decoder, both.chunks(3));
        assert_eq!(error, None, "{coding:?}");
        assert_eq!(decoded, if several { &b"oneoneone"[..] } else { b"one" });
        assert_eq!(decoder.trailing_bytes(), if several { 0 } else { 2 * one.len() as u64 });

        let mut decoder = Decoder::new(&[coding]);
        let (decoded, error) = decode_chunks(&mut decoder, [&one[..], b"\0\0", b"\n<!-- padding -->", &one[..]]);
        assert_eq!((&decoded[..], error), (&b"one"[..], None), "{coding:?}");
        assert_eq!(decoder.trailing_bytes(), 20 - 1 + one.len() as u64);
    }
    let half = [&encode(&[Coding::Gzip], b"one")[..], &[0x1f, 0x8b]].concat();
    assert_eq!(decode(&[Coding::Gzip], &half), Err(DecodeError::Truncated(Coding::Gzip)));
}

#[test]
fn rfc8878_3_1_2_skippable_frames_are_skipped() {
    let frame = encode(&[Coding::Zstd], b"one");
    let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
    let stream = [&skippable[..], &frame, &skippable, &skippable, &frame].concat();
    assert_eq!(decode(&[Coding::Zstd], &stream), Ok(b"oneone".to_vec()));
}

#[test]
fn rfc9659_large_windows_are_refused() {
    // Magic; no content size, no checksum; window descriptor; an empty last raw block.
    let frame = |log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 1, 0, 0];
    assert_eq!(decode(&[Coding::Zstd], &frame(23)), Ok(vec![]));
    assert!(matches!(decode(&[Coding::Zstd], &frame(24)), Err(DecodeError::Corrupt { .. })));
    // 0x11 announces a large window of brotli, with 30 bits here.
    let error = decode(&[Coding::Brotli], &[0x11, 30, 3, 0]);
    assert!(matches!(&error, Err(DecodeError::Corrupt { reason, .. }) if reason.contains("WINDOW_BITS")), "{error:?}");
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0; 100_000_000];
    for stack in [&[Coding::Gzip][..], &[Coding::Brotli], &[Coding::Zstd], &[Coding::Gzip, Coding::Gzip], STACKS[6]] {
        let mut input = BytesMut::new();
        let mut encoder = Encoder::new(stack, Levels { deflate: 9, ..Levels::default() }).unwrap();
        encoder.write(&zeros, &mut input).unwrap();
        encoder.finish(&mut input).unwrap();
        let (decoded, error) = decode_chunks(&mut Decoder::new(stack), [&input[..]]);
        let Some(DecodeError::Bomb { encoded, decoded: worst }) = error else { panic!("{stack:?}: {error:?}") };
        assert!(worst > BOMB_FREE_BYTES && worst > encoded * BOMB_RATIO);
        assert!(decoded.len() as u64 <= BOMB_FREE_BYTES.max((encoded + 1) * BOMB_RATIO), "{stack:?} {}", decoded.len());
    }
}

#[test]
fn a_bomb_within_a_stack_neither_hides_nor_holds_the_worker() {
    // Empty stored blocks of deflate, packed: much in the middle, nothing at the end.
    let blocks = [0, 0, 0, 0xff, 0xff].repeat(10_000_000);
    let mut input = Bytes::from(encode(&[Coding::Zstd], &blocks));
    let mut decoder = Decoder::new(&[Coding::Deflate, Coding::Zstd]);
    let mut calls = 0;
    let error = loop {
        match decoder.decode(&mut input) {
            Ok(Some(piece)) => assert!(piece.is_empty()),
            Ok(None) => panic!("it passed"),
            Err(error) => break error,
        }
        calls += 1;
    };
    assert!(matches!(error, DecodeError::Bomb { decoded, .. } if decoded < 50_000_000), "{error:?}");
    assert!(calls > 1);
}

#[test]
fn what_packs_well_is_no_bomb() {
    let row = b"<tr><td class=\"cell\">0</td><td class=\"cell\">0</td></tr>\n";
    let table: Vec<u8> = (0..100_000).flat_map(|n: u32| [&row[..], n.to_string().as_bytes()].concat()).collect();
    for coding in Coding::ALL {
        assert_eq!(decode(&[coding], &encode(&[coding], &table)).as_ref(), Ok(&table), "{coding:?}");
    }
}

#[test]
fn codecs_may_move_between_threads() {
    fn movable<T: Send>() {}
    movable::<Decoder>();
    movable::<Encoder>();
}

#[test]
fn rfc9110_8_4_content_encodings_are_listed_as_applied() {
    let list = |values: &[&'static str]| {
        let field = |value: &&'static str| (header::CONTENT_ENCODING, HeaderValue::from_static(value));
        Coding::list(&values.iter().map(field).collect::<HeaderMap>())
    };
    assert_eq!(list(&[]), Ok(vec![]));
    assert_eq!(list(&["", " , identity,IDENTITY"]), Ok(vec![]));
    assert_eq!(list(&["X-GZip , br", "\tzstd"]), Ok(vec![Coding::Gzip, Coding::Brotli, Coding::Zstd]));
    assert_eq!(list(&["gzip, Dcb"]), Err(Unknown::Coding("Dcb".to_owned())));
    assert_eq!(list(&["gzip;q=1"]), Err(Unknown::Coding("gzip;q=1".to_owned())));
    assert_eq!(list(&["gzip, gzip, identity, gzip"]).map(|list| list.len()), Ok(3));
    assert_eq!(list(&["gzip, gzip, gzip", "br"]), Err(Unknown::Stacked));
}
