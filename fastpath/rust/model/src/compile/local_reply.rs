//! What becomes of answers that the proxy makes itself.

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::filters::network::http_connection_manager::v3 as proto;

use super::access_log::{log_filter, log_format};
use super::context::Context;
use super::header::ops;
use super::parts::data;
use super::path::{At, Invalid};
use crate::access_log::LogFormat;
use crate::local_reply::{BodyFormat, LocalReplies, ReplyMapper};

pub(super) fn local_replies(
    value: &proto::LocalReplyConfig,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<LocalReplies, Invalid> {
    let proto::LocalReplyConfig { mappers, body_format: format } = value;
    let at_mappers = at.field("mappers");
    let mappers = mappers.iter().enumerate().map(|(nth, value)| mapper(value, &at_mappers.item(nth), cx));
    Ok(LocalReplies {
        mappers: mappers.collect::<Result<_, _>>()?,
        format: format.as_ref().map(|value| body_format(value, &at.field("body_format"))).transpose()?,
    })
}

fn mapper(value: &proto::ResponseMapper, at: &At<'_>, cx: &mut Context) -> Result<ReplyMapper, Invalid> {
    let proto::ResponseMapper { filter, status_code, body, body_format_override, headers_to_add } = value;
    let at_filter = at.field("filter");
    let at_body = at.field("body");
    let body = body.as_ref().map(|source| data(source, &at_body)).transpose()?;
    let text = body.map(|bytes| {
        String::from_utf8(bytes).map_err(|_| at_body.refuse("this is not UTF-8")).map(Into::into)
    });
    Ok(ReplyMapper {
        filter: log_filter(at_filter.required(filter.as_ref())?, &at_filter, cx)?,
        status: match status_code.map(u16::try_from) {
            None => None,
            Some(Ok(status @ 200..=599)) => Some(status),
            Some(_) => return Err(at.field("status_code").refuse("give a status from 200 to 599")),
        },
        body: text.transpose()?,
        headers: ops(headers_to_add, &at.field("headers_to_add"))?,
        format: body_format_override
            .as_ref()
            .map(|value| body_format(value, &at.field("body_format_override")))
            .transpose()?,
    })
}

fn body_format(value: &core::SubstitutionFormatString, at: &At<'_>) -> Result<BodyFormat, Invalid> {
    let format = log_format(value, at)?;
    let usual = match format {
        LogFormat::Json { .. } => "application/json",
        LogFormat::Text { .. } => "text/plain",
    };
    let content_type = match value.content_type.as_str() {
        "" => usual,
        given if given.bytes().any(|byte| byte.is_ascii_control()) => {
            return Err(at.field("content_type").refuse("a header's value has no control characters"));
        }
        given => given,
    };
    Ok(BodyFormat { format, content_type: content_type.into() })
}
