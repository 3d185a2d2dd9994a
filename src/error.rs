//! The one error of a request: which side broke, what kind it is, and what the log should say.
//!
//! What the client reads ([`Kind::code`], [`Kind::explanation`], [`Kind::mend`]) is chosen from a
//! closed list; the detail, which may hold names of the inside, goes to the logs only. It refuses
//! to carry anything a backend or a client sent into the client's text.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

/// Who broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The sender of the request.
    Client,
    /// This proxy's public half, or its configuration.
    Edge,
    /// A filter of the app's chain.
    Filter,
    /// The way between edge and connector.
    Link,
    /// The private application, or the way from the connector to it.
    Backend,
}

impl Side {
    /// The word in logs, metrics and pages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Edge => "edge",
            Self::Filter => "filter",
            Self::Link => "link",
            Self::Backend => "backend",
        }
    }
}

/// Declares the kinds: variant, code, status, side, explanation, what to do.
macro_rules! kinds {
    ($($variant:ident $code:literal $status:ident $side:ident $explanation:literal $mend:literal;)*) => {
        /// What kind of error it is. The code is stable: people match on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $explanation] $variant,)* }

        impl Kind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable reason code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status the client gets.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// Who is to blame unless the error says otherwise.
            #[must_use]
            pub const fn side(self) -> Side {
                match self { $(Self::$variant => Side::$side,)* }
            }

            /// One sentence for the person who sees the page.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }

            /// What that person, or the operator they call, can do.
            #[must_use]
            pub const fn mend(self) -> &'static str {
                match self { $(Self::$variant => $mend,)* }
            }

            /// The kind with this code; used to read a fault a connector reported.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.code() == code)
            }
        }
    };
}

