//! `x-forwarded-client-cert`: what is told about the client's certificate.

use meshloom_model::hcm::ForwardClientCert;
use meshloom_wire::http1::KnownHeader as H;

use super::Exchange;

/// Removes, keeps, extends or replaces the header, as the connection manager says.
pub(super) fn rewrite(exchange: &mut Exchange) {
    let options = exchange.chain.manager.client_cert;
    let mutual = exchange.info.tls.borrow().as_ref().is_some_and(|tls| tls.peer.is_some());
    match options.forward {
        ForwardClientCert::AlwaysForwardOnly => {}
        ForwardClientCert::ForwardOnly if mutual => {}
        ForwardClientCert::AppendForward if mutual => {
            let own = element(exchange);
            let joined = match exchange.request.fields.joined("x-forwarded-client-cert") {
                Some(list) if !list.is_empty() => [&*list, b",", own.as_bytes()].concat(),
                _ => own.into_bytes(),
            };
            exchange.request.fields.set(H::XForwardedClientCert, &joined);
        }
        ForwardClientCert::SanitizeSet if mutual => {
            let own = element(exchange);
            exchange.request.fields.set(H::XForwardedClientCert, own.as_bytes());
        }
        _ => exchange.request.fields.remove(H::XForwardedClientCert),
    }
}

fn element(exchange: &Exchange) -> String {
    let details = exchange.chain.manager.client_cert.details;
    let tls = exchange.info.tls.borrow();
    let Some(tls) = &*tls else { return String::new() };
    let Some(peer) = tls.peer.as_deref() else { return String::new() };
    let mut parts = Vec::new();
    if let Some(own) = tls.local_uri().filter(|_| !peer.uris.is_empty()) {
        parts.push(format!("By={own}"));
    }
    parts.push(format!("Hash={}", peer.fingerprint));
    if details.cert {
        parts.push(format!("Cert=\"{}\"", peer.pem_encoded()));
    }
    if details.subject {
        parts.push(format!("Subject=\"{}\"", peer.subject.replace('"', "\\\"")));
    }
    if details.uri {
        match peer.uris.is_empty() {
            true => parts.push("URI=".to_owned()),
            false => parts.extend(peer.uris.iter().map(|uri| format!("URI={uri}"))),
        }
    }
    if details.dns {
        parts.extend(peer.dns.iter().map(|name| format!("DNS={name}")));
    }
    parts.join(";")
}
