//! The versions of HTTP that either side of the proxy may speak.

use meshloom_wire::http1::Version;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http10,
    Http11,
    Http2,
}

impl Protocol {
    /// As logs write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }

    /// The version whose framing an HTTP/1 peer of this protocol understands.
    pub(crate) fn framing(self) -> Version {
        match self {
            Self::Http10 => Version::Http10,
            Self::Http11 | Self::Http2 => Version::Http11,
        }
    }
}

impl From<Version> for Protocol {
    fn from(version: Version) -> Self {
        match version {
            Version::Http10 => Self::Http10,
            Version::Http11 => Self::Http11,
        }
    }
}
