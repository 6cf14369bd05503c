//! One TLS connection, either side: ciphertext in, plaintext out, and back. No sockets here.

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

/// Why a TLS connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("TLS: {0}")]
    Protocol(#[from] rustls::Error),
    #[error("TLS: the handshake is not complete")]
    NotReady,
    #[error("TLS: a record could not be encoded")]
    Encode,
}

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// A TLS connection without its socket.
pub(crate) struct TlsSession {
    side: Side,
    /// Ciphertext of a record, or of a handshake message, whose end has not arrived.
    held: Vec<u8>,
    /// `held` was read by a listener filter and has not been looked at yet.
    preloaded: bool,
    peer_closed: bool,
    /// After an error nothing more may be asked of the connection but its alert.
    failed: bool,
}

impl TlsSession {
    pub(crate) fn server(connection: UnbufferedServerConnection) -> Self {
        Self {
            side: Side::Server(connection),
            held: Vec::new(),
            preloaded: false,
            peer_closed: false,
            failed: false,
        }
    }

    pub(crate) fn client(connection: UnbufferedClientConnection) -> Self {
        Self {
            side: Side::Client(connection),
            held: Vec::new(),
            preloaded: false,
            peer_closed: false,
            failed: false,
        }
    }

    /// Hands over ciphertext that was read before the session began.
    pub(crate) fn preload(&mut self, bytes: &[u8]) {
        self.hold(bytes);
        self.preloaded = !bytes.is_empty();
    }

    /// Moves preloaded bytes, once, to the front of `cipher`.
    pub(crate) fn preloaded(&mut self, cipher: &mut [u8]) -> Option<usize> {
        std::mem::take(&mut self.preloaded).then(|| self.restore(cipher))
    }

    /// Moves the held bytes to the front of `cipher`, to be read on behind them.
    pub(crate) fn restore(&mut self, cipher: &mut [u8]) -> usize {
        let held = self.held.len().min(cipher.len());
        if let (Some(to), Some(from)) = (cipher.get_mut(..held), self.held.get(..held)) {
            to.copy_from_slice(from);
        }
        self.held.clear();
        held
    }

    /// Keeps ciphertext for the next time.
    pub(crate) fn hold(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            // Between records nothing is kept, so that idle connections are small.
            self.held = Vec::new();
        } else {
            self.held.clear();
            self.held.extend_from_slice(bytes);
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.side {
            Side::Server(connection) => connection.is_handshaking(),
            Side::Client(connection) => connection.is_handshaking(),
        }
    }

    /// The peer has said close_notify.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    pub(crate) fn version(&self) -> Option<rustls::ProtocolVersion> {
        match &self.side {
            Side::Server(connection) => connection.protocol_version(),
            Side::Client(connection) => connection.protocol_version(),
        }
    }

    pub(crate) fn cipher_suite(&self) -> Option<rustls::SupportedCipherSuite> {
        match &self.side {
            Side::Server(connection) => connection.negotiated_cipher_suite(),
            Side::Client(connection) => connection.negotiated_cipher_suite(),
        }
    }

    /// The protocol that both sides have agreed on.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match &self.side {
            Side::Server(connection) => connection.alpn_protocol(),
            Side::Client(connection) => connection.alpn_protocol(),
        }
    }

    /// The version by OpenSSL's name.
    pub(crate) fn version_name(&self) -> &'static str {
        match self.version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        }
    }

    /// The cipher suite by its registered name.
    pub(crate) fn cipher_name(&self) -> &'static str {
        self.cipher_suite().and_then(|suite| suite.suite().as_str()).map_or("", |name| name)
    }

    /// The name that a client asked for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        None
    }

    /// The peer's verified chain, its own certificate first; empty when it gave none.
    pub(crate) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        match &self.side {
            Side::Server(connection) => connection.peer_certificates(),
            Side::Client(connection) => connection.peer_certificates(),
        }
        .unwrap_or_default()
    }

    /// Takes in ciphertext. Plaintext goes to the front of `plain`, which must be as long as `cipher`; what has to be
    /// answered (handshake, alerts, key updates) is appended to `out`. Gives the length of the plaintext.
    pub(crate) fn decrypt(
        &mut self,
        cipher: &mut [u8],
        plain: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        let (mut start, mut written) = (0, 0);
        loop {
            let rest = cipher.get_mut(start..).unwrap_or_default();
            let room = plain.get_mut(written..).unwrap_or_default();
            let step = match &mut self.side {
                Side::Server(connection) => step(connection.process_tls_records(rest), room, out),
                Side::Client(connection) => step(connection.process_tls_records(rest), room, out),
            };
            let (discard, progress) = step;
            start += discard;
            match progress {
                Ok(Progress::Plain(n)) => written += n,
                Ok(Progress::Again) => {}
                Ok(Progress::PeerClosed) => self.peer_closed = true,
                Ok(Progress::Done) => break,
                Err(error) => {
                    self.failed = true;
                    self.emit_alert(cipher.get_mut(start..).unwrap_or_default(), out);
                    return Err(error);
                }
            }
        }
        self.hold(cipher.get(start..).unwrap_or_default());
        Ok(written)
    }

    /// After an error the alert is still to be sent. rustls remembers where in `rest` further handshake messages lie,
    /// so it must see the same bytes again: with others it panics.
    fn emit_alert(&mut self, rest: &mut [u8], out: &mut Vec<u8>) {
        let mut start = 0;
        for _ in 0..4 {
            let rest = rest.get_mut(start..).unwrap_or_default();
            let (discard, progress) = match &mut self.side {
                Side::Server(connection) => step(connection.process_tls_records(rest), &mut [], out),
                Side::Client(connection) => step(connection.process_tls_records(rest), &mut [], out),
            };
            start += discard;
            if !matches!(progress, Ok(Progress::Again)) {
                break;
            }
        }
    }

    /// Starts a client's handshake: appends the ClientHello to `out`.
    pub(crate) fn start(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.decrypt(&mut [], &mut [], out).map(drop)
    }

    /// Encrypts `plain` and appends the records to `out`.
    pub(crate) fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::NotReady);
        }
        let held = self.held.as_mut_slice();
        match &mut self.side {
            Side::Server(connection) => encrypt(connection.process_tls_records(held), plain, out),
            Side::Client(connection) => encrypt(connection.process_tls_records(held), plain, out),
        }
    }

    /// Appends a close_notify alert to `out`, when the handshake is far enough for one.
    pub(crate) fn close_notify(&mut self, out: &mut Vec<u8>) {
        if self.failed {
            return;
        }
        let held = self.held.as_mut_slice();
        match &mut self.side {
            Side::Server(connection) => close_notify(connection.process_tls_records(held), out),
            Side::Client(connection) => close_notify(connection.process_tls_records(held), out),
        }
    }
}

