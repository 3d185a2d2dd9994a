//! The closed lists of labels of filters: what a filter was called for, and what went wrong.
//!
//! Refuses free text: a label that a guest could choose would be a series of its own.

/// Declares a closed set of label values.
macro_rules! words {
    ($(#[doc = $about:literal])+ pub enum $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $meaning])+ $variant,)+ }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The label value.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// What a filter was called for: the label `phase`.
    pub enum FilterPhase {
        /// The head of a request.
        RequestHeaders = "request_headers",
        /// A piece of a request's body.
        RequestBody = "request_body",
        /// The trailers of a request.
        RequestTrailers = "request_trailers",
        /// The head of a response.
        ResponseHeaders = "response_headers",
        /// A piece of a response's body.
        ResponseBody = "response_body",
        /// The trailers of a response.
        ResponseTrailers = "response_trailers",
        /// The end of a stream.
        Log = "log",
        /// A timer.
        Tick = "tick",
        /// The response of a call out.
        HttpCallResponse = "http_call_response",
        /// A queue has an item.
        QueueReady = "queue_ready",
        /// Start, configuration, contexts made and deleted.
        Other = "other",
    }
}

words! {
    /// How a filter failed: the label `reason`.
    pub enum FilterFailure {
        /// The guest trapped.
        Trap = "trap",
        /// A callback overran its deadline.
        Timeout = "timeout",
        /// The guest wanted more memory than it may have.
        Memory = "memory",
        /// A VM did not start or refused its configuration.
        Start = "start",
        /// A body did not fit in its buffer.
        Overflow = "overflow",
        /// There was no VM yet.
        NotReady = "not-ready",
        /// The filter has trapped so often that it is let rest.
        BackOff = "back-off",
        /// The filter asked for what makes no sense, such as an illegal header.
        Invalid = "invalid",
    }
}

words! {
    /// How a call out ended: the label `result`.
    pub enum HttpCallResult {
        /// With a response, of whatever status.
        Ok = "ok",
        /// Without one.
        Failed = "failed",
        /// Not in time.
        Timeout = "timeout",
        /// It was not made: an upstream that is not granted, or a limit.
        Refused = "refused",
    }
}

words! {
    /// What a filter asked for and may not do: the label `capability`.
    pub enum DeniedCapability {
        /// A call to an upstream that is not granted.
        HttpCall = "http_call",
        /// Shared data.
        SharedData = "shared_data",
        /// Queues.
        Queues = "queues",
        /// A local response.
        LocalResponse = "local_response",
        /// A change to a protected header.
        ProtectedHeaders = "protected_headers",
        /// A foreign function.
        ForeignFunctions = "foreign_functions",
    }
}
