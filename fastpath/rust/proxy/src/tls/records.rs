//! Records in and out of rustls' unbuffered interface, whichever side we are.

use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

/// Why a TLS connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("TLS: {0}")]
    Protocol(#[from] rustls::Error),
    #[error("TLS: the ClientHello is too long")]
    LongHello,
    #[error("TLS: the handshake is not complete")]
    NotReady,
    #[error("TLS: a record could not be encoded")]
    Encode,
}

/// What one step has come to.
pub(super) enum Progress {
    Plain(usize),
    Again,
    PeerClosed,
    Done,
}

/// One step of the machine: how much ciphertext is used up, and what came of it.
pub(super) fn step<Data>(
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

pub(super) fn encrypt<Data>(
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

pub(super) fn close_notify<Data>(status: UnbufferedStatus<'_, '_, Data>, out: &mut Vec<u8>) {
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
