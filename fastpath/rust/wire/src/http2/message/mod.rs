//! From fields to messages: what RFC 9113 8 calls malformed never becomes one.
//!
//! A [`Section`] takes the fields of one block as they are decoded, and its end judges the whole. Faults are noted, not
//! returned: the block is decoded to its end whatever it holds, or the HPACK tables would be lost.

mod pseudo;
mod request;
mod response;
mod section;
mod trailers;

pub(super) use section::{Limits, Section, Use, Verdict};
