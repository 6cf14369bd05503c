//! Cipher suites, key exchange groups and signature schemes: those of a context, and their names in OpenSSL.

use std::sync::Arc;

use meshloom_model::tls::{TlsContext, TlsVersion};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::sign::{Signer, SigningKey};
use rustls::{
    CipherSuite, NamedGroup, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion, version,
};

/// TLS 1.2 unless told otherwise, as Envoy has it: AES-128 and ChaCha20 are equal, so that a client without AES in its
/// processor gets what is fast for it.
const DEFAULT_SUITES: [&[u16]; 4] = [&[0xc02b, 0xcca9], &[0xc02f, 0xcca8], &[0xc02c], &[0xc030]];
const DEFAULT_GROUPS: [u16; 4] = [29, 23, 24, 4588];
/// How we sign unless told otherwise, in BoringSSL's order: SHA-256 first, which is the fastest that is safe.
const DEFAULT_SCHEMES: [u16; 10] =
    [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0603, 0x0806, 0x0601, 0x0807];

/// What a context allows, in its order.
#[derive(Clone, Debug)]
pub(super) struct Algorithms {
    suites: Vec<Vec<SupportedCipherSuite>>,
    pub(super) groups: Vec<&'static dyn SupportedKxGroup>,
    /// Empty is every scheme.
    pub(super) schemes: Vec<SignatureScheme>,
}

impl Algorithms {
    pub(super) fn of(context: &TlsContext) -> Self {
        let known = default_provider().cipher_suites;
        let find = |number: &u16| known.iter().find(|suite| u16::from(suite.suite()) == *number).copied();
        // Suites of TLS 1.3 cannot be chosen, as in Envoy: all are strong, and the client's preference decides.
        let mut suites = vec![known.iter().filter(|suite| suite.tls13().is_some()).copied().collect()];
        match &*context.cipher_suites {
            [] => suites
                .extend(DEFAULT_SUITES.iter().map(|group| group.iter().filter_map(find).collect::<Vec<_>>())),
            chosen => suites.extend(chosen.iter().map(|group| group.iter().filter_map(find).collect())),
        }
        let numbers = if context.groups.is_empty() { &DEFAULT_GROUPS[..] } else { &context.groups };
        Self {
            suites,
            groups: numbers.iter().filter_map(|number| group(*number)).collect(),
            schemes: context.signature_schemes.iter().map(|number| SignatureScheme::from(*number)).collect(),
        }
    }

    /// Everything, in our order.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let suites = self.suites.iter().flatten().copied().collect();
        self.provider_of(suites, self.groups.clone())
    }

    pub(super) fn provider_of(
        &self,
        cipher_suites: Vec<SupportedCipherSuite>,
        kx_groups: Vec<&'static dyn SupportedKxGroup>,
    ) -> Arc<CryptoProvider> {
        Arc::new(CryptoProvider { cipher_suites, kx_groups, ..default_provider() })
    }

    /// The suites that a client offers, best first. Among equals the client's order holds; with `by_client` all are equal.
    pub(super) fn suites_for(&self, offered: &[u16], by_client: bool) -> Vec<SupportedCipherSuite> {
        let rank = |suite: &SupportedCipherSuite| offered.iter().position(|o| *o == u16::from(suite.suite()));
        let mut found = Vec::with_capacity(9);
        for group in &self.suites {
            let from = if by_client { 0 } else { found.len() };
            found.extend(group.iter().filter_map(|suite| Some((rank(suite)?, *suite))));
            if let Some(part) = found.get_mut(from..) {
                part.sort_by_key(|(rank, _)| *rank);
            }
        }
        found.into_iter().map(|(_, suite)| suite).collect()
    }

    /// The group to use with a client: the first of ours that it has, or of its own with `by_client`.
    pub(super) fn group_for(
        &self,
        offered: &[u16],
        version: &'static SupportedProtocolVersion,
        by_client: bool,
    ) -> Option<&'static dyn SupportedKxGroup> {
        let usable = || self.groups.iter().filter(|group| group.usable_for_version(version.version));
        let number = |group: &dyn SupportedKxGroup| u16::from(group.name());
        match by_client {
            false => usable().find(|group| offered.contains(&number(**group))),
            true => offered.iter().find_map(|wanted| usable().find(|group| number(**group) == *wanted)),
        }
        .copied()
    }
}

