//! Who the client is, whether it is trusted, and which of its headers may pass: what Envoy's connection manager does to
//! every request before any filter sees it.

use std::net::{IpAddr, SocketAddr};

use meshloom_model::filter_chain::IpPrefix;
use meshloom_wire::http1::KnownHeader as H;

use crate::message::{Protocol, Request, Scheme};
use crate::util::{Rng, new_request_id};

/// Not among the known names.
pub(super) const RETRIABLE_HEADER_NAMES: &str = "x-envoy-retriable-header-names";

/// The connection manager's fields on this, compiled.
#[derive(Clone, Debug, Default)]
pub(crate) struct EdgeRules {
    pub(crate) use_remote_address: bool,
    pub(crate) trusted_hops: u32,
    pub(crate) skip_xff_append: bool,
    pub(crate) append_x_forwarded_port: bool,
    pub(crate) internal_ranges: Box<[IpPrefix]>,
    pub(crate) generate_request_id: bool,
    pub(crate) preserve_external_request_id: bool,
    /// In place of what the connection and x-forwarded-proto say.
    pub(crate) scheme: Option<Scheme>,
}

/// The connection that the request came over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) tls: bool,
    /// Our own address: what a caller on this machine is known by elsewhere.
    pub(crate) own: Option<IpAddr>,
}

/// What was found out about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// The trusted address of the client itself.
    pub(crate) address: SocketAddr,
    pub(crate) internal: bool,
}

/// Sets and removes the headers, and says who the client is.
pub(crate) fn sanitize(request: &mut Request, origin: Origin, rules: &EdgeRules, rng: &mut Rng) -> Client {
    request.fields.remove(H::XEnvoyInternal);
    let client = find_client(request, origin, rules);
    forwarded_headers(request, origin, rules);
    let edge = rules.use_remote_address && !client.internal;
    if client.internal {
        request.fields.set(H::XEnvoyInternal, b"true");
    } else {
        remove_internal(request, edge);
    }
    if edge {
        let text = client.address.ip().to_string();
        request.fields.set(H::XEnvoyExternalAddress, text.as_bytes());
    }
    if rules.generate_request_id {
        let regenerate = edge && !rules.preserve_external_request_id;
        if regenerate || request.fields.get(H::XRequestId).is_none_or(<[u8]>::is_empty) {
            request.fields.set(H::XRequestId, &new_request_id(rng));
        } else if edge {
            forget_trace(request);
        }
    }
    client
}

/// An identifier says at this place whether its request is traced, which is not for strangers to say.
fn forget_trace(request: &mut Request) {
    const LENGTH: usize = 36;
    const PLACE: usize = 14;
    let told = request.fields.get(H::XRequestId).unwrap_or_default();
    if told.len() != LENGTH || told.get(PLACE) == Some(&b'4') {
        return;
    }
    let mut id = told.to_vec();
    if let Some(reason) = id.get_mut(PLACE) {
        *reason = b'4';
    }
    request.fields.set(H::XRequestId, &id);
}

fn find_client(request: &Request, origin: Origin, rules: &EdgeRules) -> Client {
    let forwarded = request.fields.joined("x-forwarded-for");
    let (found, single) = if rules.use_remote_address {
        let found = match rules.trusted_hops {
            0 => None,
            hops => forwarded.as_deref().and_then(|list| nth_from_end(list, hops - 1)),
        };
        (Some(found.unwrap_or(origin.remote)), forwarded.is_none())
    } else {
        let found = forwarded.as_deref().and_then(|list| nth_from_end(list, rules.trusted_hops));
        let single = forwarded.as_deref().is_some_and(|list| !list.contains(&b','));
        (found, single)
    };
    let internal = single && found.is_some_and(|address| in_ranges(address.ip(), &rules.internal_ranges));
    Client { address: found.unwrap_or(origin.remote), internal }
}

/// The address so many places before the last one of a comma-separated list.
fn nth_from_end(list: &[u8], places: u32) -> Option<SocketAddr> {
    let entry = list.rsplit(|byte| *byte == b',').nth(usize::try_from(places).ok()?)?;
    let text = std::str::from_utf8(entry).ok()?.trim();
    text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0))
}

fn in_ranges(address: IpAddr, ranges: &[IpPrefix]) -> bool {
    ranges.iter().any(|range| range.contains(address))
}

fn forwarded_headers(request: &mut Request, origin: Origin, rules: &EdgeRules) {
    if rules.use_remote_address {
        if !rules.skip_xff_append {
            let remote = origin.remote.ip();
            append_address(request, origin.own.filter(|_| remote.is_loopback()).unwrap_or(remote));
        }
        if rules.trusted_hops == 0 {
            request.fields.remove(H::XForwardedProto);
        }
    }
    // At the edge nobody before us has a say.
    let is_first = rules.use_remote_address && rules.trusted_hops == 0;
    if rules.append_x_forwarded_port && (is_first || !request.fields.contains(H::XForwardedPort)) {
        request.fields.remove(H::XForwardedPort);
        request.fields.add_number(H::XForwardedPort, u64::from(origin.local.port()));
    }
    let connection = if origin.tls { Scheme::Https } else { Scheme::Http };
    if let Some(scheme) = rules.scheme {
        // Neither the client nor the connection has a say.
        request.fields.set(H::XForwardedProto, scheme.as_str().as_bytes());
    }
    let told = match request.fields.get(H::XForwardedProto) {
        Some(b"https") => Some(Scheme::Https),
        Some(b"http") => Some(Scheme::Http),
        Some(_) => None,
        None => {
            request.fields.add(H::XForwardedProto, connection.as_str().as_bytes());
            None
        }
    };
    // Over HTTP/2 the client has said which scheme it means.
    let own = (request.version == Protocol::Http2).then_some(request.scheme);
    request.scheme = rules.scheme.or(own).or(told).unwrap_or(connection);
}

