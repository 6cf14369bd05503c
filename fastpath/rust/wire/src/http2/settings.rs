//! SETTINGS (RFC 9113 6.5, RFC 8441 3).

use super::{Config, ConnectionError, Role};

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// A window before any SETTINGS.
pub(super) const DEFAULT_WINDOW: u32 = 65_535;
pub(super) const MAX_WINDOW: u32 = 0x7fff_ffff;

/// What the peer has announced, of what concerns us.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerSettings {
    pub(super) header_table_size: u32,
    pub(super) max_concurrent_streams: u32,
    pub(super) initial_window_size: u32,
    pub(super) enable_connect_protocol: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            max_concurrent_streams: u32::MAX,
            initial_window_size: DEFAULT_WINDOW,
            enable_connect_protocol: false,
        }
    }
}

impl PeerSettings {
    /// These settings with those of a SETTINGS payload over them. `role` is ours.
    pub(super) fn updated(self, payload: &[u8], role: Role) -> Result<Self, ConnectionError> {
        let mut updated = self;
        let entries = payload.chunks_exact(6);
        if !entries.remainder().is_empty() {
            return Err(ConnectionError::FrameSize);
        }
        for entry in entries {
            if let [id @ .., a, b, c, d] = entry
                && let Ok(id) = id.try_into()
            {
                updated.set(u16::from_be_bytes(id), u32::from_be_bytes([*a, *b, *c, *d]), role)?;
            }
        }
        Ok(updated)
    }

    fn set(&mut self, id: u16, value: u32, role: Role) -> Result<(), ConnectionError> {
        match (id, value) {
            (HEADER_TABLE_SIZE, _) => self.header_table_size = value,
            // A server must not ask a client to take pushes (RFC 9113 6.5.2).
            (ENABLE_PUSH, 0) => {}
            (ENABLE_PUSH, 1) if role == Role::Server => {}
            (ENABLE_PUSH, _) => return Err(ConnectionError::InvalidSetting),
            (MAX_CONCURRENT_STREAMS, _) => self.max_concurrent_streams = value,
            (INITIAL_WINDOW_SIZE, ..=MAX_WINDOW) => self.initial_window_size = value,
            (INITIAL_WINDOW_SIZE, _) => return Err(ConnectionError::InvalidWindowSetting),
            (MAX_FRAME_SIZE, 16_384..=16_777_215) => {}
            (MAX_FRAME_SIZE, _) => return Err(ConnectionError::InvalidSetting),
            (ENABLE_CONNECT_PROTOCOL, 1) => self.enable_connect_protocol = true,
            (ENABLE_CONNECT_PROTOCOL, 0) if !self.enable_connect_protocol => {}
            (ENABLE_CONNECT_PROTOCOL, _) => return Err(ConnectionError::InvalidSetting),
            _ => {}
        }
        Ok(())
    }
}

/// What we announce. MAX_FRAME_SIZE stays at its default, and so does MAX_HEADER_LIST_SIZE: who goes over our limit is
/// to get an answer that says so.
pub(super) fn announced(role: Role, config: &Config) -> impl Iterator<Item = (u16, u32)> + Clone {
    let of_role = match role {
        Role::Server => Some((MAX_CONCURRENT_STREAMS, config.max_concurrent_streams)),
        Role::Client => Some((ENABLE_PUSH, 0)),
    };
    let connect = (role == Role::Server && config.allow_connect).then_some((ENABLE_CONNECT_PROTOCOL, 1));
    let always = [
        (HEADER_TABLE_SIZE, config.hpack_table_size),
        (INITIAL_WINDOW_SIZE, config.initial_stream_window_size.min(MAX_WINDOW)),
    ];
    always.into_iter().chain(of_role).chain(connect)
}
