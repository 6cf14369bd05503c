//! PROXY headers for upstreams.

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::transport_sockets::proxy_protocol::v3 as proto;

use super::listener_filter::{tlv_kind, tlv_types};
use super::parts::choice;
use super::path::{At, Invalid};
use crate::proxy_header::ProxyHeader;

/// The header, and the transport socket that it is sent through.
pub(super) fn proxy_header(
    value: proto::ProxyProtocolUpstreamTransport,
    at: &At<'_>,
) -> Result<(ProxyHeader, core::TransportSocket), Invalid> {
    let proto::ProxyProtocolUpstreamTransport { config, transport_socket, allow_unspecified_address } = value;
    let inner = at.field("transport_socket").required(transport_socket)?;
    let told = header(config.unwrap_or_default(), &at.field("config"))?;
    Ok((ProxyHeader { allow_unspecified: allow_unspecified_address, ..told }, inner))
}

/// What the header says.
pub(super) fn header(value: core::ProxyProtocolConfig, at: &At<'_>) -> Result<ProxyHeader, Invalid> {
    use core::proxy_protocol_config::Version;
    let core::ProxyProtocolConfig { version, pass_through_tlvs, added_tlvs } = value;
    let mut added = Vec::with_capacity(added_tlvs.len());
    for (nth, core::TlvEntry { r#type, value }) in added_tlvs.into_iter().enumerate() {
        let at = at.field("added_tlvs");
        let at = at.item(nth);
        if value.is_empty() {
            return Err(at.field("value").refuse("this must be given"));
        }
        if value.len() > usize::from(u16::MAX) {
            return Err(at.field("value").refuse("a field has at most 65535 bytes"));
        }
        added.push((tlv_kind(r#type, &at.field("type"))?, value.into()));
    }
    Ok(ProxyHeader {
        binary: choice::<Version>(version, &at.field("version"))? == Version::V2,
        passed: tlv_types(pass_through_tlvs.as_ref(), &at.field("pass_through_tlvs"))?,
        added: added.into(),
        allow_unspecified: false,
    })
}
