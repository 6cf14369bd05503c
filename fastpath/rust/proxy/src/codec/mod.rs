//! HTTP/1 as the engine speaks it: heads and bodies onto the wire. Reading is `meshloom_wire`'s.

mod encode;
mod outbox;

pub(crate) use encode::{ResponseOptions, Sender, interim_head, request_head, response_head};
pub(crate) use outbox::Outbox;
