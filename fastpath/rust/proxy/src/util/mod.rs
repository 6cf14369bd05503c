//! Small things that a request needs: random numbers, its id, the date, numbers as text.

mod date;
mod number;
mod request_id;
mod rng;

pub(crate) use date::DateCache;
pub(crate) use number::push_number;
pub(crate) use request_id::{TraceReason, new_request_id, set_trace_reason};
pub(crate) use rng::Rng;
