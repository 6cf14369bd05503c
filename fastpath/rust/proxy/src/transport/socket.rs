//! Making connections, and reading addresses and errors off sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use meshloom_model::Address;
use meshloom_model::cluster::TcpKeepalive;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt};

/// Why a connection could not even be asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("cannot make a socket: {0}")]
    Create(io::Error),
    #[error("{0}")]
    Connect(io::Error),
}

/// Starts a non-blocking connection to `to`, from `source` when given. The socket gets writable when it is made or has
/// failed.
pub(crate) fn connect(to: &Address, source: Option<SocketAddr>) -> Result<OwnedFd, SocketError> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let make = |family, protocol| {
        rustix::net::socket_with(family, SocketType::STREAM, flags, protocol)
            .map_err(|errno| SocketError::Create(errno.into()))
    };
    match to {
        Address::Ip(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let fd = make(family, Some(ipproto::TCP))?;
            // Messages are sent whole; waiting for more would only delay them.
            let _ = sockopt::set_tcp_nodelay(&fd, true);
            if let Some(source) = source {
                rustix::net::bind(&fd, &source).map_err(|errno| SocketError::Connect(errno.into()))?;
            }
            settle(rustix::net::connect(&fd, address))?;
            Ok(fd)
        }
        Address::Unix(path) => {
            let fd = make(AddressFamily::UNIX, None)?;
            let address = unix_address(path).map_err(|errno| SocketError::Connect(errno.into()))?;
            settle(rustix::net::connect(&fd, &address))?;
            Ok(fd)
        }
    }
}

/// Has the system probe a connection on which nothing moves; what is not given stays as the system has it.
pub(crate) fn keep_alive(fd: impl AsFd, probing: &TcpKeepalive) -> io::Result<()> {
    sockopt::set_socket_keepalive(&fd, true)?;
    if let Some(probes) = probing.probes {
        sockopt::set_tcp_keepcnt(&fd, probes)?;
    }
    if let Some(time) = probing.time {
        sockopt::set_tcp_keepidle(&fd, time)?;
    }
    if let Some(interval) = probing.interval {
        sockopt::set_tcp_keepintvl(&fd, interval)?;
    }
    Ok(())
}

fn unix_address(path: &std::path::Path) -> rustix::io::Result<SocketAddrUnix> {
    use std::os::unix::ffi::OsStrExt;
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name),
        None => SocketAddrUnix::new(path),
    }
}

fn settle(result: rustix::io::Result<()>) -> Result<(), SocketError> {
    match result {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(()),
        Err(errno) => Err(SocketError::Connect(errno.into())),
    }
}

/// The outcome of a connection attempt, once the socket is writable.
pub(crate) fn take_error(fd: impl AsFd) -> io::Result<()> {
    match sockopt::socket_error(fd) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(errno)) | Err(errno) => Err(errno.into()),
    }
}

/// An IPv4 address that came through an IPv6 socket counts as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), address.port()),
            None => address,
        },
        IpAddr::V4(_) => address,
    }
}

/// An accepted peer's address; Unix peers have none and count as the loopback.
pub(crate) fn from_any(any: SocketAddrAny) -> SocketAddr {
    SocketAddr::try_from(any).map_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), canonical)
}

/// Our end of a connection.
pub(crate) fn local_address(fd: impl AsFd) -> SocketAddr {
    rustix::net::getsockname(fd).map_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), from_any)
}

/// Where a connection was going before the kernel redirected it to `local`; `None` when it was going there.
pub(crate) fn original_destination(fd: impl AsFd, local: SocketAddr) -> Option<SocketAddr> {
    let original = match local {
        SocketAddr::V4(_) => sockopt::ip_original_dst(fd).map(SocketAddr::V4),
        SocketAddr::V6(_) => sockopt::ipv6_original_dst(fd).map(SocketAddr::V6),
    };
    original.ok().filter(|original| (original.ip(), original.port()) != (local.ip(), local.port()))
}

/// The other end of a connection.
pub(crate) fn peer_address(any: Option<SocketAddrAny>) -> SocketAddr {
    any.map_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), from_any)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_connection_is_probed_as_its_cluster_asks() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = Address::Ip(listener.local_addr().expect("bound"));
        let fd = connect(&address, None).expect("connecting");
        let system = sockopt::tcp_keepintvl(&fd).expect("read");
        let time = Some(Duration::from_secs(77));

        keep_alive(&fd, &TcpKeepalive { probes: Some(3), time, interval: None }).expect("set");

        assert!(sockopt::socket_keepalive(&fd).expect("read"));
        assert_eq!(sockopt::tcp_keepcnt(&fd).expect("read"), 3);
        assert_eq!(Some(sockopt::tcp_keepidle(&fd).expect("read")), time);
        assert_eq!(sockopt::tcp_keepintvl(&fd).expect("read"), system);
    }
}
