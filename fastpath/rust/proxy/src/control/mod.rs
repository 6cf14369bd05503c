//! What comes from outside the loop: the settings at start, and the arbiter's messages while it runs.

mod channel;
mod settings;

pub(crate) use channel::{Channel, ChannelError, Command, Inbound, Report, read_payload};
pub use settings::{InvalidSettings, ListenerFd, Settings};
