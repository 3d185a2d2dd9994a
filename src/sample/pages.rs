//! The pages as text: the fixed ones, rendered once at start, and the shell every other one is set into.
//!
//! All links within the sample are relative, so that it also works when published under a path. Only those the home page
//! shows as absolute carry the internal origin. Nothing is loaded from anywhere else, and the `Content-Security-Policy`
//! says so: no inline script or style runs, which is what keeps a header shown on a page from becoming code.
//! It refuses to decode what it shows: text from a request is escaped, never interpreted.

use std::fmt::{self, Write};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};

use super::streams::Body;

const SHELL: &str = include_str!("assets/shell.html");

/// Deeper paths get links from the root instead of a long row of `../`.
const DEPTH_MAX: usize = 8;

/// What a page made by `/status/NNN` says.
pub const STATUS_NOTE: &str = "You asked for this status, and the sample answered with it. If you see this page and not \
     one of Lockgate's, the proxy passed the application's own answer on untouched, as it should.";

/// A resource whose bytes are known at start.
#[derive(Clone, Copy)]
pub enum Asset {
    /// `/`
    Home,
    /// `/landed`, where `/redirect` leads.
    Landed,
    /// `/ws.html`
    WebSocketPage,
    /// `/events.html`
    EventsPage,
    /// `/upload.html`
    UploadPage,
    /// `/sample.css`
    Stylesheet,
    /// `/sample.js`
    Script,
    /// `/logo.svg`
    Logo,
}

impl Asset {
    /// The asset published at `path`.
    pub fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Home,
            "/landed" => Self::Landed,
            "/ws.html" => Self::WebSocketPage,
            "/events.html" => Self::EventsPage,
            "/upload.html" => Self::UploadPage,
            "/sample.css" => Self::Stylesheet,
            "/sample.js" => Self::Script,
            "/logo.svg" => Self::Logo,
            _ => return None,
        })
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Stylesheet => "text/css; charset=utf-8",
            Self::Script => "text/javascript; charset=utf-8",
            Self::Logo => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        }
    }
}

/// The rendered assets, and what is needed to render the rest.
#[derive(Debug)]
pub struct Pages {
    home: Bytes,
    landed: Bytes,
    websocket: Bytes,
    events: Bytes,
    upload: Bytes,
    stylesheet: Bytes,
    redirect_target: HeaderValue,
    policy: HeaderValue,
}

impl Pages {
    /// Renders the assets for an `origin` such as `http://127.0.0.1:8080`, without a slash at its end.
    pub fn render(origin: &str) -> Self {
        let host = origin.trim_start_matches("http://");
        let page = |title, content: &str| {
            let content = content.replace("{{origin}}", origin).replace("{{host}}", host);
            Bytes::from(in_shell("/", title, &content))
        };
        // The image source with the internal origin is there to be translated; without it the image on the home page
        // would be refused by the policy rather than by the network.
        let policy = format!(
            "default-src 'self'; img-src 'self' {origin}; object-src 'none'; base-uri 'none'; \
             form-action 'self'; frame-ancestors 'self'"
        );
        Self {
            home: page("Home", include_str!("assets/home.html")),
            landed: page("Landed", include_str!("assets/landed.html")),
            websocket: page("WebSocket", include_str!("assets/ws.html")),
            events: page("Live events", include_str!("assets/events.html")),
            upload: page("Upload", include_str!("assets/upload.html")),
            stylesheet: include_str!("assets/sample.css").replace("{{origin}}", origin).into(),
            redirect_target: field(&format!("{origin}/landed")),
            policy: field(&policy),
        }
    }

    /// An asset, as it was rendered at start.
    pub fn asset(&self, asset: Asset) -> Response<Body> {
        let bytes = match asset {
            Asset::Home => self.home.clone(),
            Asset::Landed => self.landed.clone(),
            Asset::WebSocketPage => self.websocket.clone(),
            Asset::EventsPage => self.events.clone(),
            Asset::UploadPage => self.upload.clone(),
            Asset::Stylesheet => self.stylesheet.clone(),
            Asset::Script => Bytes::from_static(include_bytes!("assets/sample.js")),
            Asset::Logo => Bytes::from_static(include_bytes!("assets/logo.svg")),
        };
        self.answer(StatusCode::OK, asset.content_type(), bytes)
    }

    /// 302 to `/landed`, with the internal origin in `Location`.
    pub fn redirect(&self) -> Response<Body> {
        let note = "The answer to this request is a redirect to /landed.";
        let mut response = self.notice(StatusCode::FOUND, "/redirect", "Moved", note);
        response.headers_mut().insert(header::LOCATION, self.redirect_target.clone());
        response
    }

    /// A page of one plain sentence or two; `note` is text and is escaped. `path` is the request's.
    pub fn notice(&self, status: StatusCode, path: &str, title: &str, note: &str) -> Response<Body> {
        let root = way_to_root(path);
        let content = format!(
            "<h1>{title}</h1>\n<p class=\"lead\">{note}</p>\n<p><a class=\"button\" href=\"{root}\">Back to the home page</a></p>",
            title = Escaped(title),
            note = Escaped(note),
        );
        self.page(status, path, title, &content)
    }

    /// A page whose `content` is HTML made by the sample.
    pub fn page(&self, status: StatusCode, path: &str, title: &str, content: &str) -> Response<Body> {
        // These have no content (RFC 9110, 15.3.5, 15.3.6, 15.4.5).
        let text = match status {
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => String::new(),
            _ => in_shell(path, title, content),
        };
        self.answer(status, "text/html; charset=utf-8", text.into())
    }

    /// 404, naming the path as it arrived.
    pub fn not_found(&self, path: &str) -> Response<Body> {
        let root = way_to_root(path);
        let content = format!(
            "<h1>No such page</h1>\n<p class=\"lead\">The sample intranet has nothing at <code>{path}</code>. The request \
             itself came all the way through: this page is the application’s, not the proxy’s.</p>\n\
             <p><a class=\"button\" href=\"{root}\">Back to the home page</a></p>",
            path = Escaped(path),
        );
        self.page(StatusCode::NOT_FOUND, path, "No such page", &content)
    }

    /// 405 with `Allow`.
    pub fn method_not_allowed(&self, path: &str, method: &Method, allow: &'static str) -> Response<Body> {
        let note = format!("This address does not take {method}. It takes {allow}.");
        let mut response = self.notice(StatusCode::METHOD_NOT_ALLOWED, path, "Method not allowed", &note);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        response
    }

    /// 400, naming the rule that was broken.
    pub fn bad_request(&self, path: &str, rule: &str) -> Response<Body> {
        self.notice(StatusCode::BAD_REQUEST, path, "That cannot be asked", rule)
    }

    fn answer(&self, status: StatusCode, content_type: &'static str, bytes: Bytes) -> Response<Body> {
        let mut response = Response::new(Body::whole(bytes));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // The port changes with every start, and the pages name it.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The values are made of the listener's own address, which is always a valid field value.
fn field(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// `content` goes in last, so that nothing in it is taken for a placeholder.
fn in_shell(path: &str, title: &str, content: &str) -> String {
    let root = way_to_root(path);
    SHELL.replace("{{root}}", &root).replace("{{title}}", title).replace("{{content}}", content)
}

/// The relative reference from `path` to the sample's root.
fn way_to_root(path: &str) -> String {
    match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        slashes if slashes <= DEPTH_MAX => "../".repeat(slashes - 1),
        _ => "/".to_owned(),
    }
}

/// Text set into HTML, between tags or in a quoted attribute.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                other => out.write_char(other)?,
            }
        }
        Ok(())
    }
}
