//! Heads of messages between the two codecs: what came in, with what was changed. No protocol version in here.

mod fields;
mod protocol;
mod request;
mod response;

pub(crate) use fields::Fields;
pub(crate) use protocol::Protocol;
pub(crate) use request::{Request, Scheme, is_grpc};
pub(crate) use response::Response;
