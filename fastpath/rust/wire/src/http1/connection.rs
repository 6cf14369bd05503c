//! The Connection field: what it says of this connection, and which fields it names (RFC 9110 7.6.1).

use super::{DecodeError, Headers, KnownHeader, Version, chars};

/// Each nominated name is compared with each field, so their number is bounded.
const MAX_NOMINATED: usize = 32;

/// What the Connection fields of one head asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    close: bool,
    keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl Options {
    /// Reads all Connection fields and marks the fields that they name as hop-by-hop.
    pub(crate) fn read(buf: &[u8], headers: &mut Headers) -> Result<Self, DecodeError> {
        let mut options = Self::default();
        if !headers.contains(KnownHeader::Connection) {
            return Ok(options);
        }
        let mut nominated = 0;
        // By index, because nominating needs the fields too.
        for index in 0..headers.len() {
            let Some(value) = headers.connection_value(index, buf) else { continue };
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                nominated += usize::from(options.take(option)?);
                if nominated > MAX_NOMINATED {
                    return Err(DecodeError::InvalidConnection { limit: MAX_NOMINATED });
                }
                headers.nominate(option, buf);
            }
        }
        Ok(options)
    }

    /// Whether the connection may carry another message after this one (RFC 9112 9.3).
    pub(crate) fn persists(self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }

    /// Notes one option; true when it names a field.
    fn take(&mut self, option: &[u8]) -> Result<bool, DecodeError> {
        if !option.iter().all(|byte| chars::is_token(*byte)) {
            return Err(DecodeError::InvalidConnection { limit: MAX_NOMINATED });
        }
        match option {
            _ if option.eq_ignore_ascii_case(b"close") => self.close = true,
            _ if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
            _ if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            // A field's name, or an empty list element (RFC 9110 5.6.1.2), which is ignored but not free.
            _ => return Ok(true),
        }
        Ok(false)
    }
}
