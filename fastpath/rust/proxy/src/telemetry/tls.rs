//! Envoy's statistics of TLS: `listener.<address>.ssl.*` and `cluster.<name>.ssl.*`.

use std::cell::RefCell;

use meshloom_shm::{Counter, Telemetry};

use crate::tls::{Refusal, Staple, Summary};

/// Where the statistics belong: the start of their flat names, of their bare names, and the label for the difference.
struct Place {
    flat: String,
    base: &'static str,
    tag: &'static str,
    name: String,
}

impl Place {
    fn counter(&self, telemetry: &mut Telemetry, name: &str) -> Counter {
        let (flat, base) = (format!("{}{name}", self.flat), format!("{}{name}", self.base));
        telemetry.counter(&flat, &base, &[(self.tag, &self.name)])
    }

    /// `ssl.<kind>s.<value>`, with the value as a label.
    fn labelled(&self, telemetry: &mut Telemetry, kind: Kind, value: &str) -> Counter {
        let (name, label) = kind.names();
        let (flat, base) = (format!("{}{name}.{value}", self.flat), format!("{}{name}", self.base));
        telemetry.counter(&flat, &base, &[(self.tag, &self.name), (label, value)])
    }
}

/// What a handshake is counted by, besides its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cipher,
    Version,
    Curve,
    Sigalg,
}

impl Kind {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Cipher => ("ssl.ciphers", "envoy_ssl_cipher"),
            Self::Version => ("ssl.versions", "envoy_ssl_version"),
            Self::Curve => ("ssl.curves", "envoy_ssl_curve"),
            Self::Sigalg => ("ssl.sigalgs", "envoy_ssl_sigalg"),
        }
    }
}

/// The statistics of one listener or cluster that speaks TLS.
pub(crate) struct TlsStats {
    place: Place,
    handshake: Counter,
    session_reused: Counter,
    no_certificate: Counter,
    pub(crate) connection_error: Counter,
    fail_verify_no_cert: Counter,
    fail_verify_error: Counter,
    fail_verify_san: Counter,
    fail_verify_cert_hash: Counter,
    was_key_usage_invalid: Counter,
    staple_requests: Counter,
    staple_responses: Counter,
    staple_omitted: Counter,
    staple_failed: Counter,
    /// Connections that came before the secrets did.
    pub(crate) secrets_not_ready: Counter,
    /// Contexts made anew because a secret has changed.
    pub(crate) updates_by_sds: Counter,
    /// Counters with a label, registered as their values turn up. There are few of each kind.
    labelled: RefCell<Vec<(Kind, &'static str, Counter)>>,
}

impl TlsStats {
    /// Of a listener, by the name that its statistics have.
    pub(crate) fn of_listener(telemetry: &mut Telemetry, name: &str) -> Self {
        let flat = format!("listener.{name}.");
        let tag = "envoy_listener_address";
        let place = Place { flat, base: "listener.", tag, name: name.to_owned() };
        Self::register(
            telemetry,
            place,
            "server_ssl_socket_factory.downstream_context_secrets_not_ready",
            "server_ssl_socket_factory.ssl_context_update_by_sds",
        )
    }

    /// Of a cluster, by the name that its statistics have.
    pub(crate) fn of_cluster(telemetry: &mut Telemetry, name: &str) -> Self {
        let flat = format!("cluster.{name}.");
        let tag = "envoy_cluster_name";
        let place = Place { flat, base: "cluster.", tag, name: name.to_owned() };
        Self::register(
            telemetry,
            place,
            "client_ssl_socket_factory.upstream_context_secrets_not_ready",
            "client_ssl_socket_factory.ssl_context_update_by_sds",
        )
    }

    fn register(telemetry: &mut Telemetry, place: Place, not_ready: &str, updates: &str) -> Self {
        let mut counter = |name: &str| place.counter(telemetry, name);
        Self {
            handshake: counter("ssl.handshake"),
            session_reused: counter("ssl.session_reused"),
            no_certificate: counter("ssl.no_certificate"),
            connection_error: counter("ssl.connection_error"),
            fail_verify_no_cert: counter("ssl.fail_verify_no_cert"),
            fail_verify_error: counter("ssl.fail_verify_error"),
            fail_verify_san: counter("ssl.fail_verify_san"),
            fail_verify_cert_hash: counter("ssl.fail_verify_cert_hash"),
            was_key_usage_invalid: counter("ssl.was_key_usage_invalid"),
            staple_requests: counter("ssl.ocsp_staple_requests"),
            staple_responses: counter("ssl.ocsp_staple_responses"),
            staple_omitted: counter("ssl.ocsp_staple_omitted"),
            staple_failed: counter("ssl.ocsp_staple_failed"),
            secrets_not_ready: counter(not_ready),
            updates_by_sds: counter(updates),
            labelled: RefCell::default(),
            place,
        }
    }

    /// A handshake has come to its end in good order.
    pub(crate) fn done(&self, telemetry: &mut Telemetry, summary: &Summary) {
        self.handshake.inc();
        if summary.resumed {
            self.session_reused.inc();
        }
        if !summary.certified {
            self.no_certificate.inc();
        }
        for (kind, value) in [
            (Kind::Cipher, summary.cipher),
            (Kind::Version, summary.version),
            (Kind::Curve, summary.group),
            (Kind::Sigalg, summary.scheme),
        ] {
            if !value.is_empty() {
                self.labelled(telemetry, kind, value).inc();
            }
        }
    }

    fn labelled(&self, telemetry: &mut Telemetry, kind: Kind, value: &'static str) -> Counter {
        let mut known = self.labelled.borrow_mut();
        if let Some((_, _, counter)) = known.iter().find(|(k, v, _)| *k == kind && *v == value) {
            return *counter;
        }
        let counter = self.place.labelled(telemetry, kind, value);
        known.push((kind, value, counter));
        counter
    }

    /// A handshake has failed. As in Envoy, one that fails for the peer's certificate is no connection error.
    pub(crate) fn failed(&self, refusal: Option<Refusal>) {
        match refusal {
            Some(Refusal::NoCertificate) => self.fail_verify_no_cert.inc(),
            Some(Refusal::KeyUsage) => {
                self.was_key_usage_invalid.inc();
                self.connection_error.inc();
            }
            Some(refusal) => self.refused(refusal),
            None => self.connection_error.inc(),
        }
    }

    /// A certificate has not passed, whatever came of it.
    pub(crate) fn refused(&self, refusal: Refusal) {
        match refusal {
            Refusal::Chain => self.fail_verify_error.inc(),
            Refusal::Names => self.fail_verify_san.inc(),
            Refusal::Pins => self.fail_verify_cert_hash.inc(),
            Refusal::NoCertificate | Refusal::KeyUsage => {}
        }
    }

    /// A client has asked for an OCSP response.
    pub(crate) fn stapled(&self, outcome: Staple) {
        self.staple_requests.inc();
        match outcome {
            Staple::Given => self.staple_responses.inc(),
            Staple::Omitted => self.staple_omitted.inc(),
            Staple::Missing => self.staple_failed.inc(),
        }
    }
}
