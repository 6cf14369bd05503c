//! What a request says to this hop alone.

use meshloom_wire::http1::{KnownHeader as H, Method};

use crate::message::Request;
use crate::reply::Failure;

/// Counts this hop in Max-Forwards, which TRACE and OPTIONS heed (RFC 9110 7.6.2). At zero the request ends here.
pub(super) fn count_hop(request: &mut Request) -> Option<Failure> {
    if !matches!(request.method, Method::Trace | Method::Options) {
        return None;
    }
    let left = match hops_left(request.fields.get(H::MaxForwards)?) {
        _ if request.fields.values("max-forwards").count() > 1 => return Some(Failure::MaxForwardsInvalid),
        None => return Some(Failure::MaxForwardsInvalid),
        Some(0) => {
            // An OPTIONS asks what we can, and that is nothing in particular; a TRACE would show what it carries.
            let status = if request.method == Method::Options { 200 } else { 501 };
            return Some(Failure::LastHop { status });
        }
        Some(left) => left,
    };
    request.fields.remove(H::MaxForwards);
    request.fields.add_number(H::MaxForwards, left - 1);
    None
}

/// `1*DIGIT`; what does not fit is more hops than there will ever be.
fn hops_left(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number)?;
    Some(text.parse().unwrap_or(u64::MAX))
}
