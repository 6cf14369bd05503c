//! What ends a stream or a connection (RFC 9113 5.4, 7).

use thiserror::Error;

/// A code of RST_STREAM and GOAWAY. Codes that nobody has registered are kept as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    pub const NO_ERROR: Self = Self(0x0);
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    pub const INTERNAL_ERROR: Self = Self(0x2);
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    pub const STREAM_CLOSED: Self = Self(0x5);
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub const REFUSED_STREAM: Self = Self(0x7);
    pub const CANCEL: Self = Self(0x8);
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    pub const CONNECT_ERROR: Self = Self(0xa);
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
    pub const INADEQUATE_SECURITY: Self = Self(0xc);
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);
}

/// Why a connection cannot go on. The GOAWAY that says so has been written already: flush, then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectionError {
    #[error("the connection does not begin with the HTTP/2 preface")]
    InvalidPreface,
    #[error("the first frame is not SETTINGS")]
    SettingsMissing,
    #[error("a frame's length is wrong for its type or above SETTINGS_MAX_FRAME_SIZE")]
    FrameSize,
    #[error("a frame is on a stream where its type cannot be")]
    WrongStream,
    #[error("a frame on a stream that nobody has opened")]
    IdleStream,
    #[error("HEADERS or DATA on a stream that has ended")]
    ClosedStream,
    #[error("a stream identifier of the wrong side or lower than one before it")]
    InvalidStreamId,
    #[error("a field block is interrupted, or continues where none is open")]
    InvalidContinuation,
    #[error("padding is longer than its frame")]
    InvalidPadding,
    #[error("PUSH_PROMISE, which is not allowed here")]
    UnexpectedPush,
    #[error("a setting has a value that it cannot have")]
    InvalidSetting,
    #[error("SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1, or one that overflows a window")]
    InvalidWindowSetting,
    #[error("SETTINGS acknowledgement that nobody waits for")]
    UnexpectedSettingsAck,
    #[error("WINDOW_UPDATE of zero for the connection")]
    ZeroWindowIncrement,
    #[error("a stream that depends on itself")]
    SelfDependency,
    #[error("the connection's window has been overrun or overflows")]
    FlowControl,
    #[error("a field block does not decode")]
    Compression,
    #[error("a field block is too large to be decoded")]
    FieldBlockTooLarge,
    #[error("too many CONTINUATION frames for one field block")]
    ContinuationFlood,
    #[error("too many frames without payload")]
    EmptyFrameFlood,
    #[error("too many PRIORITY frames")]
    PriorityFlood,
    #[error("too many WINDOW_UPDATE frames")]
    WindowUpdateFlood,
    #[error("too many frames that carry no message")]
    ControlFlood,
    #[error("too many streams reset")]
    ResetFlood,
    #[error("too many frames wait for a peer that does not read")]
    OutboundFlood,
    #[error("too many control frames wait for a peer that does not read")]
    OutboundControlFlood,
}

impl ConnectionError {
    /// The code of the GOAWAY.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::FrameSize => ErrorCode::FRAME_SIZE_ERROR,
            Self::ClosedStream => ErrorCode::STREAM_CLOSED,
            Self::InvalidWindowSetting | Self::FlowControl => ErrorCode::FLOW_CONTROL_ERROR,
            Self::Compression => ErrorCode::COMPRESSION_ERROR,
            _ if self.is_flood() => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::PROTOCOL_ERROR,
        }
    }

    /// Whether each frame was legal and there were too many of them.
    #[must_use]
    pub const fn is_flood(self) -> bool {
        matches!(
            self,
            Self::FieldBlockTooLarge
                | Self::ContinuationFlood
                | Self::EmptyFrameFlood
                | Self::PriorityFlood
                | Self::WindowUpdateFlood
                | Self::ControlFlood
                | Self::ResetFlood
                | Self::OutboundFlood
                | Self::OutboundControlFlood
        )
    }

    /// The response code detail for the access log of the streams that this ended: Envoy's name where it has one.
    #[must_use]
    pub const fn details(self) -> &'static str {
        match self {
            Self::FieldBlockTooLarge => "http2.header_overflow",
            Self::ContinuationFlood => "http2.too_many_header_frames",
            Self::EmptyFrameFlood => "http2.inbound_empty_frames_flood",
            Self::PriorityFlood => "http2.inbound_priority_frames_flood",
            Self::WindowUpdateFlood => "http2.inbound_window_update_frames_flood",
            Self::ControlFlood => "http2.inbound_control_frames_flood",
            Self::ResetFlood => "http2.too_many_resets",
            Self::OutboundFlood => "http2.outbound_frames_flood",
            Self::OutboundControlFlood => "http2.outbound_control_frames_flood",
            _ => "http2.protocol_error",
        }
    }
}

