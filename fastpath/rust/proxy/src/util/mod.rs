//! Small things that a request needs: random numbers, its id, the date, numbers as text, small
//! protobuf messages.

mod base64;
mod date;
mod number;
mod protobuf;
mod request_id;
mod rng;

pub(crate) use base64::{base64, from_base64};
pub(crate) use date::DateCache;
pub(crate) use number::{decimal, push_number};
pub(crate) use protobuf::{Content, next_field};
pub(crate) use request_id::new_request_id;
pub(crate) use rng::Rng;
