//! Join tokens: what is read is written as it was, and what is written is read as it was.

use lockgate::tunnel::token::{EDGE_BYTES_MAX, JoinToken, PREFIX, TokenError, id_from_hex};

pub const WORDS: &[&str] = &[
    "lgj1_",
    "lgj2_",
    "lgj",
    "_",
    "-",
    "A",
    "AAAA",
    "==",
    "/",
    "+",
    " ",
    "\n",
    "\r\n",
    "\u{e9}",
    "\0",
    "edge.test:443",
];

/// Holds the text of a token, and a token of these bytes.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match JoinToken::decode(&text) {
        Ok(token) => {
            let bare: String = text.split_ascii_whitespace().collect();
            assert_eq!(token.encode(), bare, "two texts of one token");
            assert!(!format!("{token:?}").contains(&lockgate::tunnel::token::hex(&token.secret)));
            cut(&bare);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(id) = id_from_hex(&text) {
        assert_eq!(lockgate::tunnel::token::hex(&id), text.to_ascii_lowercase());
    }
    let byte = |at: usize| data.get(at).copied().unwrap_or_default();
    let edge: String = String::from_utf8_lossy(data.get(8..).unwrap_or_default()).into_owned();
    let made = JoinToken { ca_fingerprint: [byte(0); 32], id: [byte(1); 8], secret: [byte(2); 16], edge };
    match JoinToken::decode(&made.encode()) {
        Ok(token) => assert_eq!(token, made),
        Err(error) => {
            let fits = made.edge.len() <= EDGE_BYTES_MAX;
            let expected = if fits { error == TokenError::EdgeAddress } else { error != TokenError::WrongPrefix };
            assert!(expected, "{error:?} of {:?}", made.edge);
        }
    }
}

/// The beginning of a token is one that was cut, however it is cut.
fn cut(text: &str) {
    for length in [1, PREFIX.len(), PREFIX.len() + 3, text.len() / 2, text.len() - 1] {
        assert_eq!(JoinToken::decode(&text[..length]), Err(TokenError::Cut), "{length}");
    }
}
