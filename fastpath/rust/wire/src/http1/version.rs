//! The two versions that this codec speaks.

/// HTTP/1.0 or HTTP/1.1; anything else was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    Http11,
}

impl Version {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }

    /// The version at the start of `bytes`: `None` when more are needed.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, InvalidVersion> {
        match bytes {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', ..] => Ok(Some(Self::Http11)),
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', ..] => Ok(Some(Self::Http10)),
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, ..]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Err(InvalidVersion::Unsupported)
            }
            _ if looks_like_version(bytes) => Ok(None),
            _ => Err(InvalidVersion::Malformed),
        }
    }
}

pub(crate) enum InvalidVersion {
    /// `HTTP/digit.digit`, but not ours.
    Unsupported,
    Malformed,
}

/// Whether `bytes` may still become a version when more of them arrive.
fn looks_like_version(bytes: &[u8]) -> bool {
    const PATTERN: &[u8; 8] = b"HTTP/0.0";
    let fits = |(have, want): (&u8, &u8)| if *want == b'0' { have.is_ascii_digit() } else { have == want };
    bytes.len() < PATTERN.len() && bytes.iter().zip(PATTERN).all(fits)
}