enum Progress {
    Plain(usize),
    Again,
    PeerClosed,
    Done,
}

/// One step of the machine: how much ciphertext is used up, and what came of it.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut [u8],
    out: &mut Vec<u8>,
) -> (usize, Result<Progress, TlsError>) {
    let UnbufferedStatus { mut discard, state } = status;
    let progress = match state {
        Err(error) => Err(error.into()),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut written = 0;
            let mut failed = None;
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        match plain.get_mut(written..written + record.payload.len()) {
                            Some(room) => room.copy_from_slice(record.payload),
                            None => failed = Some(TlsError::Encode),
                        }
                        written += record.payload.len();
                    }
                    Err(error) => {
                        failed = Some(error.into());
                        break;
                    }
                }
            }
            failed.map_or(Ok(Progress::Plain(written)), Err)
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => append(out, |room| match data.encode(room) {
            Ok(n) => Ok(n),
            Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
            Err(EncodeError::AlreadyEncoded) => Err(None),
        })
        .map(|()| Progress::Again),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Progress::Again)
        }
        Ok(ConnectionState::PeerClosed) => Ok(Progress::PeerClosed),
        // Early data is never offered (`max_early_data_size` is 0): requests in it could be replayed.
        Ok(_) => Ok(Progress::Done),
    };
    (discard, progress)
}

fn encrypt<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), TlsError> {
    let mut write = |traffic: &mut rustls::unbuffered::WriteTraffic<'_, Data>| {
        append(out, |room| match traffic.encrypt(plain, room) {
            Ok(n) => Ok(n),
            Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
            Err(EncryptError::EncryptExhausted) => Err(None),
        })
    };
    match status.state? {
        ConnectionState::WriteTraffic(mut traffic) => write(&mut traffic),
        ConnectionState::TransmitTlsData(mut data) => match data.may_encrypt_app_data() {
            Some(mut traffic) => write(&mut traffic),
            None => Err(TlsError::NotReady),
        },
        _ => Err(TlsError::NotReady),
    }
}

fn close_notify<Data>(status: UnbufferedStatus<'_, '_, Data>, out: &mut Vec<u8>) {
    if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
        // A session that cannot encode its alert is closed without one.
        let _ = append(out, |room| match traffic.queue_close_notify(room) {
            Ok(n) => Ok(n),
            Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
            Err(EncryptError::EncryptExhausted) => Err(None),
        });
    }
}

/// Room for a handshake flight or a small message; a larger one is told its size and tried again.
const FIRST_TRY: usize = 2048;

/// Lets `write` write behind the end of `out`. It says how much room it needs when there was too little.
fn append(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), TlsError> {
    let end = out.len();
    let mut room = FIRST_TRY;
    for _ in 0..2 {
        out.resize(end + room, 0);
        match write(out.get_mut(end..).unwrap_or_default()) {
            Ok(n) => {
                out.truncate(end + n);
                return Ok(());
            }
            Err(Some(required)) => room = required,
            Err(None) => break,
        }
    }
    out.truncate(end);
    Err(TlsError::Encode)
}
