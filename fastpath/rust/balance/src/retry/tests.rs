use super::{Failure, RetryConditions, RetryPolicy, UnknownCondition};

fn policy(conditions: &str) -> RetryPolicy {
    let conditions = RetryConditions::parse(conditions).expect("known conditions");
    RetryPolicy { conditions, retries: 2, statuses: vec![503], ..RetryPolicy::default() }
}

#[test]
fn each_condition_covers_its_failures_and_no_others() {
    let failures = [
        Failure::Connect,
        Failure::Reset { sent: false },
        Failure::Reset { sent: true },
        Failure::PerTryTimeout,
        Failure::Status(500),
        Failure::Status(502),
        Failure::Status(409),
        Failure::Status(503),
        Failure::Overflow,
    ];
    let table = [
        ("connect-failure", "x........"),
        ("reset-before-request", "xx......."),
        ("reset", "xxxx....."),
        ("gateway-error", "x..x.x.x."),
        ("5xx", "xxxxxx.x."),
        ("retriable-4xx", "......x.."),
        ("retriable-status-codes", ".......x."),
        ("unavailable,refused-stream", "........."),
        ("", "........."),
    ];
    for (conditions, want) in table {
        let policy = policy(conditions);
        let have: String = failures.iter().map(|f| if policy.allows(*f, 0) { 'x' } else { '.' }).collect();
        assert_eq!(have, want, "{conditions}");
    }
}

#[test]
fn retries_end_at_their_number() {
    let policy = policy("connect-failure");
    assert!(policy.allows(Failure::Connect, 1));
    assert!(!policy.allows(Failure::Connect, 2));
}

#[test]
fn a_word_that_is_no_condition_is_named() {
    let error = RetryConditions::parse("5xx, sometimes").expect_err("not a condition");
    assert_eq!(error, UnknownCondition("sometimes".to_owned()));
    assert_eq!(error.to_string(), "unknown retry condition \"sometimes\"");
}
