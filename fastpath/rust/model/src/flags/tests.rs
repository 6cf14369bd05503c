use super::{ResponseFlag, ResponseFlags};

#[test]
fn flags_are_joined_in_envoys_order_whatever_order_they_were_set_in() {
    let flags = ResponseFlags::NONE
        .with(ResponseFlag::UpstreamConnectionFailure)
        .with(ResponseFlag::UpstreamRetryLimitExceeded)
        .with(ResponseFlag::DelayInjected);

    assert_eq!(flags.to_string(), "UF,DI,URX");
}

#[test]
fn short_names_find_their_flags() {
    for flag in ResponseFlag::ALL {
        assert_eq!(ResponseFlag::by_short_name(flag.short()), Some(*flag));
    }
    assert_eq!(ResponseFlag::by_short_name("XX"), None);
}
