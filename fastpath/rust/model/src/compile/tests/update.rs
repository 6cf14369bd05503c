use std::sync::Arc;

use meshloom_xds::envoy::service::discovery::v3 as discovery;
use proptest::prelude::*;
use prost::Message;

use super::support::{
    apply, assignment, chain, listener_of, manager, response, route_to, seconds, static_cluster, table, url,
};
use crate::compile::{Compiler, summarise, types};

fn full_update() -> Vec<u8> {
    [
        response(types::CLUSTER, &[("a", static_cluster("a").encode_to_vec()), ("b", eds("b"))], &[]),
        response(types::ASSIGNMENT, &[("b", assignment("b", &[1, 2]).encode_to_vec())], &[]),
        response(types::LISTENER, &[("l", listener_of(vec![chain(&manager())]).encode_to_vec())], &[]),
        response(types::ROUTE_TABLE, &[("r", table("r", vec![route_to("a")]).encode_to_vec())], &[]),
    ]
    .concat()
}

fn eds(name: &str) -> Vec<u8> {
    use meshloom_xds::envoy::config::cluster::v3 as cluster;
    let kind = cluster::cluster::DiscoveryType::Eds as i32;
    let config = cluster::cluster::EdsClusterConfig::default();
    let made = cluster::Cluster {
        name: name.to_owned(),
        r#type: Some(kind),
        eds_cluster_config: Some(config),
        ..Default::default()
    };
    made.encode_to_vec()
}

#[test]
fn an_update_of_all_kinds_makes_a_snapshot() {
    let outcome = Compiler::new().apply(&full_update());

    assert_eq!(outcome.rejected, []);
    let snapshot = outcome.snapshot;
    assert_eq!(snapshot.listeners.len(), 1);
    let cluster = snapshot.clusters.named("b").unwrap();
    assert_eq!(snapshot.endpoints(cluster).unwrap().all.len(), 2);
    assert!(snapshot.routes.named("r").is_some());
    assert_eq!(snapshot.version, 1);
}

#[test]
fn what_did_not_change_is_the_same_in_memory() {
    let mut compiler = Compiler::new();
    let before = compiler.apply(&full_update()).snapshot;

    let changed = response(types::ASSIGNMENT, &[("b", assignment("b", &[3]).encode_to_vec())], &[]);
    let after = compiler.apply(&changed).snapshot;

    for name in ["a", "b"] {
        assert!(Arc::ptr_eq(before.clusters.named(name).unwrap(), after.clusters.named(name).unwrap()));
    }
    assert!(Arc::ptr_eq(&before.listeners, &after.listeners));
    assert!(Arc::ptr_eq(before.routes.named("r").unwrap(), after.routes.named("r").unwrap()));
    assert!(!Arc::ptr_eq(before.assignments.named("b").unwrap(), after.assignments.named("b").unwrap()));
    assert_eq!(before.assignments.named("b").unwrap().all.len(), 2, "the old snapshot stays as it was");
}

#[test]
fn an_update_that_says_nothing_new_makes_no_new_snapshot() {
    let mut compiler = Compiler::new();
    let before = compiler.apply(&full_update()).snapshot;

    let after = compiler.apply(&full_update()).snapshot;

    assert!(Arc::ptr_eq(&before, &after));
}

#[test]
fn a_bad_resource_leaves_its_last_good_version_and_the_others_are_applied() {
    let mut compiler = Compiler::new();
    let before = compiler.apply(&full_update()).snapshot;
    let mut bad = static_cluster("a");
    bad.connect_timeout = seconds(0);

    let resources = [("a", bad.encode_to_vec()), ("c", static_cluster("c").encode_to_vec())];
    let outcome = compiler.apply(&response(types::CLUSTER, &resources, &[]));

    let [rejected] = outcome.rejected.as_slice() else { panic!("{:?}", outcome.rejected) };
    assert_eq!((rejected.name.as_str(), rejected.path.as_str()), ("a", "connect_timeout"));
    assert_eq!(rejected.type_url, url(types::CLUSTER));
    assert!(Arc::ptr_eq(before.clusters.named("a").unwrap(), outcome.snapshot.clusters.named("a").unwrap()));
    assert!(outcome.snapshot.clusters.named("c").is_some());
}

