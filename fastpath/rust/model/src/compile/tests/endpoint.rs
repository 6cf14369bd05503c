use meshloom_xds::envoy::config::core::v3 as core;

use super::support::{apply, assignment, lb_endpoint, object, refusal, text};
use crate::compile::types::ASSIGNMENT;
use crate::endpoint::Health;

#[test]
fn endpoints_are_sorted_by_priority_and_know_their_locality() {
    let mut made = assignment("a", &[1, 2]);
    let mut first = made.endpoints[0].clone();
    made.endpoints[0].priority = 1;
    first.lb_endpoints = vec![lb_endpoint(3)];
    first.load_balancing_weight = Some(7);
    first.locality = Some(core::Locality { region: "eu".to_owned(), ..Default::default() });
    made.endpoints.push(first);

    let snapshot = apply(ASSIGNMENT, "a", &made).snapshot;
    let endpoints = snapshot.assignments.named("a").unwrap();

    assert_eq!(&*endpoints.priorities, [1, 2]);
    assert_eq!(endpoints.of_priority(0)[0].address.to_string(), "127.0.0.1:3");
    let locality = endpoints.locality_of(&endpoints.of_priority(0)[0]).unwrap();
    assert_eq!((&*locality.locality.region, locality.weight), ("eu", Some(7)));
    assert_eq!(endpoints.overprovisioning_percent, 140);
}

#[test]
fn health_weight_and_metadata_are_read() {
    let mut made = assignment("a", &[1, 2]);
    let member = &mut made.endpoints[0].lb_endpoints[0];
    member.health_status = core::HealthStatus::Draining as i32;
    member.load_balancing_weight = Some(5);
    let metadata = [
        ("envoy.transport_socket_match".to_owned(), object(&[("tlsMode", text("istio"))])),
        ("istio".to_owned(), object(&[("workload", text("reviews-v1;default;reviews;v1;c"))])),
    ];
    member.metadata = Some(core::Metadata { filter_metadata: metadata.into() });

    let snapshot = apply(ASSIGNMENT, "a", &made).snapshot;
    let endpoints = snapshot.assignments.named("a").unwrap();

    let (first, second) = (&endpoints.all[0], &endpoints.all[1]);
    assert_eq!((first.health, first.weight), (Health::Draining, 5));
    assert_eq!((second.health, second.weight), (Health::Healthy, 1));
    assert_eq!(first.labels, [("tlsMode".into(), "istio".into())].into());
    assert_eq!(first.workload.as_deref(), Some("reviews-v1;default;reviews;v1;c"));
}

#[test]
fn gaps_weights_of_zero_and_host_names_are_refused() {
    let mut gap = assignment("a", &[1]);
    gap.endpoints[0].priority = 1;
    assert_eq!(refusal(ASSIGNMENT, "a", &gap).0, "endpoints");

    let mut zero = assignment("a", &[1]);
    zero.endpoints[0].lb_endpoints[0].load_balancing_weight = Some(0);
    assert_eq!(refusal(ASSIGNMENT, "a", &zero).0, "endpoints[0].lb_endpoints[0].load_balancing_weight");

    let mut named = assignment("a", &[1]);
    let endpoint = named.endpoints[0].lb_endpoints[0].endpoint.as_mut().unwrap();
    endpoint.address = Some(super::support::socket("example.com", 1));
    let (path, reason) = refusal(ASSIGNMENT, "a", &named);
    assert_eq!(path, "endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address");
    assert!(reason.contains("STRICT_DNS"), "{reason}");
}

#[test]
fn an_assignment_may_be_empty() {
    let mut empty = assignment("a", &[]);
    empty.endpoints.clear();

    let snapshot = apply(ASSIGNMENT, "a", &empty).snapshot;

    assert!(snapshot.assignments.named("a").unwrap().all.is_empty());
}
