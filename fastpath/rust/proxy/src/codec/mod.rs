//! HTTP as the engine speaks it: HTTP/1 heads and bodies onto the wire, and what bounds HTTP/2. Reading, and all framing
//! of HTTP/2, is `meshloom_wire`'s.

mod encode;
mod http2;
mod outbox;
mod spelling;

pub(crate) use encode::{ResponseOptions, Sender, interim_head, request_head, response_head};
pub(crate) use http2::http2_config;
pub(crate) use outbox::Outbox;
pub(crate) use spelling::Spelling;
