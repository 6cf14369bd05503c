//! Secrets.

use std::sync::Arc;

use meshloom_xds::envoy::extensions::transport_sockets::tls::v3 as proto;

use super::context::Context;
use super::path::{At, Invalid};
use super::tls::{certificate, ticket_keys, validation};
use crate::tls::Secret;

pub(super) fn secret(value: proto::Secret, at: &At<'_>, cx: &mut Context) -> Result<Secret, Invalid> {
    use proto::secret::Type;
    let proto::Secret { name: _, r#type } = value;
    match r#type {
        Some(Type::TlsCertificate(value)) => {
            certificate(&value, &at.field("tls_certificate")).map(|made| Secret::Certificate(Arc::new(made)))
        }
        Some(Type::ValidationContext(value)) => validation(&value, &at.field("validation_context"), cx)
            .map(|made| Secret::Validation(Arc::new(made))),
        Some(Type::SessionTicketKeys(value)) => ticket_keys(&value, &at.field("session_ticket_keys"))
            .map(|made| Secret::TicketKeys(Arc::new(made))),
        None => Err(at.refuse("give tls_certificate, validation_context or session_ticket_keys")),
    }
}
