//! The worker's shared buffers: one read buffer for all connections, because between two reads nothing stays in it.

/// How much is read at once. A connection that has more gets another turn.
const READ_SIZE: usize = 64 * 1024;
/// Less than this is not worth a system call, however slow the other side is.
pub(super) const READ_LEAST: usize = 16 * 1024;
/// A TLS record with its header, padding and tag.
pub(super) const RECORD: usize = 16 * 1024 + 2048 + 5;

/// Scratch space that belongs to the turn of the loop, never to a connection.
pub(crate) struct Buffers {
    /// Plaintext as read.
    pub(crate) input: Box<[u8]>,
    /// Ciphertext as read, behind what was left of a partial record.
    pub(crate) cipher: Box<[u8]>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        let cipher = READ_SIZE + RECORD;
        // Plaintext is never longer than its ciphertext, so one decryption pass always fits.
        Self { input: vec![0; cipher].into(), cipher: vec![0; cipher].into() }
    }
}
