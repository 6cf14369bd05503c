//! Pseudo-fields (RFC 9113 8.3, RFC 8441 4).

use crate::http1::Span;
use crate::http2::StreamFault;

/// Where the pseudo-fields of a section are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pseudo {
    pub(super) method: Option<Span>,
    pub(super) scheme: Option<Span>,
    pub(super) authority: Option<Span>,
    pub(super) path: Option<Span>,
    pub(super) protocol: Option<Span>,
    pub(super) status: Option<Span>,
}

impl Pseudo {
    /// Notes that the pseudo-field `name` has its value at `value`; each may come once.
    pub(super) fn set(&mut self, name: &[u8], value: Span) -> Result<(), StreamFault> {
        let place = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            b":protocol" => &mut self.protocol,
            b":status" => &mut self.status,
            _ => return Err(StreamFault::InvalidPseudoField),
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(StreamFault::InvalidPseudoField),
        }
    }
}
