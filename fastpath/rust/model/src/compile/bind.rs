//! The sockets of a listener.

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::listener::v3 as proto;

use super::parts::{address, choice};
use super::path::{At, Invalid};
use crate::address::Address;
use crate::listener::{Listen, OptionTime, SocketOption};

/// The kernel cuts this down to `net.core.somaxconn`, which is Envoy's default.
const DEFAULT_BACKLOG: u32 = 65_535;
// linux/in.h, linux/in6.h, linux/tcp.h
const IPPROTO_IP: i32 = 0;
const IPPROTO_TCP: i32 = 6;
const IPPROTO_IPV6: i32 = 41;
const IP_FREEBIND: i32 = 15;
const IP_TRANSPARENT: i32 = 19;
const IPV6_TRANSPARENT: i32 = 75;
const IPV6_FREEBIND: i32 = 78;
const TCP_FASTOPEN: i32 = 23;

/// What a listener says of its sockets.
pub(super) struct Binding {
    pub(super) first: Option<core::Address>,
    pub(super) more: Vec<proto::AdditionalAddress>,
    pub(super) backlog: Option<u32>,
    pub(super) transparent: Option<bool>,
    pub(super) freebind: Option<bool>,
    pub(super) options: Vec<core::SocketOption>,
    pub(super) fast_open: Option<u32>,
}

/// The first address and those beside it, each with its options.
pub(super) fn listens(binding: Binding, at: &At<'_>) -> Result<Box<[Listen]>, Invalid> {
    let options = socket_options(&binding.options, &at.field("socket_options"))?;
    let mut made = vec![listen(binding.first.as_ref(), &binding, options.clone(), &at.field("address"))?];
    let at = at.field("additional_addresses");
    for (nth, value) in binding.more.iter().enumerate() {
        let proto::AdditionalAddress { address, socket_options: own } = value;
        let at = at.item(nth);
        let options = match own {
            Some(core::SocketOptionsOverride { socket_options: own }) => {
                let at = at.field("socket_options");
                socket_options(own, &at.field("socket_options"))?
            }
            None => options.clone(),
        };
        made.push(listen(address.as_ref(), &binding, options, &at.field("address"))?);
    }
    Ok(made.into())
}

fn listen(
    value: Option<&core::Address>,
    binding: &Binding,
    given: Vec<SocketOption>,
    at: &At<'_>,
) -> Result<Listen, Invalid> {
    use core::address::Address as Kind;
    let made = address(value.cloned(), at)?;
    let kind = value.and_then(|value| value.address.as_ref());
    let mut options = match &made {
        Address::Ip(ip) => implied(binding, ip.is_ipv4()),
        Address::Unix(_) => Vec::new(),
    };
    options.extend(given);
    Ok(Listen {
        address: made,
        backlog: binding.backlog.unwrap_or(DEFAULT_BACKLOG),
        ipv4_compat: matches!(kind, Some(Kind::SocketAddress(socket)) if socket.ipv4_compat),
        mode: match kind {
            Some(Kind::Pipe(core::Pipe { mode, .. })) if *mode > 0o777 => {
                return Err(at.field("pipe").field("mode").refuse("permissions are at most 511 (octal 777)"));
            }
            Some(Kind::Pipe(core::Pipe { mode, .. })) => *mode,
            _ => 0,
        },
        options: options.into(),
    })
}

/// Fields of their own are options too.
fn implied(binding: &Binding, v4: bool) -> Vec<SocketOption> {
    let number =
        |level, name, value: u32, when| SocketOption { level, name, value: value.to_ne_bytes().into(), when };
    let before = |level, name, value: Option<bool>| {
        value.map(|value| number(level, name, value.into(), OptionTime::BeforeBind))
    };
    let (level, transparent, freebind) = match v4 {
        true => (IPPROTO_IP, IP_TRANSPARENT, IP_FREEBIND),
        false => (IPPROTO_IPV6, IPV6_TRANSPARENT, IPV6_FREEBIND),
    };
    let fast_open =
        binding.fast_open.map(|queue| number(IPPROTO_TCP, TCP_FASTOPEN, queue, OptionTime::Listening));
    [before(level, transparent, binding.transparent), before(level, freebind, binding.freebind), fast_open]
        .into_iter()
        .flatten()
        .collect()
}

fn socket_options(values: &[core::SocketOption], at: &At<'_>) -> Result<Vec<SocketOption>, Invalid> {
    values.iter().enumerate().map(|(nth, value)| socket_option(value, &at.item(nth))).collect()
}

fn socket_option(value: &core::SocketOption, at: &At<'_>) -> Result<SocketOption, Invalid> {
    use core::socket_option::{SocketState, Value};
    let core::SocketOption { level, name, state, value } = value;
    let number = |value: i64, field| {
        i32::try_from(value).map_err(|_| at.field(field).refuse("the kernel has no such number"))
    };
    Ok(SocketOption {
        level: number(*level, "level")?,
        name: number(*name, "name")?,
        value: match value {
            Some(Value::IntValue(value)) => number(*value, "int_value")?.to_ne_bytes().into(),
            Some(Value::BufValue(bytes)) => bytes.as_slice().into(),
            None => return Err(at.refuse("give int_value or buf_value")),
        },
        when: match choice(*state, &at.field("state"))? {
            SocketState::StatePrebind => OptionTime::BeforeBind,
            SocketState::StateBound => OptionTime::Bound,
            SocketState::StateListening => OptionTime::Listening,
        },
    })
}
