//! Join tokens as people carry them: whole, cut, mistyped, wrapped, foreign. Refuses to accept one refusal for another.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn sample(edge: &str) -> JoinToken {
    JoinToken {
        edge: edge.to_owned(),
        ca_fingerprint: [0xa5; 32],
        id: *b"\x01\x23\x45\x67\x89\xab\xcd\xef",
        secret: [0xc3; 16],
    }
}

#[test]
fn comes_back_as_it_went() {
    for edge in ["a:1", "edge.example.com:443", "[2001:db8::1]:8443", &format!("{}:65535", "h".repeat(253))] {
        let token = sample(edge);
        let text = token.encode();
        assert!(text.starts_with(PREFIX) && text.len() < TOKEN_BYTES_MAX);
        assert_eq!(JoinToken::decode(&text).unwrap(), token, "{edge}");
        let (front, back) = text.split_at(40);
        assert_eq!(JoinToken::decode(&format!("  {front}\n {back}\r\n")).unwrap(), token);
    }
}

#[test]
fn every_cut_is_called_cut() {
    let text = sample("edge.example.com:443").encode();
    for length in 1..text.len() {
        assert_eq!(JoinToken::decode(&text[..length]), Err(TokenError::Cut), "{length} characters");
    }
    assert_eq!(JoinToken::decode(""), Err(TokenError::WrongPrefix));
}

#[test]
fn every_changed_character_is_noticed() {
    let text = sample("edge.example.com:443").encode();
    for at in PREFIX.len()..text.len() {
        for replacement in ['A', 'z', '0', '_', '!', 'é'] {
            let mut changed: Vec<char> = text.chars().collect();
            if changed[at] == replacement {
                continue;
            }
            changed[at] = replacement;
            let refusal = JoinToken::decode(&changed.iter().collect::<String>()).unwrap_err();
            // The length stands in the first three characters: changed upwards it reads as a missing end.
            let expected = at < PREFIX.len() + 3 && refusal == TokenError::Cut || refusal == TokenError::Mistyped;
            assert!(expected, "character {at} to {replacement}: {refusal:?}");
        }
    }
    assert_eq!(JoinToken::decode(&format!("{text}A")), Err(TokenError::Mistyped));
    assert_eq!(JoinToken::decode(&"l".repeat(TOKEN_BYTES_MAX + 1)), Err(TokenError::Mistyped));
}

#[test]
fn other_texts_are_told_apart() {
    let text = sample("edge.example.com:443").encode();
    let later = text.replacen("lgj1_", "lgj2_", 1);
    assert_eq!(JoinToken::decode(&later), Err(TokenError::OtherVersion { version: "2".into() }));
    for foreign in ["eyJhbGciOi", "lgj_abc", "lgjx_abc", "lgj12345_abc", "LGJ1_abc", "é"] {
        assert_eq!(JoinToken::decode(foreign), Err(TokenError::WrongPrefix), "{foreign}");
    }
    for edge in
        ["", "edge", "edge:", ":443", "edge:0", "edge:70000", "edge:+44", "2001:db8::1:443", "a b:1", "http://e:1"]
    {
        assert_eq!(JoinToken::decode(&sample(edge).encode()), Err(TokenError::EdgeAddress), "{edge:?}");
    }
    assert!(JoinToken::decode(&sample(&"h".repeat(70_000)).encode()).is_err());
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", sample("edge:443"));
    assert!(shown.contains("0123456789abcdef"), "{shown}");
    assert!(!shown.contains("c3c3") && !shown.contains("195, 195") && !shown.contains("secret"), "{shown}");
}

#[test]
fn ids_are_read_as_printed() {
    let id = sample("e:1").id;
    assert_eq!(id_from_hex(&hex(&id)), Some(id));
    for wrong in ["", "0123", "0123456789abcdeg", "+123456789abcdef", "0123456789abcdef0"] {
        assert_eq!(id_from_hex(wrong), None, "{wrong}");
    }
}
