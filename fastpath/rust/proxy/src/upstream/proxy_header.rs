//! Telling an upstream by the PROXY protocol whose connection it serves. A connection that begins so carries requests of
//! one client's connection, or one TCP session.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use meshloom_model::Address;
use meshloom_model::proxy_header::ProxyHeader;
use meshloom_model::upgrade::CONNECT;
use meshloom_wire::proxy_protocol::{Addresses, write_v1, write_v2};

use super::Host;
use crate::downstream::ConnectionInfo;
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::reply::Failure;
use crate::transport::local_address;

impl Engine {
    /// What a connection to this host begins with, for that client; nothing where none is configured.
    pub(crate) fn proxy_header(
        &self,
        host: &Host,
        info: &ConnectionInfo,
    ) -> Result<Option<Rc<[u8]>>, Failure> {
        let cluster = self.clusters.get(host.cluster);
        let header = cluster.and_then(|cluster| cluster.spec.proxy_header_to(&host.endpoint()));
        encoded(header.map(|header| &**header), info)
    }

    /// What a connection to this host begins with that serves no client.
    pub(crate) fn own_proxy_header(&self, host: &Host, fd: BorrowedFd<'_>, to: &Address) -> Option<Vec<u8>> {
        let header = self.clusters.get(host.cluster)?.spec.proxy_header_to(&host.endpoint())?.clone();
        encode_own(&header, local_address(fd), to)
    }
}

impl Exchange {
    /// What the bytes of a CONNECT that ends here begin with, as its route says.
    pub(super) fn tunnel_header(&self) -> Result<Option<Rc<[u8]>>, Failure> {
        let connect = self.forward().and_then(|forward| forward.upgrades.get(CONNECT.as_bytes()));
        let header = connect.and_then(|upgrade| upgrade.terminate.as_ref()?.header.as_deref());
        encoded(header, &self.info)
    }
}

fn encoded(header: Option<&ProxyHeader>, info: &ConnectionInfo) -> Result<Option<Rc<[u8]>>, Failure> {
    let bytes = header.map(|header| encode(header, info)).transpose();
    bytes
        .map(|bytes| bytes.map(Rc::from))
        .map_err(|reason| Failure::ConnectFailed { reason: format!("PROXY header: {reason}").into() })
}

/// The same for a connection that the proxy makes for itself: version 2 says LOCAL.
fn encode_own(header: &ProxyHeader, from: SocketAddr, to: &Address) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match (header.binary, to) {
        (true, _) => write_v2(None, std::iter::empty(), &mut out).ok()?,
        (false, Address::Ip(to)) => {
            write_v1(Some(&Addresses { source: from, destination: *to }), &mut out).ok()?;
        }
        (false, Address::Unix(_)) => write_v1(None, &mut out).ok()?,
    }
    Some(out)
}

fn encode(header: &ProxyHeader, info: &ConnectionInfo) -> Result<Vec<u8>, String> {
    let ends = Addresses { source: info.remote, destination: info.local };
    let ends = info.pipe.is_none().then_some(&ends);
    let mut out = Vec::with_capacity(128);
    if !header.binary {
        return match write_v1(ends, &mut out) {
            Err(error) if !header.allow_unspecified => Err(error.to_string()),
            Err(_) => write_v1(None, &mut out).map(|()| out).map_err(|error| error.to_string()),
            Ok(()) => Ok(out),
        };
    }
    let added = header.added.iter().map(|(kind, value)| (*kind, &**value));
    let ours = |kind: u8| header.added.iter().any(|(own, _)| *own == kind);
    let passed = info.proxy_fields.iter().filter(|(kind, _)| header.passed.contains(*kind) && !ours(*kind));
    let passed = passed.map(|(kind, value)| (*kind, &**value));
    write_v2(ends, added.chain(passed), &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}
