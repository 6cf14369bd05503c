use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::route::v3 as proto;
use meshloom_xds::envoy::extensions::filters::http::fault::v3 as fault;
use meshloom_xds::envoy::r#type::matcher::v3 as matcher;

use super::support::{any, apply, inline, prefix, refusal, route_to, table, to_cluster};
use crate::compile::types::{self, ROUTE_TABLE};
use crate::filter::AbortStatus;
use crate::matcher::RequestHead;
use crate::route::{
    ClusterChoice, Forward, PathRewrite, RedirectPath, RetryOn, Route, RouteAction, RouteTable,
};
use crate::snapshot::Snapshot;

#[derive(Default)]
struct Head(BTreeMap<&'static str, &'static str>);

fn get(authority: &'static str, path: &'static str) -> Head {
    Head([(":authority", authority), (":path", path), (":method", "GET")].into())
}

impl Head {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.0.insert(name, value);
        self
    }
}

impl RequestHead for Head {
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.0.get(name).map(|value| Cow::Borrowed(value.as_bytes()))
    }

    fn path(&self) -> &[u8] {
        self.0[":path"].as_bytes()
    }
}

fn compiled(message: &proto::RouteConfiguration) -> (Arc<Snapshot>, Arc<RouteTable>) {
    let outcome = apply(ROUTE_TABLE, "r", message);
    assert_eq!(outcome.rejected, []);
    let table = Arc::clone(outcome.snapshot.routes.named("r").unwrap());
    (outcome.snapshot, table)
}

fn only_route(message: &proto::RouteConfiguration) -> Arc<Route> {
    Arc::clone(&compiled(message).1.virtual_hosts()[0].routes()[0])
}

fn forward(route: &Route) -> &Forward {
    let RouteAction::Forward(forward) = &route.action else { panic!("{route:?}") };
    forward
}

fn cluster_of(snapshot: &Snapshot, table: &RouteTable, head: &Head) -> Option<String> {
    let route = table.route(head, 0)?;
    let ClusterChoice::Known(index) = forward(route).pick(route, head, 0).cluster else { return None };
    snapshot.clusters.name_of(index).map(str::to_owned)
}

fn value(
    action: core::header_value_option::HeaderAppendAction,
    key: &str,
    value: &str,
) -> core::HeaderValueOption {
    core::HeaderValueOption {
        header: Some(core::HeaderValue {
            key: key.to_owned(),
            value: value.to_owned(),
            ..Default::default()
        }),
        append_action: action as i32,
        ..Default::default()
    }
}

#[test]
fn firefox_goes_to_the_canary_and_everyone_else_does_not() {
    let regex = matcher::RegexMatcher { regex: ".*Firefox.*".to_owned() };
    let string = matcher::StringMatcher {
        match_pattern: Some(matcher::string_matcher::MatchPattern::SafeRegex(regex)),
        ..Default::default()
    };
    let header = proto::HeaderMatcher {
        name: "User-Agent".to_owned(),
        header_match_specifier: Some(proto::header_matcher::HeaderMatchSpecifier::StringMatch(string)),
        ..Default::default()
    };
    let mut canary = route_to("canary");
    canary.r#match.as_mut().unwrap().headers = vec![header];
    let (snapshot, table) = compiled(&table("r", vec![canary, route_to("stable")]));

    let of = |agent| cluster_of(&snapshot, &table, &get("a", "/").with("user-agent", agent));

    assert_eq!(of("Mozilla/5.0 Firefox/128").as_deref(), Some("canary"));
    assert_eq!(of("Chrome/126").as_deref(), Some("stable"));
}

#[test]
fn defaults_are_envoys() {
    let route = only_route(&table("r", vec![route_to("a")]));
    let forward = forward(&route);

    assert_eq!(forward.timeout, Some(Duration::from_secs(15)));
    assert_eq!(forward.cluster_not_found_status, 503);
    assert!(forward.retry.is_none());
    assert!(route.request_headers.is_empty());
}

