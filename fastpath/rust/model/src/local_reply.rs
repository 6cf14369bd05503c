//! What becomes of answers that the proxy makes itself: other words, another form, another status.

use std::sync::Arc;

use crate::access_log::{LogFilter, LogFormat};
use crate::headers::HeaderOps;

/// How answers of our own are changed.
#[derive(Clone, Debug)]
pub struct LocalReplies {
    /// The first whose filter passes is applied.
    pub mappers: Box<[ReplyMapper]>,
    /// The form of all bodies, unless a mapper has one of its own.
    pub format: Option<BodyFormat>,
}

/// What is done to some of the answers.
#[derive(Clone, Debug)]
pub struct ReplyMapper {
    /// Which ones.
    pub filter: LogFilter,
    /// In place of their status.
    pub status: Option<u16>,
    /// In place of their body.
    pub body: Option<Arc<str>>,
    /// Headers for them.
    pub headers: HeaderOps,
    /// The form of their bodies.
    pub format: Option<BodyFormat>,
}

/// The form of a body; `%LOCAL_REPLY_BODY%` is what there was to say.
#[derive(Clone, Debug)]
pub struct BodyFormat {
    /// Its text.
    pub format: LogFormat,
    /// What it is.
    pub content_type: Arc<str>,
}