kinds! {
    NotPublished "not-published" NOT_FOUND Edge
        "No application is published at this address."
        "Check the address. If it is right, ask the operator whether the application's external_url covers it.";
    Misdirected "misdirected" MISDIRECTED_REQUEST Client
        "This connection was opened for another host."
        "Reload the page; the browser will open a new connection.";
    Maintenance "maintenance" SERVICE_UNAVAILABLE Edge
        "This application is switched off for maintenance."
        "Try again later; the operator has been the one to switch it off.";
    Forbidden "forbidden" FORBIDDEN Edge
        "You may not use this application."
        "Ask the operator to assign the application to you.";
    ConnectorUnavailable "connector-unavailable" GATEWAY_TIMEOUT Link
        "No connector of this application's group is connected."
        "Operator: see whether the connector is running and what it logs; `lockgate connector` must reach the edge's port.";
    BackendDns "backend-unreachable" BAD_GATEWAY Backend
        "The application's internal name could not be resolved."
        "Operator: check internal_url and the name resolution where the connector runs.";
    BackendRefused "backend-unreachable" BAD_GATEWAY Backend
        "The application refused the connection."
        "Operator: see whether the application is running and listens on the port of internal_url.";
    BackendNetwork "backend-unreachable" BAD_GATEWAY Backend
        "The application could not be reached over the network."
        "Operator: check routes and firewalls between the connector and internal_url.";
    BackendTls "backend-unreachable" BAD_GATEWAY Backend
        "No secure connection to the application could be made."
        "Operator: check that internal_url's port speaks TLS 1.2 or 1.3.";
    BackendCertificate "backend-unreachable" BAD_GATEWAY Backend
        "The application's certificate was not accepted."
        "Operator: name its authority in backend_ca, correct its name or renew it; the log says which check failed.";
    BackendForbidden "backend-forbidden" BAD_GATEWAY Backend
        "The connector may not connect to the application's address."
        "Operator: the log says which address it is and what to write into connector.toml on the connector's machine, if it shall be dialled.";
    BackendClosed "backend-closed" BAD_GATEWAY Backend
        "The application closed the connection without answering."
        "Try again. Operator: look at the application's own log for this time.";
    BackendInvalid "backend-invalid" BAD_GATEWAY Backend
        "The application's answer was not valid HTTP."
        "Operator: the log names the rule that the answer broke.";
    BackendTimeout "backend-timeout" GATEWAY_TIMEOUT Backend
        "The application did not answer in time."
        "Try again later. Operator: raise backend_timeout if the application needs longer.";
    LinkLost "link-lost" BAD_GATEWAY Link
        "The link to the connector broke during the request, and repeating it was not safe."
        "Check whether the action took effect before you repeat it.";
    FilterFailed "filter-failed" SERVICE_UNAVAILABLE Filter
        "A filter of this application failed."
        "Operator: the log names the filter and the reason.";
    FilterClosed "filter-closed" SERVICE_UNAVAILABLE Filter
        "A filter of this application ended the request."
        "Operator: the log names the filter; it closes what breaks its rules.";
    ContentTooLarge "content-too-large" PAYLOAD_TOO_LARGE Client
        "The request's body is too large for a filter of this application."
        "Send less at once. Operator: see request_buffer in the filter's limits; the log names the filter.";
    ResponseTooLarge "response-too-large" BAD_GATEWAY Backend
        "The application's answer is too large for a filter that has to see all of it."
        "Operator: see response_buffer in the filter's limits; the log names the filter.";
    Overloaded "overloaded" SERVICE_UNAVAILABLE Edge
        "Too much is going on right now."
        "Try again in a moment. Operator: the log names the limit that was reached.";
    LoopDetected "loop-detected" LOOP_DETECTED Edge
        "The application's internal address leads back to this proxy."
        "Operator: internal_url must name the private server, not the external address.";
    BadRequest "bad-request" BAD_REQUEST Client
        "The request broke a rule of HTTP."
        "The reason is named below; correct the program that sent it.";
    HeaderTooLarge "header-too-large" REQUEST_HEADER_FIELDS_TOO_LARGE Client
        "The request's header is too large."
        "Delete this site's cookies and try again. Operator: see limits.head_bytes_max and limits.header_count_max.";
    UriTooLong "uri-too-long" URI_TOO_LONG Client
        "The address is too long."
        "Shorten it. Operator: see limits.uri_bytes_max.";
    RequestTimeout "request-timeout" REQUEST_TIMEOUT Client
        "The request did not arrive in time."
        "Try again on a better connection.";
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED Client
        "This method is not forwarded."
        "TRACE and CONNECT are never forwarded; WebSockets use GET or extended CONNECT.";
    NotImplemented "not-implemented" NOT_IMPLEMENTED Client
        "The request uses a feature that is not supported."
        "The reason is named below.";
    VersionNotSupported "version-not-supported" HTTP_VERSION_NOT_SUPPORTED Client
        "This version of HTTP is not supported."
        "Use HTTP/1.1 or HTTP/2.";
    ExpectationFailed "expectation-failed" EXPECTATION_FAILED Client
        "The Expect field asks for something unknown."
        "Only `Expect: 100-continue` is understood.";
    UpgradeRequired "upgrade-required" UPGRADE_REQUIRED Client
        "The WebSocket handshake is not of version 13."
        "Use a client that speaks RFC 6455.";
    Cut "cut" BAD_GATEWAY Client
        "The message ended before it was complete."
        "Try again.";
    Internal "internal" INTERNAL_SERVER_ERROR Edge
        "Something went wrong inside the proxy."
        "Try again; report the request id if it happens again.";
}

impl Kind {
    /// Tells the kinds of one code apart, for metrics, logs and the fault a connector reports.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::BackendDns => "dns",
            Self::BackendRefused => "refused",
            Self::BackendNetwork => "network",
            Self::BackendTls => "tls",
            Self::BackendCertificate => "certificate",
            _ => self.code(),
        }
    }

    /// The kind whose [`Kind::cause`] this is.
    #[must_use]
    pub fn from_cause(cause: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.cause() == cause)
    }
}

/// A failed request.
#[derive(Clone, Debug)]
pub struct Error {
    /// What kind of error it is.
    pub kind: Kind,
    /// Who broke; [`Kind::side`] unless overridden.
    pub side: Side,
    /// For the logs: what exactly happened. Never shown to the client, except the rule that its
    /// own request broke.
    pub detail: Cow<'static, str>,
}

/// The result of a step of a request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with a detail for the logs.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, side: kind.side(), detail: detail.into() }
    }

    /// The same error, blamed on another side.
    #[must_use]
    pub const fn on(mut self, side: Side) -> Self {
        self.side = side;
        self
    }

    /// Refused input: `rule` names the rule that it broke and is shown to the client.
    pub fn bad_request(rule: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::BadRequest, rule)
    }

    /// A message body that ended early on `side`.
    pub fn cut(side: Side, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Cut, detail).on(side)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.kind.code(), self.side.word(), self.detail)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_finds_its_kind_again() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_cause(kind.cause()), Some(kind));
            assert!(!kind.status().is_success());
            assert!(kind.explanation().ends_with('.') && kind.mend().ends_with('.'));
        }
    }
}
