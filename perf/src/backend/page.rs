//! The page of the scenario about link translation: 100 KiB of HTML as a catalogue would have it, with
//! absolute links to the application itself. It refuses chance: the same origin gives the same page.

use std::fmt::Write;

/// Bytes of the page, to within a row.
const PAGE_BYTES: usize = 100 * 1024;

/// Links in one row that name the origin.
#[cfg(test)]
const LINKS_PER_ROW: usize = 2;

/// The page, its links beginning with `origin`, such as `http://10.0.0.5:3000`.
pub fn page(origin: &str) -> String {
    let mut text = String::with_capacity(PAGE_BYTES + 1024);
    text.push_str("<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>Catalogue</title></head>\n<body>\n");
    let mut row = 0;
    while text.len() < PAGE_BYTES {
        row += 1;
        let _ = write!(
            text,
            "<div class=\"row\" id=\"r{row}\"><a href=\"{origin}/products/{row}?page=1&amp;sort=price\">Article {row}</a>\n\
             <img src=\"{origin}/images/{row}.png\" alt=\"\" width=\"64\" height=\"64\">\n\
             <p>A short description of the article that nobody has to translate, with <em>some</em> markup, a price of \
             {row}.99 and a <a href=\"/cart/add/{row}\">relative link</a> beside it.</p></div>\n"
        );
    }
    text.push_str("</body></html>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_long_as_promised_and_full_of_links() {
        let text = page("http://127.0.0.1:3000");
        assert!(text.len().abs_diff(PAGE_BYTES) < 1024, "{}", text.len());
        assert_eq!(
            text.matches("http://127.0.0.1:3000/").count(),
            LINKS_PER_ROW * text.matches("class=\"row\"").count()
        );
    }
}
