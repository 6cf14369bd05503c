use meshloom_xds as xds;
use meshloom_xds::envoy::config::accesslog::v3 as proto;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::access_loggers::{file::v3 as file, stream::v3 as stream};

use super::support::{any, apply, chain, listener_of, manager, object, refusal, text};
use crate::access_log::{AccessLog, Comparison, JsonValue, LogFilter, LogFormat, LogSink};
use crate::compile::types::{self, LISTENER};
use crate::filter_chain::NetworkFilter;
use crate::flags::ResponseFlag;

fn listener_with(log: proto::AccessLog) -> xds::envoy::config::listener::v3::Listener {
    let mut manager = manager();
    manager.access_log = vec![log];
    listener_of(vec![chain(&manager)])
}

fn compiled(log: proto::AccessLog) -> AccessLog {
    let outcome = apply(LISTENER, "l", &listener_with(log));
    assert_eq!(outcome.rejected, []);
    match &outcome.snapshot.listeners["l"].chains().next().expect("a chain").filter {
        NetworkFilter::Http(manager) => manager.access_logs[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn to_file(path: &str, format: Option<file::file_access_log::AccessLogFormat>) -> proto::AccessLog {
    let config = file::FileAccessLog { path: path.to_owned(), access_log_format: format };
    proto::AccessLog { typed_config: Some(any(types::FILE_LOG, &config)), ..Default::default() }
}

fn filtered(filter: proto::access_log_filter::FilterSpecifier) -> proto::AccessLog {
    let filter = proto::AccessLogFilter { filter_specifier: Some(filter) };
    proto::AccessLog { filter: Some(filter), ..to_file("/log", None) }
}

#[test]
fn without_a_format_a_line_is_envoys() {
    let log = compiled(to_file("/var/log/access", None));

    assert_eq!(log.sink, LogSink::File(std::path::Path::new("/var/log/access").into()));
    let LogFormat::Text { template, missing: "-" } = &log.format else { panic!("{log:?}") };
    assert!(template.pieces().len() > 20);
}

#[test]
fn standard_output_is_one_sink_however_it_is_named() {
    let stdout = proto::AccessLog {
        typed_config: Some(any(types::STDOUT_LOG, &stream::StdoutAccessLog::default())),
        ..Default::default()
    };

    assert_eq!(compiled(stdout).sink, LogSink::Stdout);
    assert_eq!(compiled(to_file("/dev/stdout", None)).sink, LogSink::Stdout);
}

#[test]
fn a_json_format_keeps_its_shape() {
    let format = core::SubstitutionFormatString {
        format: Some(core::substitution_format_string::Format::JsonFormat(object(&[
            ("status", text("%RESPONSE_CODE%")),
            ("line", text("%PROTOCOL% %RESPONSE_CODE%")),
        ]))),
        omit_empty_values: true,
        content_type: String::new(),
    };
    let log = compiled(to_file("/log", Some(file::file_access_log::AccessLogFormat::LogFormat(format))));

    let LogFormat::Json { object, omit_empty: true } = &log.format else { panic!("{log:?}") };
    assert!(matches!(&object.0[0], (key, JsonValue::Text(_)) if &**key == "line"));
    assert!(matches!(&object.0[1], (key, JsonValue::Value(_)) if &**key == "status"));
}

#[test]
fn filters_are_read() {
    use proto::access_log_filter::FilterSpecifier as Filter;
    let comparison = proto::ComparisonFilter {
        op: proto::comparison_filter::Op::Ge as i32,
        value: Some(core::RuntimeUInt32 { default_value: 500 }),
    };
    let status = Filter::StatusCodeFilter(proto::StatusCodeFilter { comparison: Some(comparison) });
    let flags = Filter::ResponseFlagFilter(proto::ResponseFlagFilter { flags: vec!["UF".to_owned()] });
    let wrap = |filter: &Filter| proto::AccessLogFilter { filter_specifier: Some(filter.clone()) };
    let either = Filter::OrFilter(proto::OrFilter { filters: vec![wrap(&status), wrap(&flags)] });

    let Some(LogFilter::Or(parts)) = compiled(filtered(either)).filter else { panic!() };

    assert!(matches!(&parts[0], LogFilter::Status(Comparison::AtLeast(500))));
    assert!(
        matches!(&parts[1], LogFilter::Flags(flags) if flags.has(ResponseFlag::UpstreamConnectionFailure))
    );
}

#[test]
fn faults_are_refused_by_path() {
    use proto::access_log_filter::FilterSpecifier as Filter;
    let flags = Filter::ResponseFlagFilter(proto::ResponseFlagFilter { flags: vec!["XX".to_owned()] });
    let format = file::file_access_log::AccessLogFormat::Format("%NOPE%".to_owned());

    let of = |log| refusal(LISTENER, "l", &listener_with(log));

    assert_eq!(
        of(filtered(flags)).0,
        "filter_chains[0].filters[0].typed_config.access_log[0].filter.response_flag_filter.flags[0]"
    );
    let (path, reason) = of(to_file("/log", Some(format)));
    assert_eq!(path, "filter_chains[0].filters[0].typed_config.access_log[0].typed_config.format");
    assert!(reason.contains("%NOPE%"), "{reason}");
    assert_eq!(
        of(to_file("", None)).0,
        "filter_chains[0].filters[0].typed_config.access_log[0].typed_config.path"
    );
}
