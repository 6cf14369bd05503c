use prost::Message;

use super::{MAX_DEPTH, Reason, refusals};
use crate::Any;
use crate::envoy::config::listener::v3 as listener;

const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

/// A field of any number with a length-delimited content.
fn raw(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::bytes::encode(number, &content.to_vec(), &mut out);
    out
}

fn paths(type_url: &str, bytes: &[u8]) -> Vec<(String, Reason)> {
    refusals(type_url, bytes).into_iter().map(|refusal| (refusal.path, refusal.reason)).collect()
}

#[test]
fn a_resource_of_implemented_fields_passes() {
    let resource = listener::Listener { name: "l".to_owned(), ..Default::default() };

    assert_eq!(refusals(LISTENER, &resource.encode_to_vec()), []);
}

#[test]
fn a_refused_field_is_named_with_its_path_through_lists_and_any() {
    // HttpConnectionManager.tracing (7).provider (9) in the second filter of the first chain.
    let manager = Any {
        type_url: "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
            .to_owned(),
        value: raw(7, &raw(9, b"")),
    };
    let plain = listener::Filter::default();
    let filter = listener::Filter { name: "h".to_owned(), typed_config: Some(manager) };
    let chain = listener::FilterChain { filters: vec![plain, filter], ..Default::default() };
    let resource = listener::Listener { filter_chains: vec![chain], ..Default::default() };

    let found = paths(LISTENER, &resource.encode_to_vec());

    let wanted = "filter_chains[0].filters[1].typed_config.tracing.provider".to_owned();
    assert_eq!(found, [(wanted, Reason::Field("spans are not written yet"))]);
}

#[test]
fn unknown_fields_and_extensions_are_refused() {
    assert_eq!(paths(LISTENER, &raw(4000, b"x")), [(String::new(), Reason::UnknownField(4000))]);
    let lua = Any { type_url: "type.googleapis.com/envoy.Lua".to_owned(), value: Vec::new() };
    let filter =
        listener::ListenerFilter { name: "x".to_owned(), typed_config: Some(lua), filter_disabled: None };
    let resource = listener::Listener { listener_filters: vec![filter], ..Default::default() };
    assert_eq!(
        paths(LISTENER, &resource.encode_to_vec()),
        [("listener_filters[0].typed_config".to_owned(), Reason::Extension("envoy.Lua".to_owned()))]
    );
    assert_eq!(paths("x/y.Z", b""), [(String::new(), Reason::Extension("y.Z".to_owned()))]);
}

#[test]
fn maps_are_walked_by_key() {
    // VirtualHost.typed_per_filter_config (15) with an Any of an unknown type.
    let any = Any { type_url: "a/b.C".to_owned(), value: Vec::new() }.encode_to_vec();
    let entry = [raw(1, b"envoy.filters.http.lua"), raw(2, &any)].concat();
    let table = raw(2, &raw(15, &entry));

    let found = paths("envoy.config.route.v3.RouteConfiguration", &table);

    assert_eq!(found[0].0, "virtual_hosts[0].typed_per_filter_config[\"envoy.filters.http.lua\"]");
}

#[test]
fn accepted_fields_are_not_looked_into() {
    // Listener.metadata (6): bytes that are no message.
    assert_eq!(refusals(LISTENER, &raw(6, b"\xff\xff\xff")), []);
}

#[test]
fn nonsense_and_bottomless_nesting_are_refused() {
    assert_eq!(paths(LISTENER, b"\x0a\xff")[0].1, Reason::Malformed);
    // AccessLogFilter.and_filter (6) . filters (1), again and again.
    let mut bytes = Vec::new();
    for _ in 0..2 * MAX_DEPTH {
        bytes = raw(6, &raw(1, &bytes));
    }
    let found = paths("envoy.config.accesslog.v3.AccessLogFilter", &bytes);
    assert_eq!(found.last().unwrap().1, Reason::TooDeep);
}

#[test]
fn a_key_in_a_path_is_a_string_of_json() {
    assert_eq!(super::quoted("a\"\\\0\n\u{7f}é"), "\"a\\\"\\\\\\u0000\\u000a\u{7f}é\"");
}
