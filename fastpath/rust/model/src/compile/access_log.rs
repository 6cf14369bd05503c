//! Access logs: sink, format, filter.

use std::path::Path;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::accesslog::v3 as proto;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::access_loggers::{file::v3 as file, stream::v3 as stream};

use super::context::Context;
use super::parts::{choice, data, extension, fraction, text, unpack, unsupported};
use super::path::{At, Invalid};
use super::{matching, types};
use crate::access_log::{AccessLog, Comparison, JsonObject, JsonValue, LogFilter, LogFormat, LogSink};
use crate::flags::{ResponseFlag, ResponseFlags};
use crate::template::{Piece, Template};

/// Envoy's format where none is given.
const DEFAULT_FORMAT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
    %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
    %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \
    \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

pub(super) fn access_logs(
    values: &[proto::AccessLog],
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Box<[AccessLog]>, Invalid> {
    values.iter().enumerate().map(|(nth, value)| access_log(value, &at.item(nth), cx)).collect()
}

/// The logs of a TCP proxy.
pub(super) fn connection_logs(
    values: &[proto::AccessLog],
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Box<[AccessLog]>, Invalid> {
    for (nth, value) in values.iter().enumerate() {
        if let Some(filter) = &value.filter {
            suits_connections(filter, &at.item(nth).field("filter"))?;
        }
    }
    access_logs(values, at, cx)
}

/// Refuses filters that ask for what only a request has.
fn suits_connections(value: &proto::AccessLogFilter, at: &At<'_>) -> Result<(), Invalid> {
    use proto::access_log_filter::FilterSpecifier as Filter;
    const REASON: &str = "a TCP connection carries no request that this could tell apart";
    let all = |filters: &[proto::AccessLogFilter], at: &At<'_>| {
        let at = at.field("filters");
        let mut filters = filters.iter().enumerate();
        filters.try_for_each(|(nth, filter)| suits_connections(filter, &at.item(nth)))
    };
    match &value.filter_specifier {
        Some(Filter::StatusCodeFilter(_)) => Err(at.field("status_code_filter").refuse(REASON)),
        Some(Filter::NotHealthCheckFilter(_)) => Err(at.field("not_health_check_filter").refuse(REASON)),
        Some(Filter::HeaderFilter(_)) => Err(at.field("header_filter").refuse(REASON)),
        Some(Filter::AndFilter(proto::AndFilter { filters })) => all(filters, &at.field("and_filter")),
        Some(Filter::OrFilter(proto::OrFilter { filters })) => all(filters, &at.field("or_filter")),
        Some(Filter::DurationFilter(_) | Filter::RuntimeFilter(_) | Filter::ResponseFlagFilter(_)) | None => {
            Ok(())
        }
    }
}

fn access_log(value: &proto::AccessLog, at: &At<'_>, cx: &mut Context) -> Result<AccessLog, Invalid> {
    let proto::AccessLog { name: _, filter, typed_config } = value;
    let filter = filter.as_ref().map(|filter| log_filter(filter, &at.field("filter"), cx)).transpose()?;
    let at = at.field("typed_config");
    let (name, any) = extension(typed_config.as_ref(), &at)?;
    let (sink, format) = match name {
        types::FILE_LOG => file_log(&unpack(any, &at)?, &at)?,
        types::STDOUT_LOG => {
            let stream::StdoutAccessLog { log_format } = unpack(any, &at)?;
            (LogSink::Stdout, format_or_default(log_format.as_ref(), &at)?)
        }
        types::STDERR_LOG => {
            let stream::StderrAccessLog { log_format } = unpack(any, &at)?;
            (LogSink::Stderr, format_or_default(log_format.as_ref(), &at)?)
        }
        other => {
            return Err(unsupported(other, "give a FileAccessLog, StdoutAccessLog or StderrAccessLog", &at));
        }
    };
    Ok(AccessLog { sink, format, filter })
}

fn file_log(value: &file::FileAccessLog, at: &At<'_>) -> Result<(LogSink, LogFormat), Invalid> {
    use file::file_access_log::AccessLogFormat as Format;
    let file::FileAccessLog { path, access_log_format } = value;
    let sink = match text(path, &at.field("path"))? {
        "/dev/stdout" => LogSink::Stdout,
        "/dev/stderr" => LogSink::Stderr,
        path => LogSink::File(Path::new(path).into()),
    };
    let format = match access_log_format {
        None => format_or_default(None, at)?,
        Some(Format::Format(format)) => text_format(format, "-", &at.field("format"))?,
        Some(Format::JsonFormat(format)) => json_format(format, false, false, &at.field("json_format"))?,
        Some(Format::TypedJsonFormat(format)) => {
            json_format(format, true, false, &at.field("typed_json_format"))?
        }
        Some(Format::LogFormat(format)) => format_or_default(Some(format), at)?,
    };
    Ok((sink, format))
}

fn format_or_default(
    value: Option<&core::SubstitutionFormatString>,
    at: &At<'_>,
) -> Result<LogFormat, Invalid> {
    let at = at.field("log_format");
    value.map_or_else(|| text_format(DEFAULT_FORMAT, "-", &at), |value| log_format(value, &at))
}

pub(super) fn log_format(value: &core::SubstitutionFormatString, at: &At<'_>) -> Result<LogFormat, Invalid> {
    use core::substitution_format_string::Format;
    // What it is matters to the bodies of local replies only.
    let core::SubstitutionFormatString { format, omit_empty_values, content_type: _ } = value;
    let missing = if *omit_empty_values { "" } else { "-" };
    match at.required(format.as_ref())? {
        Format::TextFormat(format) => text_format(format, missing, &at.field("text_format")),
        Format::TextFormatSource(source) => {
            let at = at.field("text_format_source");
            let bytes = data(source, &at)?;
            let format = std::str::from_utf8(&bytes).map_err(|_| at.refuse("the format is not UTF-8"))?;
            text_format(format, missing, &at)
        }
        Format::JsonFormat(format) => json_format(format, true, *omit_empty_values, &at.field("json_format")),
    }
}

fn text_format(format: &str, missing: &'static str, at: &At<'_>) -> Result<LogFormat, Invalid> {
    let template = Template::parse(format).map_err(|error| at.refuse(error))?;
    Ok(LogFormat::Text { template, missing })
}

fn json_format(
    format: &xds::Struct,
    typed: bool,
    omit_empty: bool,
    at: &At<'_>,
) -> Result<LogFormat, Invalid> {
    Ok(LogFormat::Json { object: json_object(format, typed, at)?, omit_empty })
}

fn json_object(value: &xds::Struct, typed: bool, at: &At<'_>) -> Result<JsonObject, Invalid> {
    let item = |(key, value): (&String, &xds::Value)| {
        Ok((key.as_str().into(), json_value(value, typed, &at.key(key))?))
    };
    Ok(JsonObject(value.fields.iter().map(item).collect::<Result<_, Invalid>>()?))
}

fn json_value(value: &xds::Value, typed: bool, at: &At<'_>) -> Result<JsonValue, Invalid> {
    use xds::value::Kind;
    Ok(match &value.kind {
        None | Some(Kind::NullValue(_)) => JsonValue::Literal("null".into()),
        Some(Kind::BoolValue(value)) => JsonValue::Literal(value.to_string().into()),
        Some(Kind::NumberValue(value)) if value.is_finite() => JsonValue::Literal(value.to_string().into()),
        Some(Kind::NumberValue(_)) => return Err(at.refuse("this is not a JSON number")),
        Some(Kind::StringValue(format)) => {
            let template = Template::parse(format).map_err(|error| at.refuse(error))?;
            match template.pieces() {
                [Piece::Value(placeholder)] if typed => JsonValue::Value(placeholder.clone()),
                _ => JsonValue::Text(template),
            }
        }
        Some(Kind::StructValue(inner)) => JsonValue::Object(json_object(inner, typed, at)?),
        Some(Kind::ListValue(list)) => {
            let items = list.values.iter().enumerate();
            JsonValue::List(
                items.map(|(nth, item)| json_value(item, typed, &at.item(nth))).collect::<Result<_, _>>()?,
            )
        }
    })
}

pub(super) fn log_filter(
    value: &proto::AccessLogFilter,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<LogFilter, Invalid> {
    use proto::access_log_filter::FilterSpecifier as Filter;
    match &value.filter_specifier {
        Some(Filter::StatusCodeFilter(proto::StatusCodeFilter { comparison: value })) => {
            comparison(value.as_ref(), &at.field("status_code_filter")).map(LogFilter::Status)
        }
        Some(Filter::DurationFilter(proto::DurationFilter { comparison: value })) => {
            comparison(value.as_ref(), &at.field("duration_filter")).map(LogFilter::DurationMs)
        }
        Some(Filter::NotHealthCheckFilter(_)) => Ok(LogFilter::NotHealthCheck),
        Some(Filter::RuntimeFilter(value)) => sample(value, &at.field("runtime_filter")),
        Some(Filter::AndFilter(proto::AndFilter { filters })) => {
            log_filters(filters, &at.field("and_filter"), cx).map(LogFilter::And)
        }
        Some(Filter::OrFilter(proto::OrFilter { filters })) => {
            log_filters(filters, &at.field("or_filter"), cx).map(LogFilter::Or)
        }
        Some(Filter::HeaderFilter(proto::HeaderFilter { header })) => {
            let at = at.field("header_filter");
            let at = at.field("header");
            let matcher = matching::header(at.required(header.as_ref())?, &at, cx)?;
            Ok(LogFilter::Header(Box::new(matcher)))
        }
        Some(Filter::ResponseFlagFilter(proto::ResponseFlagFilter { flags })) => {
            response_flags(flags, &at.field("response_flag_filter")).map(LogFilter::Flags)
        }
        None => Err(at.refuse("give a filter that is supported")),
    }
}

fn log_filters(
    values: &[proto::AccessLogFilter],
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Box<[LogFilter]>, Invalid> {
    if values.len() < 2 {
        return Err(at.field("filters").refuse("give at least two filters"));
    }
    let at = at.field("filters");
    values.iter().enumerate().map(|(nth, value)| log_filter(value, &at.item(nth), cx)).collect()
}

fn comparison(value: Option<&proto::ComparisonFilter>, at: &At<'_>) -> Result<Comparison, Invalid> {
    use proto::comparison_filter::Op;
    let at = at.field("comparison");
    let proto::ComparisonFilter { op, value } = at.required(value)?;
    let core::RuntimeUInt32 { default_value } = at.field("value").required(value.as_ref())?;
    let number = u64::from(*default_value);
    Ok(match choice(*op, &at.field("op"))? {
        Op::Eq => Comparison::Equal(number),
        Op::Ge => Comparison::AtLeast(number),
        Op::Le => Comparison::AtMost(number),
        Op::Ne => Comparison::NotEqual(number),
    })
}

fn sample(value: &proto::RuntimeFilter, at: &At<'_>) -> Result<LogFilter, Invalid> {
    let proto::RuntimeFilter { percent_sampled, use_independent_randomness } = value;
    let at = at.field("percent_sampled");
    // Without a share the runtime key alone decides; as nobody can set it, nothing would ever be logged.
    let millionths = fraction(at.required(percent_sampled.as_ref())?, &at)?;
    Ok(LogFilter::Sample { millionths, independent: *use_independent_randomness })
}

fn response_flags(names: &[String], at: &At<'_>) -> Result<ResponseFlags, Invalid> {
    let at = at.field("flags");
    names.iter().enumerate().try_fold(ResponseFlags::NONE, |flags, (nth, name)| {
        let flag = ResponseFlag::by_short_name(name);
        flag.map(|flag| flags.with(flag))
            .ok_or_else(|| at.item(nth).refuse(format!("{name:?} is not a response flag")))
    })
}
