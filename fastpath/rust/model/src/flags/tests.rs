use super::{ResponseFlag, ResponseFlags};

#[test]
fn a_refused_retry_is_listed_before_the_failure_as_envoy_lists_it() {
    let flags = ResponseFlags::NONE
        .with(ResponseFlag::UpstreamConnectionFailure)
        .with(ResponseFlag::UpstreamRetryLimitExceeded)
        .with(ResponseFlag::DelayInjected);

    assert_eq!(flags.to_string(), "URX,UF,DI");
}

#[test]
fn short_names_find_their_flags() {
    for flag in ResponseFlag::ALL {
        assert_eq!(ResponseFlag::by_short_name(flag.short()), Some(*flag));
    }
    assert_eq!(ResponseFlag::by_short_name("XX"), None);
}