#[test]
fn retries_have_envoys_defaults_and_come_from_the_host_unless_the_route_has_its_own() {
    let mut message = table("r", vec![route_to("a"), route_to("a")]);
    let host = &mut message.virtual_hosts[0];
    host.retry_policy =
        Some(proto::RetryPolicy { retry_on: "connect-failure, 5xx".to_owned(), ..Default::default() });
    let own = proto::RetryPolicy { retry_on: "reset".to_owned(), num_retries: Some(7), ..Default::default() };
    let mut action = to_cluster("a");
    action.retry_policy = Some(own);
    host.routes[1].action = Some(proto::route::Action::Route(action));

    let table = compiled(&message).1;

    let routes = table.virtual_hosts()[0].routes();
    let (inherited, own) =
        (forward(&routes[0]).retry.clone().unwrap(), forward(&routes[1]).retry.clone().unwrap());
    assert!(inherited.on.has(RetryOn::CONNECT_FAILURE) && inherited.on.has(RetryOn::SERVER_ERROR));
    assert!(!inherited.on.has(RetryOn::RESET));
    assert_eq!((inherited.max_retries, own.max_retries), (1, 7));
    assert_eq!(inherited.back_off.base, Duration::from_millis(25));
    assert_eq!(inherited.back_off.max, Duration::from_millis(250));
}

#[test]
fn header_operations_are_stacked_from_the_most_specific_level_out() {
    use core::header_value_option::HeaderAppendAction as Action;
    let mut message = table("r", vec![route_to("a")]);
    message.request_headers_to_add = vec![value(Action::AppendIfExistsOrAdd, "x-level", "table")];
    message.virtual_hosts[0].request_headers_to_remove = vec!["X-Gone".to_owned()];
    let route = &mut message.virtual_hosts[0].routes[0];
    route.request_headers_to_add = vec![
        value(Action::AddIfAbsent, "x-level", "absent"),
        value(Action::OverwriteIfExistsOrAdd, "x-level", "route"),
    ];
    let levels = |message: &proto::RouteConfiguration| {
        let route = only_route(message);
        let first = |level: &crate::headers::HeaderLevel| {
            level.set.first().and_then(|set| set.value.as_literal().map(str::to_owned)).unwrap_or_default()
        };
        route.request_headers.levels.iter().map(|level| first(level)).collect::<Vec<_>>()
    };

    assert_eq!(levels(&message), ["route", "", "table"], "and what overwrites comes before what adds");
    message.most_specific_header_mutations_wins = true;
    assert_eq!(levels(&message), ["table", "", "route"]);
}

#[test]
fn weighted_clusters_carry_their_own_operations_before_the_routes() {
    use core::header_value_option::HeaderAppendAction as Action;
    let entry = |name: &str, weight, header: &str| proto::weighted_cluster::ClusterWeight {
        name: name.to_owned(),
        weight: Some(weight),
        response_headers_to_add: vec![value(Action::AppendIfExistsOrAdd, "x", header)],
        ..Default::default()
    };
    let clusters = proto::WeightedCluster {
        clusters: vec![entry("a", 3, "of-a"), entry("b", 1, "of-b")],
        ..Default::default()
    };
    let mut route = route_to("a");
    route.response_headers_to_remove = vec!["y".to_owned()];
    let mut action = to_cluster("a");
    action.cluster_specifier = Some(proto::route_action::ClusterSpecifier::WeightedClusters(clusters));
    route.action = Some(proto::route::Action::Route(action));
    let (snapshot, table) = compiled(&table("r", vec![route]));
    let route = &table.virtual_hosts()[0].routes()[0];

    let head = get("a", "/");
    let picks: Vec<_> = (0..8).map(|random| forward(route).pick(route, &head, random)).collect();

    let names = picks.iter().map(|picked| match picked.cluster {
        ClusterChoice::Known(index) => snapshot.clusters.name_of(index).unwrap(),
        ClusterChoice::Named(_) => "",
    });
    assert_eq!(names.collect::<Vec<_>>(), ["a", "a", "a", "b", "a", "a", "a", "b"]);
    assert_eq!(picks[3].response_headers.levels.len(), 2);
    assert_eq!(picks[3].response_headers.levels[0].set[0].value.as_literal(), Some("of-b"));
}

#[test]
fn a_cluster_may_be_named_by_a_header() {
    let mut route = route_to("a");
    let mut action = to_cluster("a");
    action.cluster_specifier = Some(proto::route_action::ClusterSpecifier::ClusterHeader("X-To".to_owned()));
    route.action = Some(proto::route::Action::Route(action));
    let route = only_route(&table("r", vec![route]));
    let head = get("a", "/").with("x-to", "b");

    let picked = forward(&route).pick(&route, &head, 0);

    assert_eq!(picked.cluster, ClusterChoice::Named(b"b".as_slice().into()));
}

