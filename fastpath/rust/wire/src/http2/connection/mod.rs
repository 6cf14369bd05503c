//! One connection: frames in, events and frames out.

mod block;
mod control;
mod data;
mod faults;
mod receive;
mod send;

use block::FieldBlock;
use data::Payload;

use super::flow::{ReceiveWindow, SendWindow};
use super::frame::write;
use super::guards::{Guards, Unsent};
use super::settings::{self, DEFAULT_WINDOW, MAX_WINDOW, PeerSettings};
use super::stream::Streams;
use super::{Config, Counters, Decoder, Encoder, Event, PREFACE, Role, StreamId};

/// The HTTP/2 side of one transport connection.
///
/// `out` is always the buffer whose bytes go to the peer next, in order; this only appends to it. After an error of
/// `next` nothing more may be asked of the connection: flush `out` and close.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    config: Config,
    stage: Stage,
    streams: Streams,
    decoder: Decoder,
    encoder: Encoder,
    block: FieldBlock,
    peer: PeerSettings,
    receive_window: ReceiveWindow,
    send_window: SendWindow,
    /// Receive window of new streams: ours once the peer has acknowledged it, and no less than the default before.
    stream_window: u32,
    /// SETTINGS of ours that the peer has not acknowledged.
    unacknowledged: u32,
    /// The highest stream that the peer has opened.
    last_peer_stream: StreamId,
    /// The next stream that we open.
    next_stream: StreamId,
    /// What our last GOAWAY says; streams above it are not taken.
    goaway_sent: Option<StreamId>,
    goaway_received: Option<StreamId>,
    /// An event that the last frame gave beside the one that was told.
    pending: Option<Event>,
    guards: Guards,
    unsent: Unsent,
    counters: Counters,
    /// A field name in lower case.
    lower: Vec<u8>,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The client's preface.
    Preface,
    /// The first frame, which is SETTINGS.
    Settings,
    Frames,
    /// The payload of a DATA frame.
    Payload(Payload),
    /// Nothing: there was an error.
    Over,
}

/// What a GOAWAY says that ends nothing yet.
const NO_LAST_STREAM: StreamId = MAX_WINDOW;

impl Connection {
    /// Begins a connection: writes the preface (client), SETTINGS and the connection's window.
    #[must_use]
    pub fn new(role: Role, config: Config, out: &mut Vec<u8>) -> Self {
        let before = out.len();
        if role == Role::Client {
            out.extend_from_slice(PREFACE);
        }
        write::settings(settings::announced(role, &config), out);
        let window = config.initial_connection_window_size.clamp(DEFAULT_WINDOW, MAX_WINDOW);
        if window > DEFAULT_WINDOW {
            write::window_update(0, window - DEFAULT_WINDOW, out);
        }
        let mut unsent = Unsent::default();
        unsent.written(out.len() - before);
        Self {
            role,
            config,
            stage: if role == Role::Server { Stage::Preface } else { Stage::Settings },
            streams: Streams::default(),
            decoder: Decoder::new(config.hpack_table_size as usize),
            encoder: Encoder::new(config.hpack_table_size as usize),
            block: FieldBlock::default(),
            peer: PeerSettings::default(),
            receive_window: ReceiveWindow::new(window),
            send_window: SendWindow::new(DEFAULT_WINDOW),
            stream_window: config.initial_stream_window_size.clamp(DEFAULT_WINDOW, MAX_WINDOW),
            unacknowledged: 1,
            last_peer_stream: 0,
            next_stream: 1,
            goaway_sent: None,
            goaway_received: None,
            pending: None,
            guards: Guards::default(),
            unsent,
            counters: Counters::default(),
            lower: Vec::new(),
        }
    }

    /// How many of the bytes written so far the network has not taken. Call after each attempt to write; frames count
    /// against the limits until then.
    pub fn note_unsent(&mut self, bytes: usize) {
        self.unsent.note(bytes);
    }

    /// The time in milliseconds on any monotonic clock. The guards that count resets and control frames start afresh
    /// each ten seconds of it; without calls they count over the whole connection.
    pub fn note_time(&mut self, now_ms: u64) {
        self.guards.note_time(now_ms);
    }

    /// Streams that are not over, of both sides.
    #[must_use]
    pub fn active_streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether [`Self::open`] would give a stream.
    #[must_use]
    pub fn can_open(&self) -> bool {
        self.role == Role::Client
            && !self.is_draining()
            && self.next_stream <= MAX_WINDOW
            && self.streams.len() < self.peer.max_concurrent_streams as usize
    }

    /// Whether a GOAWAY was received or sent, so that the connection ends with its streams.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.goaway_sent.is_some() || self.goaway_received.is_some()
    }

    /// The bytes that [`Self::send_data`] would take of this stream now.
    #[must_use]
    pub fn send_capacity(&self, stream: StreamId) -> usize {
        let of_stream = self.streams.get(stream).map_or(0, |stream| stream.send_window.available());
        of_stream.min(self.send_window.available())
    }

    /// The peer's SETTINGS_MAX_CONCURRENT_STREAMS; `u32::MAX` where it has not said.
    #[must_use]
    pub fn peer_max_streams(&self) -> u32 {
        self.peer.max_concurrent_streams
    }

    /// Whether the peer takes extended CONNECT (RFC 8441 3).
    #[must_use]
    pub fn peer_allows_connect_protocol(&self) -> bool {
        self.peer.enable_connect_protocol
    }

    /// Whether a field block has begun that is not complete. Until it is, nothing else can be read.
    #[must_use]
    pub fn is_in_field_block(&self) -> bool {
        self.block.open_stream().is_some()
    }

    /// Whether the peer's SETTINGS have arrived.
    #[must_use]
    pub fn is_established(&self) -> bool {
        matches!(self.stage, Stage::Frames | Stage::Payload(_))
    }

    /// What was counted since the last call.
    pub fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }

    /// The stream's number is one that the side which opens such streams has not used yet.
    fn is_idle(&self, stream: StreamId) -> bool {
        match (self.role, stream % 2) {
            (Role::Server, 1) => stream > self.last_peer_stream,
            (Role::Client, 1) => stream >= self.next_stream,
            // We neither push nor take pushes.
            _ => true,
        }
    }
}
