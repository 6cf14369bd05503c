//! Fields to field blocks (RFC 7541 6).

use super::dynamic_table::{DEFAULT_TABLE_SIZE, DynamicTable, Hash, OVERHEAD};
use super::{huffman, integer, static_table};
use crate::http1::KnownHeader;

/// Encodes the field sections of one connection, in their order.
///
/// What recurs is indexed: most fields of a proxied message are the same from one to the next. What does not (paths,
/// identifiers, lengths) would only push the others out of the table, so it is written in full.
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable,
    /// The largest table that we keep, whatever the peer would allow.
    own_limit: usize,
    /// Table sizes to be announced at the head of the next block: the smallest since the last one, and the last.
    resized: Option<(usize, usize)>,
}

impl Encoder {
    #[must_use]
    pub fn new(own_limit: usize) -> Self {
        let size = own_limit.min(DEFAULT_TABLE_SIZE);
        let resized = (size < DEFAULT_TABLE_SIZE).then_some((size, size));
        Self { table: DynamicTable::new(size), own_limit, resized }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE.
    pub fn set_peer_limit(&mut self, limit: usize) {
        let size = limit.min(self.own_limit);
        if size == self.table.max_size() {
            return;
        }
        self.table.resize(size);
        self.resized = match self.resized {
            None => Some((size, size)),
            Some((smallest, _)) => Some((smallest.min(size), size)),
        };
    }

    /// Begins a block. Each block must be begun, and reach the peer.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some((smallest, last)) = self.resized.take() {
            if smallest < last {
                integer::encode(smallest, 5, 0x20, out);
            }
            integer::encode(last, 5, 0x20, out);
        }
    }

    /// Appends one field. `name` is in lower case.
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        self.known_field(KnownHeader::from_name(name), name, value, out);
    }

    /// The same for a name that has been looked up already.
    #[inline]
    pub(in crate::http2) fn known_field(
        &mut self,
        id: Option<KnownHeader>,
        name: &[u8],
        value: &[u8],
        out: &mut Vec<u8>,
    ) {
        let Habit { static_name, kind } = Habit::of(id, name);
        if let Some(index) = static_table::field_index(static_name, value) {
            integer::encode(index, 7, 0x80, out);
            return;
        }
        let is_small = name.len() + value.len() + OVERHEAD <= self.table.max_size() / 2;
        match kind {
            Kind::Recurs if is_small => self.indexed(static_name, name, value, out),
            Kind::Cookie if is_small && value.len() >= GUESSABLE => {
                self.indexed(static_name, name, value, out);
            }
            Kind::Recurs | Kind::Changes => literal(static_name, 4, NOT_INDEXED, name, value, out),
            Kind::Cookie | Kind::Secret => literal(static_name, 4, NEVER_INDEXED, name, value, out),
        }
    }

    fn indexed(&mut self, static_name: usize, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let hash = hash(name, value);
        let name_index = match self.table.find(name, value, hash) {
            Some((index, true)) => {
                integer::encode(static_table::LEN + 1 + index, 7, 0x80, out);
                return;
            }
            Some((index, false)) if static_name == 0 => static_table::LEN + 1 + index,
            _ => static_name,
        };
        literal(name_index, 6, INDEXED, name, value, out);
        self.table.insert(name, value, hash);
    }
}

const INDEXED: u8 = 0x40;
const NOT_INDEXED: u8 = 0x00;
const NEVER_INDEXED: u8 = 0x10;

#[inline]
fn literal(name_index: usize, prefix: u8, pattern: u8, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    integer::encode(name_index, prefix, pattern, out);
    if name_index == 0 {
        string(name, out);
    }
    string(value, out);
}

#[inline]
fn string(text: &[u8], out: &mut Vec<u8>) {
    let short = huffman::encoded_len(text);
    if short < text.len() {
        integer::encode(short, 7, 0x80, out);
        huffman::encode(text, out);
    } else {
        integer::encode(text.len(), 7, 0, out);
        out.extend_from_slice(text);
    }
}

/// How fields of a name are best written.
#[derive(Clone, Copy)]
struct Habit {
    /// The first entry of the static table with this name; 0 if there is none.
    static_name: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Likely to come again with the same value.
    Recurs,
    Changes,
    /// Not to be found out by watching the compression (RFC 7541 7.1).
    Secret,
    /// Secret if it is short enough to be guessed.
    Cookie,
}

/// Cookies shorter than this could be guessed.
const GUESSABLE: usize = 20;

impl Habit {
    #[inline]
    fn of(id: Option<KnownHeader>, name: &[u8]) -> Self {
        match id {
            Some(id) => {
                HABITS.get(id as usize).copied().unwrap_or(Self { static_name: 0, kind: Kind::Changes })
            }
            None if name == b":path" => Self { static_name: static_table::PATH, kind: Kind::Changes },
            None => Self { static_name: static_table::name_index(name), kind: Kind::Recurs },
        }
    }

    const fn of_known(id: KnownHeader) -> Self {
        use KnownHeader as H;
        let kind = match id {
            H::Authorization | H::ProxyAuthorization => Kind::Secret,
            H::Cookie => Kind::Cookie,
            H::Age | H::ContentLength | H::ContentRange | H::Etag | H::Expires | H::IfMatch => Kind::Changes,
            H::IfModifiedSince | H::IfNoneMatch | H::IfRange | H::LastModified | H::Location => Kind::Changes,
            H::Range | H::SetCookie | H::XRequestId | H::Traceparent | H::Tracestate | H::B3 => Kind::Changes,
            H::XB3Traceid | H::XB3Spanid | H::XB3Parentspanid | H::XOtSpanContext => Kind::Changes,
            H::XClientTraceId | H::XEnvoyUpstreamServiceTime | H::XEnvoyExpectedRqTimeoutMs => Kind::Changes,
            H::GrpcTimeout | H::GrpcMessage => Kind::Changes,
            _ => Kind::Recurs,
        };
        Self { static_name: static_table::find_name(id.name().as_bytes()), kind }
    }
}

static HABITS: [Habit; KnownHeader::COUNT] = habits();

#[allow(clippy::indexing_slicing, reason = "runs in the compiler")]
const fn habits() -> [Habit; KnownHeader::COUNT] {
    let mut habits = [Habit { static_name: 0, kind: Kind::Recurs }; KnownHeader::COUNT];
    let mut at = 0;
    while at < KnownHeader::COUNT {
        habits[at] = Habit::of_known(KnownHeader::ALL[at]);
        at += 1;
    }
    habits
}

/// FNV-like, by words; it only has to tell the entries of one table apart.
#[inline]
fn hash(name: &[u8], value: &[u8]) -> Hash {
    let name = digest(name, 0x9e37_79b9);
    Hash { name, field: digest(value, name) }
}

#[inline]
fn digest(text: &[u8], seed: u32) -> u32 {
    const MULTIPLIER: u64 = 0xf135_7aea_2e62_a9c5;
    let mix = |state: u64, word: u64| (state ^ word).wrapping_mul(MULTIPLIER).rotate_left(29);
    let words = text.chunks_exact(8);
    let tail = words.remainder();
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let state = words.fold(u64::from(seed), |state, bytes| mix(state, word(bytes)));
    let tail = tail.iter().fold(text.len() as u64, |tail, byte| tail << 8 | u64::from(*byte));
    (mix(state, tail) >> 32) as u32
}
