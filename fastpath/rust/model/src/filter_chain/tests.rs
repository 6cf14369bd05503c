use std::net::SocketAddr;

use proptest::prelude::*;

use super::{ChainMatch, ChainMatcher, ConnectionFacts, IpPrefix, OverlappingChains, ServerName, SourceType};

fn prefix(text: &str) -> IpPrefix {
    let (address, len) = text.split_once('/').unwrap();
    IpPrefix::new(address.parse().unwrap(), len.parse().unwrap()).unwrap()
}

fn exact(name: &str) -> ServerName {
    ServerName::Exact(name.into())
}

fn suffix(name: &str) -> ServerName {
    ServerName::Suffix(name.into())
}

fn facts<'c>(server_name: &'c str, transport: &'c str, alpn: &'c [&'c [u8]]) -> ConnectionFacts<'c> {
    ConnectionFacts {
        destination: Some("10.0.0.1:80".parse().unwrap()),
        server_name,
        transport_protocol: transport,
        application_protocols: alpn,
        direct_source: Some("10.1.0.1:4000".parse().unwrap()),
        source: Some("10.1.0.1:4000".parse().unwrap()),
    }
}

fn any() -> ChainMatch {
    ChainMatch::default()
}

#[test]
fn permissive_mtls_has_three_shapes_on_one_port() {
    let tls = || ChainMatch { transport_protocol: Some("tls".into()), ..any() };
    let mtls = ChainMatch { application_protocols: [b"istio".as_slice().into()].into(), ..tls() };
    let matcher = ChainMatcher::new(vec![mtls, tls(), any()]).unwrap();

    assert_eq!(matcher.choose(&facts("", "tls", &[b"h2", b"istio"])), Some(0));
    assert_eq!(matcher.choose(&facts("", "tls", &[b"h2"])), Some(1));
    assert_eq!(matcher.choose(&facts("", "raw_buffer", &[])), Some(2));
}

#[test]
fn the_most_specific_server_name_wins() {
    let named = |name| ChainMatch { server_names: [name].into(), ..any() };
    let chains =
        vec![named(suffix(".example")), named(suffix(".b.example")), named(exact("a.b.example")), any()];
    let matcher = ChainMatcher::new(chains).unwrap();

    assert_eq!(matcher.choose(&facts("a.b.example", "tls", &[])), Some(2));
    assert_eq!(matcher.choose(&facts("c.b.example", "tls", &[])), Some(1));
    assert_eq!(matcher.choose(&facts("x.example", "tls", &[])), Some(0));
    assert_eq!(matcher.choose(&facts("example", "tls", &[])), Some(3));
    assert_eq!(matcher.choose(&facts("", "tls", &[])), Some(3));
}

#[test]
fn there_is_no_way_back_from_a_more_specific_name() {
    let only_tls = ChainMatch {
        server_names: [exact("a.example")].into(),
        transport_protocol: Some("tls".into()),
        ..any()
    };
    let wide = ChainMatch { server_names: [suffix(".example")].into(), ..any() };
    let matcher = ChainMatcher::new(vec![only_tls, wide]).unwrap();

    assert_eq!(matcher.choose(&facts("a.example", "raw_buffer", &[])), None);
}

#[test]
fn a_port_of_its_own_comes_first_and_has_no_fallback() {
    let port = |port| ChainMatch { destination_port: Some(port), ..any() };
    let picky = ChainMatch { source_type: SourceType::Local, ..port(80) };
    let matcher = ChainMatcher::new(vec![any(), picky]).unwrap();

    assert_eq!(matcher.choose(&facts("", "", &[])), None);
    let other = ConnectionFacts { destination: Some("10.0.0.1:81".parse().unwrap()), ..facts("", "", &[]) };
    assert_eq!(matcher.choose(&other), Some(0));
}

#[test]
fn the_longest_prefix_wins_for_destination_and_source() {
    let to = |range: &str| ChainMatch { destination: [prefix(range)].into(), ..any() };
    let from = |range: &str| ChainMatch { source: [prefix(range)].into(), ..to("10.0.0.0/24") };
    let chains = vec![to("10.0.0.0/8"), from("10.1.0.0/16"), from("10.0.0.0/8"), any()];
    let matcher = ChainMatcher::new(chains).unwrap();

    assert_eq!(matcher.choose(&facts("", "", &[])), Some(1));
    let elsewhere =
        ConnectionFacts { destination: Some("10.9.0.1:80".parse().unwrap()), ..facts("", "", &[]) };
    assert_eq!(matcher.choose(&elsewhere), Some(0));
    let v6 = ConnectionFacts { destination: Some("[::1]:80".parse().unwrap()), ..facts("", "", &[]) };
    assert_eq!(matcher.choose(&v6), Some(3));
}

#[test]
fn source_type_and_port_decide_last() {
    let local = ChainMatch { source_type: SourceType::Local, ..any() };
    let external = ChainMatch { source_type: SourceType::External, ..any() };
    let port = ChainMatch { source_ports: [4000].into(), ..external.clone() };
    let matcher = ChainMatcher::new(vec![local, external, port]).unwrap();

    assert_eq!(matcher.choose(&facts("", "", &[])), Some(2));
    let home: SocketAddr = "127.0.0.1:5".parse().unwrap();
    assert_eq!(matcher.choose(&ConnectionFacts { source: Some(home), ..facts("", "", &[]) }), Some(0));
    let other_port = Some("10.1.0.1:1".parse().unwrap());
    assert_eq!(matcher.choose(&ConnectionFacts { source: other_port, ..facts("", "", &[]) }), Some(1));
}

#[test]
fn chains_that_take_the_same_connections_are_refused() {
    let names =
        |names: &[&str]| ChainMatch { server_names: names.iter().map(|n| exact(n)).collect(), ..any() };

    let overlap = ChainMatcher::new(vec![names(&["a", "b"]), any(), names(&["b", "c"])]).unwrap_err();

    assert_eq!(overlap, OverlappingChains(0, 2));
    assert!(ChainMatcher::new(vec![any(), any()]).is_err());
}

proptest! {
    #[test]
    fn a_prefix_holds_exactly_the_addresses_with_its_bits(address: u32, other: u32, len in 0u8..=32) {
        let prefix = IpPrefix::new(std::net::Ipv4Addr::from(address).into(), len).unwrap();
        let shift = 32 - u32::from(len);
        let same = address.checked_shr(shift).unwrap_or(0) == other.checked_shr(shift).unwrap_or(0);
        prop_assert_eq!(prefix.contains(std::net::Ipv4Addr::from(other).into()), same);
    }
}
