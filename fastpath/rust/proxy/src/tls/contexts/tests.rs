use std::rc::Rc;
use std::sync::Arc;

use meshloom_model::{Compiler, Snapshot};
use meshloom_xds as xds;
use meshloom_xds::envoy::config::cluster::v3 as cluster;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::endpoint::v3 as endpoint;
use meshloom_xds::envoy::config::listener::v3 as listener;
use meshloom_xds::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;
use meshloom_xds::envoy::extensions::transport_sockets::tls::v3 as tls;
use meshloom_xds::envoy::service::discovery::v3 as discovery;
use prost::Message;
use rustls::ClientConfig;

use super::{ServerTls, TlsCache, TlsContexts};

const CERTIFICATE: &[u8] = include_bytes!("../../../../model/src/compile/tests/certificate.pem");
const KEY: &[u8] = include_bytes!("../../../../model/src/compile/tests/key.pem");

const LISTENER: &str = "envoy.config.listener.v3.Listener";
const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
const ASSIGNMENT: &str = "envoy.config.endpoint.v3.ClusterLoadAssignment";
const SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.Secret";
const UPSTREAM_TLS: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const DOWNSTREAM_TLS: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

fn any(kind: &str, message: &impl Message) -> xds::Any {
    xds::Any { type_url: format!("type.googleapis.com/{kind}"), value: message.encode_to_vec() }
}

fn update(kind: &str, name: &str, message: &impl Message) -> Vec<u8> {
    let resource = any(kind, message);
    let resource =
        discovery::Resource { name: name.to_owned(), resource: Some(resource), ..Default::default() };
    response(kind, vec![resource], Vec::new())
}

fn removal(kind: &str, name: &str) -> Vec<u8> {
    response(kind, Vec::new(), vec![name.to_owned()])
}

fn response(kind: &str, resources: Vec<discovery::Resource>, removed_resources: Vec<String>) -> Vec<u8> {
    let type_url = format!("type.googleapis.com/{kind}");
    let message =
        discovery::DeltaDiscoveryResponse { type_url, resources, removed_resources, ..Default::default() };
    message.encode_length_delimited_to_vec()
}

/// As many certificates as told: another number is another secret.
fn certificates(count: usize) -> Option<core::DataSource> {
    let bytes = CERTIFICATE.repeat(count);
    Some(core::DataSource { specifier: Some(core::data_source::Specifier::InlineBytes(bytes)) })
}