fn group(number: u16) -> Option<&'static dyn SupportedKxGroup> {
    let all: [&'static dyn SupportedKxGroup; 4] =
        [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1, kx_group::X25519MLKEM768];
    all.into_iter().find(|group| u16::from(group.name()) == number)
}

/// The versions of a context.
pub(super) fn versions(context: &TlsContext) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    static ONLY_1_2: [&SupportedProtocolVersion; 1] = [&version::TLS12];
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match (context.versions.min, context.versions.max) {
        (TlsVersion::V1_3, _) => &ONLY_1_3,
        (TlsVersion::V1_2, TlsVersion::V1_2) => &ONLY_1_2,
        (TlsVersion::V1_2, TlsVersion::V1_3) => &BOTH,
    }
}

/// A cipher suite by OpenSSL's name, which logs and statistics show.
pub(super) fn suite_name(suite: CipherSuite) -> &'static str {
    match u16::from(suite) {
        0x1301 => "TLS_AES_128_GCM_SHA256",
        0x1302 => "TLS_AES_256_GCM_SHA384",
        0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
        0xc02b => "ECDHE-ECDSA-AES128-GCM-SHA256",
        0xc02c => "ECDHE-ECDSA-AES256-GCM-SHA384",
        0xcca9 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        0xc02f => "ECDHE-RSA-AES128-GCM-SHA256",
        0xc030 => "ECDHE-RSA-AES256-GCM-SHA384",
        0xcca8 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}

/// A group by BoringSSL's name.
pub(super) fn group_name(group: NamedGroup) -> &'static str {
    match u16::from(group) {
        23 => "P-256",
        24 => "P-384",
        29 => "X25519",
        4588 => "X25519MLKEM768",
        _ => "",
    }
}

/// A signature scheme by its name in RFC 8446.
pub(super) fn scheme_name(scheme: SignatureScheme) -> &'static str {
    match u16::from(scheme) {
        0x0401 => "rsa_pkcs1_sha256",
        0x0501 => "rsa_pkcs1_sha384",
        0x0601 => "rsa_pkcs1_sha512",
        0x0403 => "ecdsa_secp256r1_sha256",
        0x0503 => "ecdsa_secp384r1_sha384",
        0x0603 => "ecdsa_secp521r1_sha512",
        0x0804 => "rsa_pss_rsae_sha256",
        0x0805 => "rsa_pss_rsae_sha384",
        0x0806 => "rsa_pss_rsae_sha512",
        0x0807 => "ed25519",
        _ => "",
    }
}

/// A key that signs only in the ways that a context allows, the first of them that the peer takes.
#[derive(Debug)]
pub(super) struct Limited {
    key: Arc<dyn SigningKey>,
    schemes: Vec<SignatureScheme>,
}

impl Limited {
    /// Without schemes, those that are usual.
    pub(super) fn limit(key: Arc<dyn SigningKey>, schemes: &[SignatureScheme]) -> Arc<dyn SigningKey> {
        let schemes = match schemes {
            [] => DEFAULT_SCHEMES.map(SignatureScheme::from).to_vec(),
            schemes => schemes.to_vec(),
        };
        Arc::new(Self { key, schemes })
    }
}

impl SigningKey for Limited {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let both = self.schemes.iter().filter(|scheme| offered.contains(scheme));
        both.into_iter().find_map(|scheme| self.key.choose_scheme(&[*scheme]))
    }

    fn public_key(&self) -> Option<rustls::pki_types::SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}