#[test]
fn a_prefix_rewrite_depends_on_how_the_path_was_matched() {
    let rewritten = |path: proto::route_match::PathSpecifier| {
        let mut action = to_cluster("a");
        action.prefix_rewrite = "/new".to_owned();
        let route = proto::Route {
            r#match: Some(proto::RouteMatch { path_specifier: Some(path), ..Default::default() }),
            action: Some(proto::route::Action::Route(action)),
            ..Default::default()
        };
        let route = only_route(&table("r", vec![route]));
        let rewrite = forward(&route).path_rewrite.clone().unwrap();
        String::from_utf8(rewrite.apply(b"/old/x?q")).unwrap()
    };
    use proto::route_match::PathSpecifier as Path;

    assert_eq!(rewritten(Path::Prefix("/old".to_owned())), "/new/x?q");
    assert_eq!(rewritten(Path::PathSeparatedPrefix("/old".to_owned())), "/new/x?q");
    assert_eq!(rewritten(Path::Path("/old/x".to_owned())), "/new?q");
    assert_eq!(rewritten(Path::SafeRegex(matcher::RegexMatcher { regex: ".*".to_owned() })), "/new?q");
}

#[test]
fn redirects_and_direct_responses_are_read() {
    let redirect = proto::RedirectAction {
        scheme_rewrite_specifier: Some(proto::redirect_action::SchemeRewriteSpecifier::HttpsRedirect(true)),
        path_rewrite_specifier: Some(proto::redirect_action::PathRewriteSpecifier::PrefixRewrite(
            "/z".to_owned(),
        )),
        response_code: proto::redirect_action::RedirectResponseCode::PermanentRedirect as i32,
        ..Default::default()
    };
    let direct = proto::DirectResponseAction { status: 204, body: Some(inline(b"ignored")) };
    let route =
        |action| proto::Route { r#match: Some(prefix("/r/")), action: Some(action), ..Default::default() };
    let routes = vec![
        route(proto::route::Action::Redirect(redirect)),
        route(proto::route::Action::DirectResponse(direct)),
    ];
    let table = compiled(&table("r", routes)).1;
    let routes = table.virtual_hosts()[0].routes();

    let RouteAction::Redirect(redirect) = &routes[0].action else { panic!() };
    assert_eq!((redirect.status, redirect.scheme.as_deref()), (308, Some("https")));
    let RedirectPath::Rewrite(PathRewrite::Prefix { matched: 3, .. }) = &redirect.path else {
        panic!("{redirect:?}")
    };
    let RouteAction::Direct(direct) = &routes[1].action else { panic!() };
    assert_eq!((direct.status, direct.body.len()), (204, 0), "a 204 has no body");
}

#[test]
fn filter_settings_of_a_route_go_over_those_of_its_host() {
    let abort = |status| {
        let kind = fault::fault_abort::ErrorType::HttpStatus(status);
        let abort = fault::FaultAbort { error_type: Some(kind), ..Default::default() };
        any(types::FAULT, &fault::HTTPFault { abort: Some(abort), ..Default::default() })
    };
    let off = any(types::FILTER_CONFIG, &proto::FilterConfig { disabled: true, ..Default::default() });
    let mut message = table("r", vec![route_to("a")]);
    let host = &mut message.virtual_hosts[0];
    host.typed_per_filter_config = [("f".to_owned(), abort(500)), ("g".to_owned(), off)].into();
    host.routes[0].typed_per_filter_config = [("f".to_owned(), abort(503))].into();

    let route = only_route(&message);

    let settings = route.overrides.get("f").unwrap().fault.clone().unwrap();
    assert_eq!(settings.abort.unwrap().status, AbortStatus::Http(503));
    assert_eq!(settings.abort.unwrap().millionths, 0, "a share that is not given is nobody's");
    assert_eq!(route.overrides.get("g").unwrap().disabled, Some(true));
    assert!(route.overrides.get("h").is_none());
}

#[test]
fn faults_are_refused_by_path() {
    let refused = |change: fn(&mut proto::Route)| {
        let mut route = route_to("a");
        change(&mut route);
        refusal(ROUTE_TABLE, "r", &table("r", vec![route])).0
    };
    let at = |field: &str| format!("virtual_hosts[0].routes[0].{field}");

    assert_eq!(refused(|route| route.r#match = None), at("match"));
    assert_eq!(refused(|route| route.action = None), at("").trim_end_matches('.'));
    assert_eq!(
        refused(|route| route.request_headers_to_remove = vec!["host".to_owned()]),
        at("request_headers_to_remove[0]")
    );
    let mut action = to_cluster("a");
    action.prefix_rewrite = "/a\r\nb: c".to_owned();
    let mut route = route_to("a");
    route.action = Some(proto::route::Action::Route(action));
    let (path, reason) = refusal(ROUTE_TABLE, "r", &table("r", vec![route]));
    assert_eq!(path, at("route.prefix_rewrite"));
    assert!(reason.contains("line breaks"));
    let bad = |text: &str| {
        use core::header_value_option::HeaderAppendAction as Action;
        let mut route = route_to("a");
        route.request_headers_to_add = vec![value(Action::AddIfAbsent, "x", text)];
        refusal(ROUTE_TABLE, "r", &table("r", vec![route]))
    };
    assert_eq!(bad("%REQ_WITHOUT_QUERY(:PATH)%").0, at("request_headers_to_add[0].header.value"));
    assert!(bad("a\r\nb: c").1.contains("line breaks"));
}

#[test]
fn nobody_but_the_proxy_frames_messages_or_speaks_of_the_connection() {
    use core::header_value_option::HeaderAppendAction as Action;
    for name in ["Content-Length", "transfer-encoding", "connection", "TE", "upgrade", "keep-alive"] {
        let mut route = route_to("a");
        route.response_headers_to_add = vec![value(Action::AppendIfExistsOrAdd, name, "5")];
        let (path, reason) = refusal(ROUTE_TABLE, "r", &table("r", vec![route]));
        assert!(path.ends_with("response_headers_to_add[0].header.key"), "{path}");
        assert!(reason.contains("the proxy's own"), "{name}: {reason}");
    }
}

#[test]
fn domains_that_differ_in_case_only_are_refused() {
    let mut message = table("r", vec![]);
    let mut second = message.virtual_hosts[0].clone();
    message.virtual_hosts[0].domains = vec!["a.com".to_owned()];
    second.domains = vec!["b.com".to_owned(), "A.com".to_owned()];
    message.virtual_hosts.push(second);

    assert_eq!(refusal(ROUTE_TABLE, "r", &message).0, "virtual_hosts[1].domains[1]");
}

#[test]
fn a_port_in_the_host_counts_unless_the_table_says_otherwise() {
    let mut message = table("r", vec![route_to("a")]);
    message.virtual_hosts[0].domains = vec!["a.com".to_owned()];
    let (snapshot, strict) = compiled(&message);
    assert_eq!(cluster_of(&snapshot, &strict, &get("a.com:8080", "/")), None);

    message.ignore_port_in_host_matching = true;
    let (snapshot, lenient) = compiled(&message);

    assert_eq!(cluster_of(&snapshot, &lenient, &get("A.com:8080", "/")).as_deref(), Some("a"));
    assert!(lenient.host(b"[::1]").is_none());
}

#[test]
fn a_share_of_requests_and_grpc_alone_can_be_asked_for() {
    use meshloom_xds::envoy::r#type::v3 as kinds;
    let mut part = route_to("part");
    let share = kinds::FractionalPercent { numerator: 30, denominator: 0 };
    part.r#match.as_mut().unwrap().runtime_fraction =
        Some(core::RuntimeFractionalPercent { default_value: Some(share) });
    let mut grpc = route_to("grpc");
    grpc.r#match.as_mut().unwrap().grpc = Some(proto::route_match::GrpcRouteMatchOptions {});
    let (_, table) = compiled(&table("r", vec![part, grpc, route_to("rest")]));
    let position = |head: &Head, random| {
        let found = table.route(head, random).unwrap();
        table.virtual_hosts()[0].routes().iter().position(|route| Arc::ptr_eq(route, found))
    };

    assert_eq!(position(&get("a", "/"), 299_999), Some(0));
    assert_eq!(position(&get("a", "/"), 300_000), Some(2));
    assert_eq!(position(&get("a", "/").with("content-type", "application/grpc+proto"), 999_999), Some(1));
    assert_eq!(position(&get("a", "/").with("content-type", "application/grpc-web"), 999_999), Some(2));
}
