//! One TLS connection, either side: ciphertext in, plaintext out, and back. No sockets here.

use std::rc::Rc;
use std::sync::Arc;

use meshloom_wire::tls_hello::{Peek, peek};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, CommonState, HandshakeKind, ServerConfig};

use super::algorithms::{group_name, scheme_name, suite_name};
use super::notes::{Notes, Refusal, Staple};
use super::records::{Progress, TlsError, close_notify, encrypt, step};
use super::session_id::session_id;
use super::{PeerIdentity, ServerTls};

/// Longest beginning of a connection in which a ClientHello is waited for; BoringSSL takes no longer hello either.
const MOST_HELLO: usize = 16 * 1024 + 1024;
/// A fatal alert `illegal_parameter` (RFC 8446 6.2), in the clear.
const TOO_LONG: [u8; 7] = [21, 3, 3, 0, 2, 2, 47];

enum Side {
    /// A server that has not seen the whole ClientHello, on which its configuration depends.
    Waiting,
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What a handshake came to, for statistics and logs. Names are those of OpenSSL; an empty one is not known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    pub(crate) group: &'static str,
    /// How the peer has proved that it has its key.
    pub(crate) scheme: &'static str,
    pub(crate) resumed: bool,
    /// The peer showed a certificate, now or when the session began.
    pub(crate) certified: bool,
}

/// A TLS connection without its socket.
pub(crate) struct TlsSession {
    side: Side,
    /// Of a server: what it was made from. Secrets may change while a handshake is under way.
    server: Option<Rc<ServerTls>>,
    notes: Notes,
    /// The name that the client has asked for.
    server_name: Option<Box<str>>,
    /// Of a TLS 1.2 session, as the client.
    session_id: Box<[u8]>,
    /// Ciphertext of a record, or of a handshake message, whose end has not arrived.
    held: Vec<u8>,
    /// `held` was read by a listener filter and has not been looked at yet.
    preloaded: bool,
    peer_closed: bool,
    /// After an error nothing more may be asked of the connection but its alert.
    failed: bool,
}

impl TlsSession {
    /// The server's side. Which configuration a client gets depends on what it says first.
    pub(crate) fn server(tls: Rc<ServerTls>) -> Self {
        Self { server: Some(tls), ..Self::new(Side::Waiting) }
    }

