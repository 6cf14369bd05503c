//! What a peer may make us read and hold.

/// Bounds on what one message may cost. The defaults are those of Envoy where Envoy has one.
///
/// A value is the largest that is accepted. A connection should use the same limits for all of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Start line, fields and the empty line together, in bytes. Default 60 KiB (Envoy's `max_request_headers_kb`).
    /// One line may take all of it: tokens and cookies are long. Beyond it a request line is a 414, a field a 431.
    pub head_bytes: u32,
    /// Fields in a head. Default 100 (Envoy's `max_headers_count`).
    pub fields: u16,
    /// A trailer section, in bytes, and the largest piece of a body that the caller has to hold. Default 8 KiB.
    pub trailer_bytes: u32,
    /// Chunk framing beyond 16 bytes a chunk plus twice the payload so far, in bytes. It stops bodies that are
    /// nearly all extensions, yet lets signed uploads pass, whose every large chunk has one. Default 16 KiB.
    pub chunk_overhead_bytes: u32,
    /// Accept methods outside the registered ones that Envoy knows; else they are a 400 as with Envoy.
    pub extension_methods: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 60 * 1024,
            fields: 100,
            trailer_bytes: 8 * 1024,
            chunk_overhead_bytes: 16 * 1024,
            extension_methods: false,
        }
    }
}

impl Limits {
    /// The limits for heads of so many bytes and fields, with everything else as by default.
    #[must_use]
    pub fn with_head(head_bytes: u32, fields: u16) -> Self {
        Self { head_bytes, fields, ..Self::default() }
    }
}
