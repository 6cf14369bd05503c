use meshloom_xds::envoy::config::accesslog::v3 as accesslog;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::listener::v3 as proto;
use meshloom_xds::envoy::extensions::access_loggers::stream::v3 as stream;
use meshloom_xds::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;

use super::support::{any, apply, chain, listener_of, manager, refusal, socket};
use crate::compile::types::{self, LISTENER};
use crate::filter_chain::{ConnectionFacts, NetworkFilter};
use crate::listener::{Listener, OptionTime};
use crate::listener_filter::{ListenerFilter, ListenerFilterKind};

fn compiled(message: &proto::Listener) -> std::sync::Arc<Listener> {
    let outcome = apply(LISTENER, "l", message);
    assert_eq!(outcome.rejected, []);
    std::sync::Arc::clone(&outcome.snapshot.listeners["l"])
}

fn tcp_chain(proxy: &tcp::TcpProxy) -> proto::FilterChain {
    let filter = proto::Filter { name: "tcp".to_owned(), typed_config: Some(any(types::TCP_PROXY, proxy)) };
    proto::FilterChain { filters: vec![filter], ..Default::default() }
}

fn tcp_to(cluster: &str) -> tcp::TcpProxy {
    let specifier = tcp::tcp_proxy::ClusterSpecifier::Cluster(cluster.to_owned());
    tcp::TcpProxy { stat_prefix: "t".to_owned(), cluster_specifier: Some(specifier), ..Default::default() }
}

fn for_tls(mut chain: proto::FilterChain, names: &[&str]) -> proto::FilterChain {
    chain.filter_chain_match = Some(proto::FilterChainMatch {
        transport_protocol: "tls".to_owned(),
        server_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    });
    chain
}

#[test]
fn chains_are_chosen_by_server_name_and_the_default_takes_the_rest() {
    let mut message = listener_of(vec![
        for_tls(tcp_chain(&tcp_to("a")), &["A.example"]),
        for_tls(tcp_chain(&tcp_to("b")), &["*.example"]),
    ]);
    message.default_filter_chain = Some(chain(&manager()));
    let listener = compiled(&message);
    let facts = |server_name| ConnectionFacts {
        destination: None,
        server_name,
        transport_protocol: "tls",
        application_protocols: &[],
        direct_source: None,
        source: None,
    };
    let position = |server_name| listener.choose(&facts(server_name));

    assert_eq!(position("a.example"), Some(0));
    assert_eq!(position("x.example"), Some(1));
    assert_eq!(position("other"), Some(2));
}

#[test]
fn the_tls_inspector_is_added_where_a_chain_needs_it() {
    let mut plain = for_tls(tcp_chain(&tcp_to("a")), &["a"]);
    if let Some(matched) = &mut plain.filter_chain_match {
        matched.transport_protocol = "raw_buffer".to_owned();
    }
    let inspects = |chain| {
        let listener = compiled(&listener_of(vec![chain]));
        matches!(listener.filters[..], [ListenerFilter { kind: ListenerFilterKind::TlsInspector(_), .. }])
    };

    assert!(inspects(for_tls(tcp_chain(&tcp_to("a")), &[])));
    assert!(!inspects(tcp_chain(&tcp_to("a"))));
    assert!(!inspects(plain));
}

#[test]
fn a_chain_without_filters_closes_its_connections() {
    let listener = compiled(&listener_of(vec![proto::FilterChain::default()]));

    assert!(matches!(listener.chains().next().unwrap().filter, NetworkFilter::Close));
}

