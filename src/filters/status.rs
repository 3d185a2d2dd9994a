//! Numbers of the ABI (section 4): what host calls answer, and which item is meant.

/// What a host call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// There is no such thing.
    NotFound = 1,
    /// An argument makes no sense, here or anywhere.
    BadArgument = 2,
    /// The value has no serialised form.
    SerializationFailure = 3,
    /// The bytes could not be parsed; also an unknown upstream of a gRPC call.
    ParseFailure = 4,
    /// A pointer leads out of the guest's memory.
    InvalidMemoryAccess = 6,
    /// The queue is empty.
    Empty = 7,
    /// Somebody else has changed the value.
    CasMismatch = 8,
    /// The host could not do it: a limit, usually.
    InternalFailure = 10,
    /// The host does not do it.
    Unimplemented = 12,
}

impl Status {
    /// What a host call answered, by its number: the name the specification gives it.
    #[must_use]
    pub const fn name_of(number: u32) -> &'static str {
        match number {
            0 => "OK",
            1 => "NOT_FOUND",
            2 => "BAD_ARGUMENT",
            3 => "SERIALIZATION_FAILURE",
            4 => "PARSE_FAILURE",
            6 => "INVALID_MEMORY_ACCESS",
            7 => "EMPTY",
            8 => "CAS_MISMATCH",
            10 => "INTERNAL_FAILURE",
            12 => "UNIMPLEMENTED",
            _ => "?",
        }
    }
}

/// The buffers, by number (ABI, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferKind {
    /// 0.
    RequestBody,
    /// 1.
    ResponseBody,
    /// 2 and 3: TCP, never available here.
    Tcp,
    /// 4.
    CallResponseBody,
    /// 5: gRPC, never available here.
    GrpcMessage,
    /// 6.
    VmConfiguration,
    /// 7.
    PluginConfiguration,
    /// 8.
    ForeignFunctionArguments,
}

impl BufferKind {
    /// The buffer with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::RequestBody,
            1 => Self::ResponseBody,
            2 | 3 => Self::Tcp,
            4 => Self::CallResponseBody,
            5 => Self::GrpcMessage,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            8 => Self::ForeignFunctionArguments,
            _ => return None,
        })
    }
}

/// The header maps, by number (ABI, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// 0.
    RequestHeaders,
    /// 1.
    RequestTrailers,
    /// 2.
    ResponseHeaders,
    /// 3.
    ResponseTrailers,
    /// 4 and 5: never available here.
    Grpc,
    /// 6.
    CallResponseHeaders,
    /// 7.
    CallResponseTrailers,
}

impl MapKind {
    /// The map with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::RequestHeaders,
            1 => Self::RequestTrailers,
            2 => Self::ResponseHeaders,
            3 => Self::ResponseTrailers,
            4 | 5 => Self::Grpc,
            6 => Self::CallResponseHeaders,
            7 => Self::CallResponseTrailers,
            _ => return None,
        })
    }
}
