//! Active health checks. One worker makes them, that of slot 0; the others are told what it finds, through the arbiter.
//!
//! ```text
//!            pause is over            connected, TLS done          answer, end or timeout
//!   Waiting ───────────────► Opening ─────────────────────► Asking ──────────────────────► Waiting
//!      └──────────── the connection is kept ──────────────────▲
//! ```

mod check;
mod engine;
mod events;
mod http1;
mod http2;
mod reply;
mod talk;
mod verdicts;

pub(crate) use check::Check;
pub(crate) use verdicts::{HealthReport, Known, Verdicts};