/// What was wrong with one stream, so that we reset it. The others of its connection go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StreamFault {
    #[error("a field name is empty, in upper case or not a token")]
    InvalidFieldName,
    #[error("a field value has a control byte, or white space at an end")]
    InvalidFieldValue,
    #[error("a field that concerns one HTTP/1 connection")]
    ConnectionSpecificField,
    #[error("TE is not `trailers`")]
    InvalidTe,
    #[error("a pseudo-field that is unknown, repeated, out of place or behind a field")]
    InvalidPseudoField,
    #[error("a pseudo-field is missing")]
    MissingPseudoField,
    #[error(":method is not a token")]
    InvalidMethod,
    #[error(":scheme is neither http nor https")]
    InvalidScheme,
    #[error(":path is not a path with an optional query, nor `*` of OPTIONS")]
    InvalidPath,
    #[error(":authority or Host is not host[:port], repeated, or the two differ")]
    InvalidAuthority,
    #[error(":protocol is not a token")]
    InvalidProtocol,
    #[error(":status is not one of 100 to 999, or is 101")]
    InvalidStatus,
    #[error("an interim response that ends its stream")]
    InterimEnd,
    #[error("Content-Length is not one decimal number, or is where none can be")]
    InvalidContentLength,
    #[error("DATA is more or less than Content-Length says, or is where none can be")]
    ContentLengthMismatch,
    #[error("fields in the middle of a body")]
    TrailersWithoutEnd,
    #[error("DATA before the head")]
    DataBeforeHead,
    #[error("the head or the trailers have too many bytes or fields")]
    HeadTooLarge,
    #[error("HEADERS or DATA behind the end of the stream")]
    Ended,
    #[error("a stream that depends on itself")]
    SelfDependency,
    #[error("a PRIORITY frame of the wrong length")]
    FrameSize,
    #[error("WINDOW_UPDATE of zero")]
    ZeroWindowIncrement,
    #[error("the stream's window has been overrun or overflows")]
    FlowControl,
    #[error("more streams than we allow, or a stream after our GOAWAY")]
    Refused,
}

impl StreamFault {
    /// The code of the RST_STREAM.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Ended => ErrorCode::STREAM_CLOSED,
            Self::FrameSize => ErrorCode::FRAME_SIZE_ERROR,
            Self::FlowControl => ErrorCode::FLOW_CONTROL_ERROR,
            Self::Refused => ErrorCode::REFUSED_STREAM,
            Self::HeadTooLarge => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::PROTOCOL_ERROR,
        }
    }

    /// Whether the message itself was malformed (RFC 9113 8.1.1), rather than the use of its stream.
    #[must_use]
    pub const fn is_malformed(self) -> bool {
        !matches!(
            self,
            Self::HeadTooLarge
                | Self::Ended
                | Self::SelfDependency
                | Self::FrameSize
                | Self::ZeroWindowIncrement
                | Self::FlowControl
                | Self::Refused
        )
    }

    /// The response code detail for the access log: Envoy's name for the same fault, where it has one.
    #[must_use]
    pub const fn details(self) -> &'static str {
        match self {
            Self::InvalidFieldName
            | Self::InvalidFieldValue
            | Self::ConnectionSpecificField
            | Self::InvalidTe
            | Self::InvalidPseudoField
            | Self::InvalidMethod
            | Self::InvalidScheme
            | Self::InvalidPath
            | Self::InvalidAuthority
            | Self::InvalidStatus
            | Self::InvalidContentLength => "http2.invalid.header.field",
            Self::HeadTooLarge => "http2.headers_too_large",
            _ if self.is_malformed() => "http2.violation.of.messaging.rule",
            _ => "http2.stream_error",
        }
    }
}
