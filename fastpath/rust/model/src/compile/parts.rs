//! Small parts that many resources have.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::r#type::v3 as kinds;
use prost::Message;

use super::path::{At, Invalid};
use crate::address::Address;
use crate::filter_chain::IpPrefix;

/// The longest time a field may say: ten years. Longer ones would overflow clocks.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Decodes the message in an `Any`. The walker has seen to it that nothing in it is lost.
pub(super) fn unpack<M: Message + Default>(any: &xds::Any, at: &At<'_>) -> Result<M, Invalid> {
    M::decode(&*any.value).map_err(|error| at.refuse(error))
}

/// The type of an extension that must be there, with the whole extension.
pub(super) fn extension<'a>(
    any: Option<&'a xds::Any>,
    at: &At<'_>,
) -> Result<(&'a str, &'a xds::Any), Invalid> {
    let any = at.required(any)?;
    Ok((xds::type_name(&any.type_url), any))
}

/// Refuses an extension that is known, but not in this place.
pub(super) fn unsupported(name: &str, allowed: &str, at: &At<'_>) -> Invalid {
    at.refuse(format!("the extension {name} is not supported here; {allowed}"))
}

/// A span of time; zero stays zero.
pub(super) fn duration(value: Option<xds::Duration>, at: &At<'_>) -> Result<Option<Duration>, Invalid> {
    let Some(value) = value else { return Ok(None) };
    let seconds = u64::try_from(value.seconds).map_err(|_| at.refuse("a duration cannot be negative"))?;
    let nanos = u32::try_from(value.nanos).map_err(|_| at.refuse("a duration cannot be negative"))?;
    if nanos >= 1_000_000_000 {
        return Err(at.refuse("the nanoseconds of a duration are less than one second"));
    }
    let duration = Duration::new(seconds.min(MAX_DURATION.as_secs() + 1), nanos);
    match duration > MAX_DURATION {
        true => Err(at.refuse("a duration is at most ten years")),
        false => Ok(Some(duration)),
    }
}

/// A limit: unset is the default, zero is none.
pub(super) fn limit(
    value: Option<xds::Duration>,
    default: Option<Duration>,
    at: &At<'_>,
) -> Result<Option<Duration>, Invalid> {
    Ok(match duration(value, at)? {
        None => default,
        Some(Duration::ZERO) => None,
        set => set,
    })
}

/// A span of time that cannot be zero.
pub(super) fn positive(
    value: Option<xds::Duration>,
    default: Duration,
    at: &At<'_>,
) -> Result<Duration, Invalid> {
    match duration(value, at)? {
        None => Ok(default),
        Some(Duration::ZERO) => Err(at.refuse("this must be more than 0s")),
        Some(duration) => Ok(duration),
    }
}

/// A share in millionths; no more than all.
pub(super) fn fraction(value: &kinds::FractionalPercent, at: &At<'_>) -> Result<u32, Invalid> {
    use kinds::fractional_percent::DenominatorType;
    let kinds::FractionalPercent { numerator, denominator } = value;
    let parts = match DenominatorType::try_from(*denominator) {
        Ok(DenominatorType::Hundred) => 10_000,
        Ok(DenominatorType::TenThousand) => 100,
        Ok(DenominatorType::Million) => 1,
        Err(_) => return Err(at.field("denominator").refuse("give HUNDRED, TEN_THOUSAND or MILLION")),
    };
    Ok(numerator.saturating_mul(parts).min(1_000_000))
}

/// A share that may change at run time, which here it does not.
pub(super) fn runtime_fraction(value: &core::RuntimeFractionalPercent, at: &At<'_>) -> Result<u32, Invalid> {
    let core::RuntimeFractionalPercent { default_value } = value;
    fraction(at.field("default_value").required(default_value.as_ref())?, &at.field("default_value"))
}

/// A percentage from 0 to 100.
pub(super) fn percent(value: Option<kinds::Percent>, default: f64, at: &At<'_>) -> Result<f64, Invalid> {
    match value {
        None => Ok(default),
        Some(kinds::Percent { value }) if (0.0..=100.0).contains(&value) => Ok(value),
        Some(_) => Err(at.field("value").refuse("a percentage is between 0 and 100")),
    }
}

