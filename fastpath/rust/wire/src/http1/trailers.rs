//! Trailer fields, which are never merged into a head (RFC 9110 6.5.1).

use super::fields::{FieldLine, field_line, is_framing_in_disguise};
use super::{KnownHeader, Scope};

/// The fields of a trailer section that may be forwarded, as (name, value).
///
/// Left out are fields that frame, route, authenticate or modify a message (RFC 9110 6.5.1): a recipient that merged
/// them would be steered from behind. All known request modifiers go, so what remains is in effect what applications
/// invent, plus what gRPC uses.
#[derive(Clone, Debug)]
pub struct TrailerFields<'b> {
    section: &'b [u8],
    at: usize,
}

impl<'b> TrailerFields<'b> {
    /// `section` is the range of a [`super::BodyEvent::Trailers`].
    #[must_use]
    pub fn new(section: &'b [u8]) -> Self {
        Self { section, at: 0 }
    }
}

impl<'b> Iterator for TrailerFields<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Ok(FieldLine::Field { name, value, next }) = field_line(self.section, self.at) else {
                return None;
            };
            self.at = next;
            if is_allowed(name.of(self.section)) {
                return Some((name.of(self.section), value.of(self.section)));
            }
        }
    }
}

/// An allow-list among the known names; unknown names pass.
fn is_allowed(name: &[u8]) -> bool {
    if is_framing_in_disguise(name) {
        return false;
    }
    KnownHeader::from_name(name).is_none_or(|id| {
        Scope::of(id) == Scope::EndToEnd
            && matches!(
                id,
                KnownHeader::GrpcStatus
                    | KnownHeader::GrpcMessage
                    | KnownHeader::Etag
                    | KnownHeader::Date
                    | KnownHeader::Server
                    | KnownHeader::Via
            )
    })
}
