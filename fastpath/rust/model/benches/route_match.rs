//! Nanoseconds to find the route of a request, in the route tables of the benchmark scenarios: one route, a thousand
//! prefixes with a regular expression on User-Agent each, ten thousand hosts. `cargo bench -p meshloom-model`.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use meshloom_model::matcher::RequestHead;
use meshloom_model::{Compiler, RouteTable};
use meshloom_xds::Any;
use meshloom_xds::envoy::config::route::v3 as proto;
use meshloom_xds::envoy::service::discovery::v3 as discovery;
use meshloom_xds::envoy::r#type::matcher::v3 as matcher;
use prost::Message;

const ROUTE_TABLE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const ROUNDS: u32 = 200_000;

struct Head {
    authority: String,
    path: String,
}

impl RequestHead for Head {
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match name {
            ":authority" => Some(Cow::Borrowed(self.authority.as_bytes())),
            "user-agent" => Some(Cow::Borrowed(b"bench-17")),
            _ => None,
        }
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
}

fn route(prefix: String, headers: Vec<proto::HeaderMatcher>) -> proto::Route {
    let matched = proto::RouteMatch {
        path_specifier: Some(proto::route_match::PathSpecifier::Prefix(prefix)),
        headers,
        ..Default::default()
    };
    let cluster = proto::route_action::ClusterSpecifier::Cluster("up".to_owned());
    let action = proto::RouteAction { cluster_specifier: Some(cluster), ..Default::default() };
    proto::Route {
        r#match: Some(matched),
        action: Some(proto::route::Action::Route(action)),
        ..Default::default()
    }
}

fn agent() -> proto::HeaderMatcher {
    let regex = matcher::RegexMatcher { regex: "^bench-[0-9]+$".to_owned() };
    let string = matcher::StringMatcher {
        match_pattern: Some(matcher::string_matcher::MatchPattern::SafeRegex(regex)),
        ..Default::default()
    };
    proto::HeaderMatcher {
        name: "user-agent".to_owned(),
        header_match_specifier: Some(proto::header_matcher::HeaderMatchSpecifier::StringMatch(string)),
        ..Default::default()
    }
}

fn host(name: String, domains: Vec<String>, routes: Vec<proto::Route>) -> proto::VirtualHost {
    proto::VirtualHost { name, domains, routes, ..Default::default() }
}

fn compile(virtual_hosts: Vec<proto::VirtualHost>) -> (std::sync::Arc<RouteTable>, Duration) {
    let table = proto::RouteConfiguration { name: "r".to_owned(), virtual_hosts, ..Default::default() };
    let any = Any { type_url: ROUTE_TABLE.to_owned(), value: table.encode_to_vec() };
    let resource = discovery::Resource { name: "r".to_owned(), resource: Some(any), ..Default::default() };
    let update = discovery::DeltaDiscoveryResponse {
        type_url: ROUTE_TABLE.to_owned(),
        resources: vec![resource],
        ..Default::default()
    };
    let update = update.encode_length_delimited_to_vec();
    let start = Instant::now();
    let outcome = Compiler::new().apply(&update);
    assert_eq!(outcome.rejected, []);
    let table =
        outcome.snapshot.routes.iter().find(|(_, name, _)| *name == "r").map(|(_, _, table)| table.clone());
    (table.unwrap_or_else(|| unreachable!("it was just applied")), start.elapsed())
}

fn measure(name: &str, virtual_hosts: Vec<proto::VirtualHost>, heads: &[Head]) {
    let (table, compiled_in) = compile(virtual_hosts);
    let mut rounds: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            for head in heads.iter().cycle().take(ROUNDS as usize) {
                assert!(black_box(&table).route(black_box(head), 0).is_some());
            }
            start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let median = rounds.get(2).copied().unwrap_or_default();
    println!("{name:<28} {median:8.1} ns a match   compiled in {compiled_in:?}");
}

fn main() {
    let plain = || vec![route("/".to_owned(), Vec::new())];
    let any = || vec!["*".to_owned()];
    let head = |authority: String, path: String| Head { authority, path };

    measure("1 route", vec![host("v".to_owned(), any(), plain())], &[head("a".to_owned(), "/1k".to_owned())]);

    let prefixes = (0..1000).map(|nth| route(format!("/svc{nth:05}/"), vec![agent()])).collect();
    let heads: Vec<Head> =
        (0..1000).map(|nth| head("a".to_owned(), format!("/svc{:05}/1k", nth * 7 % 1000))).collect();
    measure("1 000 prefixes with a regex", vec![host("v".to_owned(), any(), prefixes)], &heads);

    let hosts = (0..10_000).map(|nth| {
        let name = format!("svc{nth:05}.example");
        host(name.clone(), vec![name.clone(), format!("{name}:*")], plain())
    });
    let heads: Vec<Head> = (0..10_000)
        .map(|nth| head(format!("svc{:05}.example", nth * 7 % 10_000), "/1k".to_owned()))
        .collect();
    measure("10 000 hosts", hosts.collect(), &heads);
}
