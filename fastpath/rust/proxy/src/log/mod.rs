//! Access logs leave the worker in large pieces, written by a thread of their own: the loop never waits for a disk.

mod sink;

pub(crate) use sink::{LogSinks, SinkId};
