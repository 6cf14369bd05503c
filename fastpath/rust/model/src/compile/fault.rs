//! The fault filter's settings.

use meshloom_xds::envoy::extensions::filters::common::fault::v3 as common;
use meshloom_xds::envoy::extensions::filters::http::fault::v3 as proto;
use meshloom_xds::envoy::r#type::v3 as kinds;

use super::context::Context;
use super::matching;
use super::parts::{fraction, positive};
use super::path::{At, Invalid};
use crate::filter::{AbortStatus, Fault, FaultAbort, FaultDelay};

pub(super) fn fault(value: proto::HTTPFault, at: &At<'_>, cx: &mut Context) -> Result<Fault, Invalid> {
    let proto::HTTPFault { delay, abort, upstream_cluster, headers, downstream_nodes, max_active_faults } =
        value;
    Ok(Fault {
        delay: delay.map(|delay| fault_delay(delay, &at.field("delay"))).transpose()?,
        abort: abort.map(|abort| fault_abort(&abort, &at.field("abort"))).transpose()?,
        headers: matching::headers(&headers, &at.field("headers"), cx)?,
        upstream_cluster: (!upstream_cluster.is_empty()).then(|| upstream_cluster.into()),
        downstream_nodes: downstream_nodes.into_iter().map(Into::into).collect(),
        max_active: max_active_faults,
    })
}

fn fault_delay(value: common::FaultDelay, at: &At<'_>) -> Result<FaultDelay, Invalid> {
    use common::fault_delay::FaultDelaySecifier as Kind;
    let common::FaultDelay { percentage, fault_delay_secifier } = value;
    let duration = match fault_delay_secifier {
        Some(Kind::FixedDelay(delay)) => {
            Some(positive(Some(delay), std::time::Duration::ZERO, &at.field("fixed_delay"))?)
        }
        Some(Kind::HeaderDelay(_)) => None,
        None => return Err(at.refuse("give fixed_delay or header_delay")),
    };
    Ok(FaultDelay { duration, millionths: share(percentage.as_ref(), at)? })
}

fn fault_abort(value: &proto::FaultAbort, at: &At<'_>) -> Result<FaultAbort, Invalid> {
    use proto::fault_abort::ErrorType;
    let proto::FaultAbort { percentage, error_type } = value;
    let status = match error_type {
        Some(ErrorType::HttpStatus(status)) => match u16::try_from(*status) {
            Ok(status @ 200..=599) => AbortStatus::Http(status),
            _ => return Err(at.field("http_status").refuse("give a status from 200 to 599")),
        },
        Some(ErrorType::GrpcStatus(status)) => AbortStatus::Grpc(*status),
        Some(ErrorType::HeaderAbort(_)) => AbortStatus::Header,
        None => return Err(at.refuse("give http_status, grpc_status or header_abort")),
    };
    Ok(FaultAbort { status, millionths: share(percentage.as_ref(), at)? })
}

/// Unset it is nobody.
fn share(percentage: Option<&kinds::FractionalPercent>, at: &At<'_>) -> Result<u32, Invalid> {
    percentage.map_or(Ok(0), |percentage| fraction(percentage, &at.field("percentage")))
}
