//! Envoy's v3 API, as far as it is implemented here.
//!
//! `fields.txt` lists the fields that are implemented; `tools/gen_xds.py` makes out of it the message types (with those
//! fields only) and a table of all fields. [`refusals`] walks the bytes of a resource along the table and finds what is
//! set but not implemented, before anything is decoded: so a field that does nothing here is never accepted in silence.
//!
//! Types only. What a resource means is decided in `meshloom-model`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[rustfmt::skip]
#[path = "generated/messages.rs"]
#[allow(clippy::large_enum_variant, clippy::enum_variant_names, missing_docs)]
mod messages;
mod table;
mod walk;
mod wire;

pub use messages::{envoy, udpa, xds};
pub use prost_types::{Any, Duration, ListValue, Struct, Value, value};
pub use walk::{Reason, Refusal, quoted, refusals};

/// The full name of the message in an `Any`: what follows the last `/` of its type URL.
pub fn type_name(type_url: &str) -> &str {
    type_url.rsplit_once('/').map_or(type_url, |(_, name)| name)
}