#[test]
fn tcp_clusters_are_drawn_by_weight() {
    use tcp::tcp_proxy::weighted_cluster::ClusterWeight;
    let entry = |name: &str, weight| ClusterWeight { name: name.to_owned(), weight };
    let weighted =
        |second| tcp::tcp_proxy::WeightedCluster { clusters: vec![entry("a", 2), entry("b", second)] };
    let mut proxy = tcp_to("a");
    proxy.cluster_specifier = Some(tcp::tcp_proxy::ClusterSpecifier::WeightedClusters(weighted(1)));
    let listener = compiled(&listener_of(vec![tcp_chain(&proxy)]));
    let NetworkFilter::Tcp(made) = &listener.chains().next().unwrap().filter else { panic!() };

    let picks: Vec<_> = (0..6).map(|random| made.pick(random) == made.pick(0)).collect();

    assert_eq!(picks, [true, true, false, true, true, false]);
    proxy.cluster_specifier = Some(tcp::tcp_proxy::ClusterSpecifier::WeightedClusters(weighted(0)));
    let path = refusal(LISTENER, "l", &listener_of(vec![tcp_chain(&proxy)])).0;
    assert_eq!(path, "filter_chains[0].filters[0].typed_config.weighted_clusters.clusters[1].weight");
}

#[test]
fn several_addresses_share_one_listener() {
    let mut message = listener_of(vec![tcp_chain(&tcp_to("a"))]);
    message.additional_addresses =
        vec![proto::AdditionalAddress { address: Some(socket("::1", 81)), socket_options: None }];
    message.tcp_backlog_size = Some(128);

    let listener = compiled(&message);

    let listens: Vec<_> = listener.listens.iter().map(|l| (l.address.to_string(), l.backlog)).collect();
    assert_eq!(listens, [("127.0.0.1:8080".to_owned(), 128), ("[::1]:81".to_owned(), 128)]);
}

#[test]
fn faults_are_refused_by_path() {
    let refused = |change: fn(&mut proto::Listener)| {
        let mut message = listener_of(vec![tcp_chain(&tcp_to("a")), for_tls(tcp_chain(&tcp_to("b")), &[])]);
        change(&mut message);
        refusal(LISTENER, "l", &message).0
    };

    assert_eq!(refused(|message| message.filter_chains.clear()), "filter_chains");
    assert_eq!(refused(|message| message.address = None), "address");
    assert_eq!(refused(|message| message.filter_chains[1].filter_chain_match = None), "filter_chains[1]");
    assert_eq!(
        refused(|message| message.address = Some(socket("0.0.0.0", 70_000))),
        "address.socket_address.port_value"
    );
    let udp = |message: &mut proto::Listener| {
        let mut address = socket("0.0.0.0", 53);
        if let Some(core::address::Address::SocketAddress(socket)) = &mut address.address {
            socket.protocol = core::socket_address::Protocol::Udp as i32;
        }
        message.address = Some(address);
    };
    assert_eq!(refused(udp), "address.socket_address.protocol");
    assert_eq!(
        refused(|message| {
            message.filter_chains[1].filter_chain_match.as_mut().unwrap().server_names =
                vec!["a.*".to_owned()];
        }),
        "filter_chains[1].filter_chain_match.server_names[0]"
    );
}

#[test]
fn a_unix_socket_has_its_permissions() {
    let pipe = |mode| {
        let pipe = core::Pipe { path: "/run/x".to_owned(), mode };
        core::Address { address: Some(core::address::Address::Pipe(pipe)) }
    };
    let mut message = listener_of(vec![tcp_chain(&tcp_to("a"))]);
    message.address = Some(pipe(0o660));

    let listener = compiled(&message);

    assert_eq!(
        (listener.listens[0].address.to_string(), listener.listens[0].mode),
        ("/run/x".to_owned(), 0o660)
    );
    message.address = Some(pipe(0o1000));
    assert_eq!(refusal(LISTENER, "l", &message).0, "address.pipe.mode");
}