fn certificate(name: &str, count: usize) -> Vec<u8> {
    let key = core::DataSource { specifier: Some(core::data_source::Specifier::InlineBytes(KEY.to_vec())) };
    let pair = tls::TlsCertificate {
        certificate_chain: certificates(count),
        private_key: Some(key),
        ocsp_staple: None,
    };
    let secret = tls::secret::Type::TlsCertificate(pair);
    update(SECRET, name, &tls::Secret { name: name.to_owned(), r#type: Some(secret) })
}

fn authority(name: &str, count: usize) -> Vec<u8> {
    let rules = tls::CertificateValidationContext { trusted_ca: certificates(count), ..Default::default() };
    let secret = tls::secret::Type::ValidationContext(rules);
    update(SECRET, name, &tls::Secret { name: name.to_owned(), r#type: Some(secret) })
}

/// A context that names the secrets `<name>-own` and `<name>-roots`.
fn common(name: &str) -> Option<tls::CommonTlsContext> {
    use tls::common_tls_context::ValidationContextType::ValidationContextSdsSecretConfig;
    let sds = |what: &str| tls::SdsSecretConfig { name: format!("{name}-{what}") };
    Some(tls::CommonTlsContext {
        tls_certificate_sds_secret_configs: vec![sds("own")],
        validation_context_type: Some(ValidationContextSdsSecretConfig(sds("roots"))),
        ..Default::default()
    })
}

fn transport(kind: &str, context: &impl Message) -> Option<core::TransportSocket> {
    Some(core::TransportSocket { name: "tls".to_owned(), typed_config: Some(any(kind, context)) })
}

fn address(port: u32) -> Option<core::Address> {
    let socket =
        core::SocketAddress { address: "127.0.0.1".to_owned(), port_value: Some(port), ..Default::default() };
    Some(core::Address { address: Some(core::address::Address::SocketAddress(socket)) })
}

fn cluster_of(name: &str) -> Vec<u8> {
    let context = tls::UpstreamTlsContext { common_tls_context: common(name), ..Default::default() };
    let made = cluster::Cluster {
        name: name.to_owned(),
        r#type: Some(cluster::cluster::DiscoveryType::Eds as i32),
        eds_cluster_config: Some(Default::default()),
        transport_socket: transport(UPSTREAM_TLS, &context),
        ..Default::default()
    };
    update(CLUSTER, name, &made)
}

fn endpoints(name: &str, ports: &[u32]) -> Vec<u8> {
    let one = |port: &u32| endpoint::LbEndpoint {
        endpoint: Some(endpoint::Endpoint { address: address(*port), ..Default::default() }),
        ..Default::default()
    };
    let group =
        endpoint::LocalityLbEndpoints { lb_endpoints: ports.iter().map(one).collect(), ..Default::default() };
    let made = endpoint::ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![group],
        ..Default::default()
    };
    update(ASSIGNMENT, name, &made)
}

fn listener_of(name: &str, port: u32) -> Vec<u8> {
    let context = tls::DownstreamTlsContext { common_tls_context: common(name), ..Default::default() };
    let proxy = tcp::TcpProxy {
        stat_prefix: name.to_owned(),
        cluster_specifier: Some(tcp::tcp_proxy::ClusterSpecifier::Cluster(name.to_owned())),
        ..Default::default()
    };
    let filter = listener::Filter { name: "tcp".to_owned(), typed_config: Some(any(TCP_PROXY, &proxy)) };
    let chain = listener::FilterChain {
        filters: vec![filter],
        transport_socket: transport(DOWNSTREAM_TLS, &context),
        ..Default::default()
    };
    let made = listener::Listener {
        name: name.to_owned(),
        address: address(port),
        filter_chains: vec![chain],
        ..Default::default()
    };
    update(LISTENER, name, &made)
}

/// Configurations of both sides; `None` is one that cannot be made yet.
#[derive(Clone, Debug)]
struct Pair {
    server: Option<Rc<ServerTls>>,
    client: Option<Arc<ClientConfig>>,
}

impl Pair {
    /// Which of the two are the same as in another pair, and there: server, client.
    fn same(&self, other: &Self) -> (bool, bool) {
        let server = self.server.as_ref().zip(other.server.as_ref());
        let client = self.client.as_ref().zip(other.client.as_ref());
        (
            server.is_some_and(|(one, other)| Rc::ptr_eq(one, other)),
            client.is_some_and(|(one, other)| Arc::ptr_eq(one, other)),
        )
    }
}

/// A worker's snapshots and contexts, with a listener and a cluster each for `a` and `b`.
#[derive(Default)]
struct Mesh {
    compiler: Compiler,
    cache: TlsCache,
}

impl Mesh {
    fn start() -> (Self, [Pair; 2]) {
        let mut mesh = Self::default();
        let mut all = Vec::new();
        for (name, port) in [("a", 8080), ("b", 8081)] {
            all.extend([certificate(&format!("{name}-own"), 1), authority(&format!("{name}-roots"), 1)]);
            all.extend([cluster_of(name), endpoints(name, &[80, 81]), listener_of(name, port)]);
        }
        let pairs = mesh.apply(&all.concat());
        assert!(pairs.iter().all(|pair| pair.server.is_some() && pair.client.is_some()));
        (mesh, pairs)
    }

    /// The configurations of `a` and `b` after an update.
    fn apply(&mut self, update: &[u8]) -> [Pair; 2] {
        let before = Arc::clone(self.compiler.snapshot());
        let outcome = self.compiler.apply(update);
        assert_eq!(outcome.rejected, []);
        assert!(!Arc::ptr_eq(&before, &outcome.snapshot), "the update changes something");
        let mut contexts = TlsContexts::new(&outcome.snapshot, std::mem::take(&mut self.cache));
        let pairs = ["a", "b"].map(|name| pair(name, &outcome.snapshot, &mut contexts));
        self.cache = contexts.into_cache();
        pairs
    }
}

fn pair(name: &str, snapshot: &Snapshot, contexts: &mut TlsContexts<'_>) -> Pair {
    let listener = snapshot.listeners.get(name);
    let chain = listener.and_then(|listener| listener.chains().next());
    let server = chain.and_then(|chain| contexts.server(&chain.transport));
    let client = snapshot.clusters.named(name).and_then(|cluster| {
        let endpoint = snapshot.endpoints(cluster)?.all.first()?;
        contexts.client(cluster, endpoint)?.config.clone().ok()
    });
    Pair { server, client }
}

#[test]
fn an_update_of_endpoints_keeps_all_configurations() {
    let (mut mesh, before) = Mesh::start();

    let after = mesh.apply(&endpoints("a", &[82, 83]));

    assert_eq!(after[0].same(&before[0]), (true, true));
    assert_eq!(after[1].same(&before[1]), (true, true));
}

#[test]
fn a_new_certificate_makes_new_configurations_for_those_that_use_it() {
    let (mut mesh, before) = Mesh::start();

    let after = mesh.apply(&certificate("a-own", 2));

    assert!(after[0].server.is_some() && after[0].client.is_some());
    assert_eq!(after[0].same(&before[0]), (false, false));
    assert_eq!(after[1].same(&before[1]), (true, true));
}

#[test]
fn a_new_authority_makes_new_configurations_for_those_that_trust_it() {
    let (mut mesh, before) = Mesh::start();

    let after = mesh.apply(&authority("b-roots", 2));

    assert!(after[1].server.is_some() && after[1].client.is_some());
    assert_eq!(after[0].same(&before[0]), (true, true));
    assert_eq!(after[1].same(&before[1]), (false, false));
}

#[test]
fn a_secret_that_goes_takes_its_configurations_with_it() {
    let (mut mesh, before) = Mesh::start();

    let without = mesh.apply(&removal(SECRET, "a-own"));
    let again = mesh.apply(&certificate("a-own", 1));

    assert!(without[0].server.is_none() && without[0].client.is_none());
    assert!(again[0].server.is_some() && again[0].client.is_some());
    assert_eq!(again[0].same(&before[0]), (false, false));
}

#[test]
fn removed_contexts_are_dropped() {
    let (mut mesh, before) = Mesh::start();
    let servers = before.clone().map(|pair| Rc::downgrade(&pair.server.unwrap()));
    let clients = before.map(|pair| Arc::downgrade(&pair.client.unwrap()));

    mesh.apply(&[removal(LISTENER, "a"), removal(CLUSTER, "a")].concat());

    assert_eq!(servers.map(|made| made.strong_count() > 0), [false, true]);
    assert_eq!(clients.map(|made| made.strong_count() > 0), [false, true]);
}
