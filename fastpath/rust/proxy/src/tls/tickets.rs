//! Session tickets: what a session needs to be resumed, encrypted for ourselves.
//!
//! A ticket is only good where it was made: its key is derived from the rules of the context (whom it trusts, which
//! certificates it shows), so a changed trust bundle ends all tickets from before. It is not good for longer than the
//! session's time, nor than the certificates that the client has shown.
//!
//! `key name (16) | nonce (12) | AES-256-GCM( expires (8) | session ) `

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;

use super::notes;

const NAME_LEN: usize = 16;
const EXPIRES_LEN: usize = 8;
const TAG_LEN: usize = 16;
/// Keys of our own: the present epoch's, and those of the epochs from which tickets may still come.
const EPOCHS: u64 = 2;

/// Where ticket keys come from.
#[derive(Clone)]
pub(super) enum KeySource {
    /// Keys that several servers share; the first one is for new tickets.
    Shared(Vec<[u8; 80]>),
    /// A secret of this proxy, from which a new key comes for each epoch.
    Own([u8; 32]),
}

/// The secret that all workers were given, in hex; where none was, one of our own.
pub(crate) fn ticket_secret(hex: &str) -> io::Result<[u8; 32]> {
    let pairs = hex.as_bytes().chunks(2);
    let digits = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    if let Some(Ok(given)) = digits.collect::<Option<Vec<u8>>>().map(<[u8; 32]>::try_from) {
        return Ok(given);
    }
    let mut own = [0; 32];
    rand::fill(&mut own).map_err(|_| io::Error::other("there is no randomness for ticket keys"))?;
    Ok(own)
}

/// Makes and reads the tickets of one context.
pub(super) struct Tickets {
    source: KeySource,
    /// What the keys are bound to.
    context: [u8; 32],
    lifetime_s: u64,
    /// Keys that were derived for an epoch.
    derived: Mutex<Option<(u64, Arc<[TicketKey]>)>>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Tickets({}s)", self.lifetime_s)
    }
}

/// One key with its name.
struct TicketKey {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl Tickets {
    pub(super) fn new(source: KeySource, context: [u8; 32], lifetime_s: u64) -> Self {
        Self { source, context, lifetime_s: lifetime_s.max(1), derived: Mutex::default() }
    }

    /// The keys in force, the one for new tickets first.
    fn keys(&self, now: u64) -> Arc<[TicketKey]> {
        let epoch = now / self.lifetime_s;
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        match &*derived {
            Some((of, keys)) if *of == epoch => Arc::clone(keys),
            _ => {
                let keys = self.derive_all(epoch);
                *derived = Some((epoch, Arc::clone(&keys)));
                keys
            }
        }
    }

    fn derive_all(&self, epoch: u64) -> Arc<[TicketKey]> {
        match &self.source {
            KeySource::Shared(keys) => keys.iter().filter_map(|key| self.derive(key, 0)).collect(),
            KeySource::Own(secret) => {
                let epochs = (0..EPOCHS).map(|back| epoch.saturating_sub(back));
                epochs.filter_map(|epoch| self.derive(secret, epoch)).collect()
            }
        }
    }

    fn derive(&self, secret: &[u8], epoch: u64) -> Option<TicketKey> {
        let pseudo_random = Salt::new(HKDF_SHA256, &self.context).extract(secret);
        let epoch = epoch.to_be_bytes();
        let fill = |label: &[u8], out: &mut [u8]| {
            let info = [label, &epoch];
            pseudo_random.expand(&info, Length(out.len())).and_then(|made| made.fill(out)).ok()
        };
        let (mut name, mut key) = ([0; NAME_LEN], [0; 32]);
        fill(b"ticket name", &mut name)?;
        fill(b"ticket key", &mut key)?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?);
        Some(TicketKey { name, key })
    }

    fn seal(&self, session: &[u8], now: u64) -> Option<Vec<u8>> {
        let keys = self.keys(now);
        let key = keys.first()?;
        let peer_expires = notes::open(|notes| notes.peer_expires).unwrap_or(u64::MAX);
        let expires = now.saturating_add(self.lifetime_s).min(peer_expires);
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = Vec::with_capacity(EXPIRES_LEN + session.len() + TAG_LEN);
        sealed.extend_from_slice(&expires.to_be_bytes());
        sealed.extend_from_slice(session);
        let unique = Nonce::assume_unique_for_key(nonce);
        key.key.seal_in_place_append_tag(unique, Aad::from(&key.name), &mut sealed).ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME_LEN)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let keys = self.keys(now);
        let key = keys.iter().find(|key| key.name == name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let opened = key.key.open_in_place(nonce, Aad::from(&key.name), &mut sealed).ok()?;
        let (expires, session) = opened.split_at_checked(EXPIRES_LEN)?;
        let expires = u64::from_be_bytes(expires.try_into().ok()?);
        if now >= expires {
            return None;
        }
        // The next ticket of the session lives no longer than this one.
        notes::open(|notes| notes.peer_expires = Some(expires.min(notes.peer_expires.unwrap_or(u64::MAX))));
        Some(session.to_vec())
    }
}

struct Length(usize);

impl aws_lc_rs::hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime_s).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, now())
    }
}