    /// The client's side. `endpoint` tells one server from another, for their sessions; `demanded` is a name that the
    /// server's certificate must have.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        endpoint: u64,
        demanded: Option<ServerName<'static>>,
    ) -> Result<Self, rustls::Error> {
        let mut notes = Notes { endpoint, demanded, ..Notes::default() };
        let server_name = match &name {
            ServerName::DnsName(name) => Some(name.as_ref().to_ascii_lowercase().into()),
            _ => None,
        };
        let connection = notes.during(|| UnbufferedClientConnection::new(config, name))?;
        Ok(Self { notes, server_name, ..Self::new(Side::Client(connection)) })
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            server: None,
            notes: Notes::default(),
            server_name: None,
            session_id: Box::default(),
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

    /// How many bytes are held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
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

    fn state(&self) -> Option<&CommonState> {
        match &self.side {
            Side::Waiting => None,
            Side::Server(connection) => Some(connection),
            Side::Client(connection) => Some(connection),
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.state().is_none_or(CommonState::is_handshaking)
    }

    /// It broke after its handshake: either side has found fault with what the other one said.
    pub(crate) fn has_broken(&self) -> bool {
        self.failed && !self.is_handshaking()
    }

    /// The peer has said close_notify.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// What the handshake came to, as far as it is.
    pub(crate) fn summary(&self) -> Summary {
        let state = self.state();
        Summary {
            version: match state.and_then(CommonState::protocol_version) {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "",
            },
            cipher: state
                .and_then(CommonState::negotiated_cipher_suite)
                .map_or("", |suite| suite_name(suite.suite())),
            group: state
                .and_then(CommonState::negotiated_key_exchange_group)
                .map_or("", |group| group_name(group.name())),
            scheme: self.notes.peer_scheme.map_or("", scheme_name),
            resumed: state.and_then(CommonState::handshake_kind) == Some(HandshakeKind::Resumed),
            certified: !self.peer_certificates().is_empty(),
        }
    }

    /// The protocol that both sides have agreed on.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.state().and_then(CommonState::alpn_protocol)
    }

    /// The identifier of a TLS 1.2 session; empty where there is none.
    pub(crate) fn session_id(&self) -> &[u8] {
        match self.state().and_then(CommonState::protocol_version) {
            Some(rustls::ProtocolVersion::TLSv1_2) => &self.session_id,
            _ => &[],
        }
    }

    /// The name that the client has asked for, in lower case.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Why the peer was not let in, if it was not.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.notes.refusal
    }

    /// What became of the OCSP response, if the client asked for one.
    pub(crate) fn staple(&self) -> Option<Staple> {
        self.notes.staple
    }

    /// The peer's chain, its own certificate first; empty when it gave none. It has passed the checks of the handshake.
    pub(crate) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.state().and_then(CommonState::peer_certificates).unwrap_or_default()
    }

    /// Who the client is, if its certificate passes now; also when the session is resumed, and when the handshake let
    /// through whatever came.
    pub(crate) fn client_identity(&self) -> Option<PeerIdentity> {
        self.server.as_ref()?.identify(self.peer_certificates())
    }

    /// Our own identity as the server.
    pub(crate) fn local_identity(&self) -> Option<Rc<PeerIdentity>> {
        self.server.as_ref()?.local.clone()
    }

    /// Takes in ciphertext. Plaintext goes to the front of `plain`, which must be as long as `cipher`; what has to be
    /// answered (handshake, alerts, key updates) is appended to `out`. Gives the length of the plaintext.
    pub(crate) fn decrypt(
        &mut self,
        cipher: &mut [u8],
        plain: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        if matches!(self.side, Side::Waiting) && !self.look_at_hello(cipher, out)? {
            return Ok(0);
        }
        if matches!(&self.side, Side::Client(connection) if connection.is_handshaking()) {
            self.session_id = session_id(cipher).unwrap_or_else(|| std::mem::take(&mut self.session_id));
        }
        let (mut start, mut written) = (0, 0);
        loop {
            let rest = cipher.get_mut(start..).unwrap_or_default();
            let room = plain.get_mut(written..).unwrap_or_default();
            let (discard, progress) = self.step(rest, room, out);
            start += discard;
            match progress {
                Ok(Progress::Plain(n)) => written += n,
                Ok(Progress::Again) => {}
                Ok(Progress::PeerClosed) => self.peer_closed = true,
                Ok(Progress::Done) => break,
                Err(error) => {
                    if matches!(error, TlsError::Protocol(rustls::Error::NoCertificatesPresented)) {
                        self.notes.refusal = Some(Refusal::NoCertificate);
                    }
                    self.failed = true;
                    self.emit_alert(cipher.get_mut(start..).unwrap_or_default(), out);
                    return Err(error);
                }
            }
        }
        self.hold(cipher.get(start..).unwrap_or_default());
        Ok(written)
    }

    /// Waits for the whole ClientHello (RFC 8446 4.1.2) and begins with the configuration for it; false while it is
    /// incomplete. Whatever is no ClientHello is left to rustls, which knows the right alert.
    fn look_at_hello(&mut self, cipher: &[u8], out: &mut Vec<u8>) -> Result<bool, TlsError> {
        let Some(tls) = self.server.clone() else { return Err(TlsError::NotReady) };
        let config = match peek(cipher, MOST_HELLO) {
            Peek::TooLong => {
                self.failed = true;
                out.extend_from_slice(&TOO_LONG);
                return Err(TlsError::LongHello);
            }
            Peek::Incomplete(_) => {
                self.hold(cipher);
                return Ok(false);
            }
            Peek::NotTls | Peek::Malformed => tls.config(),
            Peek::Hello(hello) => {
                let config = tls.config_for(&hello);
                self.notes.wants_staple = hello.offers.wants_staple;
                self.server_name = hello.server_name;
                config
            }
        };
        self.begin(config).map(|()| true)
    }

    fn begin(&mut self, config: Arc<ServerConfig>) -> Result<(), TlsError> {
        self.side = Side::Server(UnbufferedServerConnection::new(config)?);
        Ok(())
    }

    /// One step of rustls, which finds the notes of this connection laid open.
    fn step(
        &mut self,
        cipher: &mut [u8],
        plain: &mut [u8],
        out: &mut Vec<u8>,
    ) -> (usize, Result<Progress, TlsError>) {
        let Self { side, notes, .. } = self;
        notes.during(|| match side {
            Side::Waiting => (0, Ok(Progress::Done)),
            Side::Server(connection) => step(connection.process_tls_records(cipher), plain, out),
            Side::Client(connection) => step(connection.process_tls_records(cipher), plain, out),
        })
    }

    /// After an error the alert is still to be sent. rustls remembers where in `rest` further handshake messages lie,
    /// so it must see the same bytes again: with others it panics. Once it has given the alert it may not be asked any
    /// more: it would find the same error in them.
    fn emit_alert(&mut self, rest: &mut [u8], out: &mut Vec<u8>) {
        let mut start = 0;
        for _ in 0..4 {
            let (rest, before) = (rest.get_mut(start..).unwrap_or_default(), out.len());
            let (discard, progress) = self.step(rest, &mut [], out);
            start += discard;
            if !matches!(progress, Ok(Progress::Again)) || is_alert(out.get(before..).unwrap_or_default()) {
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
            Side::Waiting => Err(TlsError::NotReady),
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
            Side::Waiting => {}
            Side::Server(connection) => close_notify(connection.process_tls_records(held), out),
            Side::Client(connection) => close_notify(connection.process_tls_records(held), out),
        }
    }
}

/// Is this record an alert? TLS 1.3 shows but its length (RFC 8446 5.2): no other record that we send is as short.
fn is_alert(record: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const SEALED: usize = 5 + 2 + 1 + 16;
    record.first() == Some(&ALERT) || record.len() == SEALED
}
