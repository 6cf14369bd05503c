//! How HTTP/1 spells the names of fields.

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::http::header_formatters::preserve_case::v3 as proto;

use super::parts::{choice, extension, unpack, unsupported};
use super::path::{At, Invalid};
use super::types;
use crate::header_case::{HeaderCase, PreserveCase};

/// Compiles `header_key_format`, where `at` is the options of HTTP/1 that have it.
pub(super) fn header_case(
    value: Option<core::http1_protocol_options::HeaderKeyFormat>,
    at: &At<'_>,
) -> Result<HeaderCase, Invalid> {
    use core::http1_protocol_options::header_key_format::HeaderFormat;
    let Some(core::http1_protocol_options::HeaderKeyFormat { header_format }) = value else {
        return Ok(HeaderCase::Lower);
    };
    let at = at.field("header_key_format");
    match header_format {
        Some(HeaderFormat::ProperCaseWords(_)) => Ok(HeaderCase::ProperWords),
        Some(HeaderFormat::StatefulFormatter(formatter)) => {
            stateful(&formatter, &at.field("stateful_formatter")).map(HeaderCase::Preserve)
        }
        None => Err(at.refuse("give proper_case_words or stateful_formatter")),
    }
}

fn stateful(value: &core::TypedExtensionConfig, at: &At<'_>) -> Result<PreserveCase, Invalid> {
    use proto::preserve_case_formatter_config::FormatterTypeOnEnvoyHeaders as Others;
    let core::TypedExtensionConfig { name: _, typed_config } = value;
    let at = at.field("typed_config");
    let any = match extension(typed_config.as_ref(), &at)? {
        (types::PRESERVE_CASE, any) => any,
        (other, _) => return Err(unsupported(other, "give a PreserveCaseFormatterConfig", &at)),
    };
    let proto::PreserveCaseFormatterConfig { forward_reason_phrase, formatter_type_on_envoy_headers } =
        unpack(any, &at)?;
    let others = choice(formatter_type_on_envoy_headers, &at.field("formatter_type_on_envoy_headers"))?;
    Ok(PreserveCase {
        reason_phrase: forward_reason_phrase,
        proper_others: match others {
            Others::Default => false,
            Others::ProperCase => true,
        },
    })
}