#[test]
fn a_removed_resource_keeps_its_index_for_when_it_comes_back() {
    let mut compiler = Compiler::new();
    let index = compiler.apply(&full_update()).snapshot.clusters.index_of("a").unwrap();

    let gone = compiler.apply(&response(types::CLUSTER, &[], &["a"])).snapshot;
    assert!(gone.cluster(index).is_none());
    let back = response(types::CLUSTER, &[("a", static_cluster("a").encode_to_vec())], &[]);
    let back = compiler.apply(&back).snapshot;

    assert_eq!(back.clusters.index_of("a"), Some(index));
    assert!(back.cluster(index).is_some());
}

#[test]
fn a_route_may_come_before_its_cluster() {
    let mut compiler = Compiler::new();
    let routes =
        response(types::ROUTE_TABLE, &[("r", table("r", vec![route_to("late")]).encode_to_vec())], &[]);
    let early = compiler.apply(&routes).snapshot;
    let index = early.clusters.index_of("late").unwrap();
    assert!(early.cluster(index).is_none());

    let clusters = response(types::CLUSTER, &[("late", static_cluster("late").encode_to_vec())], &[]);

    assert!(compiler.apply(&clusters).snapshot.cluster(index).is_some());
}

#[test]
fn a_resource_of_another_type_than_it_claims_is_refused() {
    let update = response(types::CLUSTER, &[("x", b"\xff\xff".to_vec())], &[]);
    assert!(!Compiler::new().apply(&update).rejected.is_empty());
    let mut compiler = Compiler::new();
    let good = static_cluster("x").encode_to_vec();
    compiler.apply(&response(types::CLUSTER, &[("x", good.clone())], &[]));
    let known_bytes = discovery::DeltaDiscoveryResponse {
        type_url: url(types::CLUSTER),
        resources: vec![discovery::Resource {
            name: "x".to_owned(),
            resource: Some(meshloom_xds::Any { type_url: url(types::SECRET), value: good }),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(compiler.apply(&known_bytes.encode_length_delimited_to_vec()).rejected[0].path, "resource");
    let unknown = Compiler::new().apply(&response("envoy.Nope", &[], &[]));
    assert_eq!(unknown.rejected[0].reason, "resources of this type are not supported");
}

#[test]
fn a_resource_that_travels_under_another_name_is_refused() {
    assert_eq!(super::support::refusal(types::CLUSTER, "b", &static_cluster("a")).0, "name");
}

#[test]
fn a_listener_without_a_name_takes_that_of_the_resource() {
    let mut unnamed = listener_of(vec![chain(&manager())]);
    unnamed.name = String::new();

    assert!(apply(types::LISTENER, "given", &unnamed).snapshot.listeners.contains_key("given"));
}

#[test]
fn a_summary_says_what_to_bind_and_to_subscribe_to() {
    let bytes = listener_of(vec![chain(&manager())]).encode_to_vec();

    let summary = summarise(&url(types::LISTENER), "", &bytes).unwrap();

    assert_eq!((summary.name.as_str(), summary.route_names), ("l", vec!["r".to_owned()]));
    assert_eq!(summary.listens[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(summarise(&url(types::CLUSTER), "b", &eds("b")).unwrap().eds_names, ["b"]);
    let refused = summarise(&url(types::CLUSTER), "b", b"\x0a").unwrap_err();
    assert_eq!(refused[0].name, "b");
}

proptest! {
    #[test]
    fn no_bytes_make_the_compiler_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
    ) {
        let mut update = full_update();
        for (place, byte) in cuts {
            let place = place.index(update.len());
            update[place] = byte;
        }
        update.truncate(length.index(update.len()) + 1);
        let mut compiler = Compiler::new();

        let first = compiler.apply(&update);
        let again = compiler.apply(&update);

        prop_assert_eq!(first.rejected, again.rejected);
    }
}
