//! The event loop's parts: edge-triggered epoll, slabs of generation-checked slots, and a timer wheel.
//!
//! They know nothing of HTTP or of each other; `worker` puts them together. One worker is one thread, so nothing
//! here locks, and all of it is plain data that a test can drive by hand.

mod clock;
mod poller;
mod slab;
mod token;
mod wheel;

pub(crate) use clock::{Clock, Millis};
pub(crate) use poller::{Poller, Ready};
pub(crate) use slab::Slab;
pub(crate) use token::{Kind, Token};
pub(crate) use wheel::{TimerKey, Wheel};