#[test]
fn socket_options_are_in_the_kernels_numbers() {
    let mut message = listener_of(vec![tcp_chain(&tcp_to("a"))]);
    message.transparent = Some(true);
    message.tcp_fast_open_queue_length = Some(5);
    message.socket_options = vec![core::SocketOption {
        level: 1,
        name: 9,
        value: Some(core::socket_option::Value::IntValue(1)),
        ..Default::default()
    }];

    let listener = compiled(&message);

    let options: Vec<_> = listener.listens[0]
        .options
        .iter()
        .map(|o| (o.level, o.name, u32::from_ne_bytes((*o.value).try_into().unwrap()), o.when))
        .collect();
    assert_eq!(
        options,
        [
            (0, 19, 1, OptionTime::BeforeBind),
            (6, 23, 5, OptionTime::Listening),
            (1, 9, 1, OptionTime::BeforeBind)
        ]
    );
}

#[test]
fn listener_filters_stand_in_the_order_given_and_those_implied_behind_them() {
    let filter =
        |name, config| proto::ListenerFilter { typed_config: Some(any(name, config)), ..Default::default() };
    let mut message = listener_of(vec![for_tls(tcp_chain(&tcp_to("a")), &[])]);
    message.use_original_dst = Some(true);
    message.listener_filters = vec![filter(
        types::PROXY_PROTOCOL,
        &meshloom_xds::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol {
            disallowed_versions: vec![0],
            ..Default::default()
        },
    )];
    message.filter_chains[0].use_proxy_proto = Some(true);

    let listener = compiled(&message);

    assert!(matches!(
        listener.filters.iter().map(|filter| &filter.kind).collect::<Vec<_>>()[..],
        [
            ListenerFilterKind::ProxyProtocol(first),
            ListenerFilterKind::OriginalDestination,
            ListenerFilterKind::ProxyProtocol(_),
            ListenerFilterKind::TlsInspector(_)
        ] if first.no_v1 && !first.no_v2
    ));
}

#[test]
fn versions_of_a_listener_that_differ_in_chains_only_have_one_shape() {
    let message = listener_of(vec![tcp_chain(&tcp_to("a")), for_tls(tcp_chain(&tcp_to("b")), &["b"])]);
    let mut other_chain = message.clone();
    other_chain.filter_chains[1] = for_tls(tcp_chain(&tcp_to("c")), &["b"]);
    let mut other_address = message.clone();
    other_address.address = Some(socket("127.0.0.1", 81));

    let [one, two, three] = [&message, &other_chain, &other_address].map(compiled);

    assert_eq!(one.shape, two.shape);
    assert_ne!(one.shape, three.shape);
    let same = |a: &Listener, b: &Listener| {
        a.chains().zip(b.chains()).map(|(a, b)| a.fingerprint == b.fingerprint).collect::<Vec<_>>()
    };
    assert_eq!(same(&one, &two), [true, false]);
    assert_eq!(same(&one, &three), [true, true]);
}

#[test]
fn connections_are_not_logged_by_what_only_requests_have() {
    use accesslog::access_log_filter::FilterSpecifier as Filter;
    let wrap = |filter| accesslog::AccessLogFilter { filter_specifier: Some(filter) };
    let flags = |names: &[&str]| {
        let flags = names.iter().map(|name| (*name).to_owned()).collect();
        wrap(Filter::ResponseFlagFilter(accesslog::ResponseFlagFilter { flags }))
    };
    let logged = |filters| {
        let log = accesslog::AccessLog {
            filter: Some(wrap(Filter::OrFilter(accesslog::OrFilter { filters }))),
            typed_config: Some(any(types::STDOUT_LOG, &stream::StdoutAccessLog::default())),
            ..Default::default()
        };
        listener_of(vec![tcp_chain(&tcp::TcpProxy { access_log: vec![log], ..tcp_to("a") })])
    };
    let status = wrap(Filter::StatusCodeFilter(accesslog::StatusCodeFilter::default()));

    compiled(&logged(vec![flags(&[]), flags(&["UF"])]));
    let path = refusal(LISTENER, "l", &logged(vec![flags(&[]), status])).0;

    let filter = "access_log[0].filter.or_filter.filters[1].status_code_filter";
    assert_eq!(path, format!("filter_chains[0].filters[0].typed_config.{filter}"));
}