/// A value of an enum, which must be one of those that exist.
pub(super) fn choice<E: TryFrom<i32>>(value: i32, at: &At<'_>) -> Result<E, Invalid> {
    E::try_from(value).map_err(|_| at.refuse(format!("{value} is not a value of this enum")))
}

/// An address that needs no resolution.
pub(super) fn address(value: Option<core::Address>, at: &At<'_>) -> Result<Address, Invalid> {
    match at.required(value)?.address {
        Some(core::address::Address::SocketAddress(socket)) => {
            let at = at.field("socket_address");
            let (host, port) = host_and_port(&socket, &at)?;
            let ip: IpAddr = host.parse().map_err(|_| {
                at.field("address").refuse(format!(
                    "{host:?} is no IP address; host names need a cluster of type STRICT_DNS"
                ))
            })?;
            Ok(Address::Ip(SocketAddr::new(ip, port)))
        }
        Some(core::address::Address::Pipe(core::Pipe { path, mode: _ })) if !path.is_empty() => {
            Ok(Address::Unix(Path::new(&path).into()))
        }
        Some(core::address::Address::Pipe(_)) => {
            Err(at.field("pipe").field("path").refuse("this must be given"))
        }
        None => Err(at.refuse("give socket_address or pipe")),
    }
}

/// Host and port of a TCP address.
pub(super) fn host_and_port<'a>(
    socket: &'a core::SocketAddress,
    at: &At<'_>,
) -> Result<(&'a str, u16), Invalid> {
    // Whether IPv4 is taken too concerns sockets that listen.
    let core::SocketAddress { protocol, address, port_value, ipv4_compat: _ } = socket;
    match choice(*protocol, &at.field("protocol"))? {
        core::socket_address::Protocol::Tcp => {}
        core::socket_address::Protocol::Udp => {
            return Err(at.field("protocol").refuse("only TCP is proxied"));
        }
    }
    let at = at.field("port_value");
    let port = at.required(*port_value)?;
    let port = u16::try_from(port).map_err(|_| at.refuse("a port is at most 65535"))?;
    Ok((address, port))
}

/// A range of addresses.
pub(super) fn prefix(value: &core::CidrRange, at: &At<'_>) -> Result<IpPrefix, Invalid> {
    let core::CidrRange { address_prefix, prefix_len } = value;
    let ip: IpAddr =
        address_prefix.parse().map_err(|_| at.field("address_prefix").refuse("this is no IP address"))?;
    let len = u8::try_from(prefix_len.unwrap_or(0)).unwrap_or(u8::MAX);
    IpPrefix::new(ip, len).ok_or_else(|| at.field("prefix_len").refuse("an address has not so many bits"))
}

/// Ranges of addresses.
pub(super) fn prefixes(values: &[core::CidrRange], at: &At<'_>) -> Result<Box<[IpPrefix]>, Invalid> {
    values.iter().enumerate().map(|(nth, value)| prefix(value, &at.item(nth))).collect()
}

/// Content that is in the resource itself.
pub(super) fn data(value: &core::DataSource, at: &At<'_>) -> Result<Vec<u8>, Invalid> {
    use core::data_source::Specifier;
    match &value.specifier {
        Some(Specifier::InlineBytes(bytes)) => Ok(bytes.clone()),
        Some(Specifier::InlineString(text)) => Ok(text.clone().into_bytes()),
        None => Err(at.refuse("give inline_bytes or inline_string")),
    }
}

/// A text that must not be empty.
pub(super) fn text<'a>(value: &'a str, at: &At<'_>) -> Result<&'a str, Invalid> {
    match value {
        "" => Err(at.refuse("this must be given")),
        text => Ok(text),
    }
}

/// A text that stands in a message's head. RFC 9110 5.5: nobody can smuggle a line in.
pub(super) fn one_line<'a>(text: &'a str, at: &At<'_>) -> Result<&'a str, Invalid> {
    match text.bytes().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n')) {
        true => Err(at.refuse("a head has no line breaks within a value and no NUL")),
        false => Ok(text),
    }
}
