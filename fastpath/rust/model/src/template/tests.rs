use proptest::prelude::*;

use super::{Command, InvalidTemplate, Piece, Template, TimeFormat, Values};

struct Known;

impl Values for Known {
    fn write(&self, command: &Command, out: &mut Vec<u8>) -> bool {
        match command {
            Command::ResponseCode => out.extend_from_slice(b"200"),
            Command::Request(name, _) if name.as_str() == "user-agent" => out.extend_from_slice(b"Firefox"),
            _ => return false,
        }
        true
    }
}

fn render(text: &str) -> String {
    let mut out = Vec::new();
    Template::parse(text).unwrap().render(&Known, "-", &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn commands_are_replaced_and_missing_values_marked() {
    assert_eq!(render("%RESPONSE_CODE% 100%% \"%REQ(User-Agent):4%\" %PROTOCOL%"), "200 100% \"Fire\" -");
}

#[test]
fn istios_default_format_is_understood() {
    let format = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
        %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" \
        %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
        \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% \
        %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% \
        %ROUTE_NAME%\n";

    let template = Template::parse(format).unwrap();
    let values = template.pieces().iter().filter(|piece| matches!(piece, Piece::Value(_)));
    assert_eq!(values.count(), 24);
}

#[test]
fn an_argument_may_hold_percent_signs_and_brackets() {
    assert!(Template::parse("%START_TIME(%Y/%m/%dT%H:%M:%S%z)% x").is_ok());
    assert!(Template::parse("%START_TIME(a)b)%").is_ok());
    assert!(Template::parse("%ENVIRONMENT(HOME)%").is_ok());
}

#[test]
fn faults_are_named() {
    assert!(matches!(Template::parse("50% off"), Err(InvalidTemplate::Malformed(_))));
    assert!(matches!(Template::parse("%NOPE%"), Err(InvalidTemplate::Unknown(name)) if name == "NOPE"));
    for name in ["TRAILER(x)", "UPSTREAM_HOST_NAME", "CLUSTER_METADATA(a:b)", "DOWNSTREAM_HANDSHAKE_DURATION"]
    {
        let refused = Template::parse(&format!("%{name}%"));
        assert!(matches!(refused, Err(InvalidTemplate::Unsupported(_))), "{name}: {refused:?}");
    }
    assert!(matches!(Template::parse("%REQ%"), Err(InvalidTemplate::Argument { .. })));
    assert!(matches!(Template::parse("%PROTOCOL(x)%"), Err(InvalidTemplate::Argument { .. })));
    assert!(matches!(Template::parse("%START_TIME(%Q)%"), Err(InvalidTemplate::Argument { .. })));
    assert!(matches!(Template::parse("%REQ(a"), Err(InvalidTemplate::Malformed(_))));
}

#[test]
fn times_are_printed_as_strftime_prints_them() {
    let at = 1_522_280_158_123_456_789; // 2018-03-28 23:35:58.123456789
    let print = |format: &str| {
        let mut out = Vec::new();
        TimeFormat::parse(format).unwrap().write(at, &mut out);
        String::from_utf8(out).unwrap()
    };

    assert_eq!(print(""), "2018-03-28T23:35:58.123Z");
    assert_eq!(print("%s"), "1522280158");
    assert_eq!(print("%s%3f"), "1522280158123");
    assert_eq!(print("%d/%b/%y %A %I%p %j %6f %%"), "28/Mar/18 Wednesday 11PM 087 123456 %");
    assert_eq!(print("%F %T%z"), "2018-03-28 23:35:58+0000");
}

#[test]
fn leap_days_and_year_ends_are_right() {
    let print = |seconds: u64| {
        let mut out = Vec::new();
        TimeFormat::parse("%F %j").unwrap().write(seconds * 1_000_000_000, &mut out);
        String::from_utf8(out).unwrap()
    };

    assert_eq!(print(0), "1970-01-01 001");
    assert_eq!(print(951_782_400), "2000-02-29 060");
    assert_eq!(print(1_735_603_200), "2024-12-31 366");
}

proptest! {
    #[test]
    fn text_without_percent_signs_stands_for_itself(text in "[^%]{0,60}") {
        prop_assert_eq!(render(&text), text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[%A-Z_():0-9a-z?]{0,60}") {
        let _ = Template::parse(&text);
    }
}