fn append_address(request: &mut Request, address: IpAddr) {
    let ip = address.to_string();
    match request.fields.joined("x-forwarded-for") {
        Some(list) if !list.is_empty() => {
            let joined = [&*list, b",", ip.as_bytes()].concat();
            request.fields.set(H::XForwardedFor, &joined);
        }
        _ => request.fields.set(H::XForwardedFor, ip.as_bytes()),
    }
}

/// Headers that only a trusted caller may set.
fn remove_internal(request: &mut Request, edge: bool) {
    const EDGE: [H; 5] = [
        H::XEnvoyDecoratorOperation,
        H::XEnvoyDownstreamServiceCluster,
        H::XEnvoyDownstreamServiceNode,
        H::XEnvoyOriginalPath,
        H::XEnvoyOriginalHost,
    ];
    const ALWAYS: [H; 14] = [
        H::XEnvoyUpstreamStreamDurationMs,
        H::XEnvoyRetriableStatusCodes,
        H::XEnvoyRetryOn,
        H::XEnvoyRetryGrpcOn,
        H::XEnvoyMaxRetries,
        H::XEnvoyUpstreamAltStatName,
        H::XEnvoyUpstreamRqTimeoutMs,
        H::XEnvoyUpstreamRqPerTryTimeoutMs,
        H::XEnvoyUpstreamRqTimeoutAltResponse,
        H::XEnvoyExpectedRqTimeoutMs,
        H::XEnvoyForceTrace,
        H::XEnvoyIpTags,
        H::XEnvoyHedgeOnPerTryTimeout,
        H::XEnvoyIsTimeoutRetry,
    ];
    if edge {
        EDGE.into_iter().for_each(|id| request.fields.remove(id));
    }
    ALWAYS.into_iter().for_each(|id| request.fields.remove(id));
    request.fields.remove_unknown(RETRIABLE_HEADER_NAMES);
}

#[cfg(test)]
mod tests {
    use meshloom_wire::http1::{Headers, Limits, RequestParser};

    use super::*;

    fn request(extra: &str) -> Request {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{extra}\r\n");
        let mut headers = Headers::new();
        let head = RequestParser::new()
            .parse(text.as_bytes(), &mut headers, &Limits::default())
            .expect("valid")
            .expect("complete");
        let mut request = Request::default();
        request.load(&head, text.as_bytes(), &mut headers, None);
        request
    }

    fn origin() -> Origin {
        Origin {
            remote: "10.1.2.3:5".parse().expect("address"),
            local: "10.0.0.1:80".parse().expect("address"),
            tls: false,
            own: None,
        }
    }

    fn run(extra: &str, rules: &EdgeRules) -> (Request, Client) {
        let mut request = request(extra);
        let client = sanitize(&mut request, origin(), rules, &mut Rng::from_entropy());
        (request, client)
    }

    fn value(request: &Request, id: H) -> String {
        String::from_utf8_lossy(request.fields.get(id).unwrap_or(b"(none)")).into_owned()
    }

    #[test]
    fn an_edge_appends_the_peer_and_does_not_believe_it() {
        let rules = EdgeRules { use_remote_address: true, generate_request_id: true, ..EdgeRules::default() };
        let (request, client) = run(
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Request-Id: mine\r\nX-Envoy-Max-Retries: 9\r\n",
            &rules,
        );
        assert_eq!(client, Client { address: origin().remote, internal: false });
        assert_eq!(value(&request, H::XForwardedFor), "1.1.1.1,10.1.2.3");
        assert_eq!(value(&request, H::XForwardedProto), "http");
        assert_eq!(value(&request, H::XRequestId).len(), 36);
        assert_eq!(value(&request, H::XEnvoyMaxRetries), "(none)");
        assert_eq!(value(&request, H::XEnvoyExternalAddress), "10.1.2.3");
    }

    #[test]
    fn a_trusted_hop_says_who_the_client_is() {
        let rules = EdgeRules { use_remote_address: true, trusted_hops: 1, ..EdgeRules::default() };
        let (request, client) =
            run("X-Forwarded-For: 9.9.9.9, 1.1.1.1\r\nX-Forwarded-Proto: https\r\n", &rules);
        assert_eq!(client.address.ip().to_string(), "1.1.1.1");
        assert_eq!(value(&request, H::XForwardedProto), "https");
    }

    #[test]
    fn a_sidecar_keeps_what_it_got() {
        let rules = EdgeRules { generate_request_id: true, ..EdgeRules::default() };
        let (request, client) = run("X-Forwarded-For: 1.1.1.1\r\nX-Request-Id: mine\r\n", &rules);
        assert_eq!(client.address.ip().to_string(), "1.1.1.1");
        assert_eq!(value(&request, H::XForwardedFor), "1.1.1.1");
        assert_eq!(value(&request, H::XRequestId), "mine");
    }

    #[test]
    fn only_configured_ranges_are_internal() {
        let mut rules = EdgeRules { use_remote_address: true, ..EdgeRules::default() };
        assert!(!run("", &rules).1.internal);
        rules.internal_ranges = IpPrefix::new("10.0.0.0".parse().expect("address"), 8).into_iter().collect();
        let (request, client) = run("X-Envoy-Max-Retries: 9\r\n", &rules);
        assert!(client.internal);
        assert_eq!(value(&request, H::XEnvoyInternal), "true");
        assert_eq!(value(&request, H::XEnvoyMaxRetries), "9");
        assert!(!run("X-Forwarded-For: 10.0.0.9\r\n", &rules).1.internal);
    }
}
