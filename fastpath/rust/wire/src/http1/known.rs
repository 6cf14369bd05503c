//! Interned names of the header fields that a proxy looks at.
//!
//! A name is recognised once, while its head is parsed, by one multiplication and one comparison: a perfect hash of
//! its length and five of its bytes. The compiler builds the table and fails when two names share a slot.

use super::scan;

macro_rules! known_headers {
    ($($id:ident = $name:literal,)+) => {
        /// A header field name that this codec knows. It is written in lower case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum KnownHeader { $($id,)+ }

        impl KnownHeader {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$id,)+];

            /// The name in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$id => $name,)+ }
            }
        }
    };
}

known_headers! {
Host = "host",
ContentLength = "content-length",
TransferEncoding = "transfer-encoding",
Connection = "connection",
KeepAlive = "keep-alive",
ProxyConnection = "proxy-connection",
Te = "te",
Trailer = "trailer",
Upgrade = "upgrade",
Expect = "expect",
Via = "via",
Date = "date",
Server = "server",
Age = "age",
Allow = "allow",
Accept = "accept",
AcceptEncoding = "accept-encoding",
AcceptLanguage = "accept-language",
AcceptCharset = "accept-charset",
Authorization = "authorization",
ProxyAuthenticate = "proxy-authenticate",
ProxyAuthorization = "proxy-authorization",
WwwAuthenticate = "www-authenticate",
CacheControl = "cache-control",
ContentType = "content-type",
ContentEncoding = "content-encoding",
ContentDisposition = "content-disposition",
ContentLanguage = "content-language",
ContentLocation = "content-location",
ContentRange = "content-range",
Cookie = "cookie",
SetCookie = "set-cookie",
Etag = "etag",
Expires = "expires",
IfMatch = "if-match",
IfModifiedSince = "if-modified-since",
IfNoneMatch = "if-none-match",
IfRange = "if-range",
IfUnmodifiedSince = "if-unmodified-since",
LastModified = "last-modified",
Location = "location",
MaxForwards = "max-forwards",
Origin = "origin",
Pragma = "pragma",
Range = "range",
Referer = "referer",
RetryAfter = "retry-after",
UserAgent = "user-agent",
Vary = "vary",
Warning = "warning",
AccessControlAllowOrigin = "access-control-allow-origin",
AccessControlAllowMethods = "access-control-allow-methods",
AccessControlAllowHeaders = "access-control-allow-headers",
AccessControlAllowCredentials = "access-control-allow-credentials",
AccessControlExposeHeaders = "access-control-expose-headers",
AccessControlMaxAge = "access-control-max-age",
AccessControlRequestMethod = "access-control-request-method",
AccessControlRequestHeaders = "access-control-request-headers",
StrictTransportSecurity = "strict-transport-security",
Forwarded = "forwarded",
XForwardedFor = "x-forwarded-for",
XForwardedProto = "x-forwarded-proto",
XForwardedHost = "x-forwarded-host",
XForwardedPort = "x-forwarded-port",
XForwardedClientCert = "x-forwarded-client-cert",
XRealIp = "x-real-ip",
XRequestId = "x-request-id",
XClientTraceId = "x-client-trace-id",
XEnvoyAttemptCount = "x-envoy-attempt-count",
XEnvoyDecoratorOperation = "x-envoy-decorator-operation",
XEnvoyDegraded = "x-envoy-degraded",
XEnvoyDownstreamServiceCluster = "x-envoy-downstream-service-cluster",
XEnvoyDownstreamServiceNode = "x-envoy-downstream-service-node",
XEnvoyExpectedRqTimeoutMs = "x-envoy-expected-rq-timeout-ms",
XEnvoyExternalAddress = "x-envoy-external-address",
XEnvoyForceTrace = "x-envoy-force-trace",
XEnvoyHedgeOnPerTryTimeout = "x-envoy-hedge-on-per-try-timeout",
XEnvoyImmediateHealthCheckFail = "x-envoy-immediate-health-check-fail",
XEnvoyInternal = "x-envoy-internal",
XEnvoyIpTags = "x-envoy-ip-tags",
XEnvoyIsTimeoutRetry = "x-envoy-is-timeout-retry",
XEnvoyMaxRetries = "x-envoy-max-retries",
XEnvoyOriginalHost = "x-envoy-original-host",
XEnvoyOriginalPath = "x-envoy-original-path",
XEnvoyOverloaded = "x-envoy-overloaded",
XEnvoyPeerMetadata = "x-envoy-peer-metadata",
XEnvoyPeerMetadataId = "x-envoy-peer-metadata-id",
XEnvoyRatelimited = "x-envoy-ratelimited",
XEnvoyRetriableStatusCodes = "x-envoy-retriable-status-codes",
XEnvoyRetryGrpcOn = "x-envoy-retry-grpc-on",
XEnvoyRetryOn = "x-envoy-retry-on",
XEnvoyUpstreamAltStatName = "x-envoy-upstream-alt-stat-name",
XEnvoyUpstreamCanary = "x-envoy-upstream-canary",
XEnvoyUpstreamHealthcheckedCluster = "x-envoy-upstream-healthchecked-cluster",
XEnvoyUpstreamRqPerTryTimeoutMs = "x-envoy-upstream-rq-per-try-timeout-ms",
XEnvoyUpstreamRqTimeoutAltResponse = "x-envoy-upstream-rq-timeout-alt-response",
XEnvoyUpstreamRqTimeoutMs = "x-envoy-upstream-rq-timeout-ms",
XEnvoyUpstreamServiceTime = "x-envoy-upstream-service-time",
XEnvoyUpstreamStreamDurationMs = "x-envoy-upstream-stream-duration-ms",
B3 = "b3",
XB3Traceid = "x-b3-traceid",
XB3Spanid = "x-b3-spanid",
XB3Parentspanid = "x-b3-parentspanid",
XB3Sampled = "x-b3-sampled",
XB3Flags = "x-b3-flags",
XOtSpanContext = "x-ot-span-context",
Traceparent = "traceparent",
Tracestate = "tracestate",
Baggage = "baggage",
GrpcStatus = "grpc-status",
GrpcMessage = "grpc-message",
GrpcTimeout = "grpc-timeout",
GrpcEncoding = "grpc-encoding",
GrpcAcceptEncoding = "grpc-accept-encoding",
EndUser = "end-user",}

impl KnownHeader {
    /// How many there are; at most 128, so that a set of them is a `u128`.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Recognises a field name, which is a token, in any case.
    #[inline]
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let slot = TABLE.get(slot(name)).copied()?;
        let id = Self::ALL.get(usize::from(slot)).copied()?;
        scan::is_same_name(name, id.name().as_bytes()).then_some(id)
    }

    /// Fields that a Connection field cannot name away: they frame or describe the message, concern this connection
    /// anyway, or are set by proxies for each other.
    #[must_use]
    pub(crate) fn outlives_nomination(self) -> bool {
        const FAMILIES: [&str; 6] = ["content-", "x-forwarded-", "x-envoy-", "x-b3-", "grpc-", "trace"];
        self.is_hop_by_hop()
            || FAMILIES.iter().any(|family| self.name().starts_with(family))
            || matches!(
                self,
                Self::Host
                    | Self::Expect
                    | Self::Trailer
                    | Self::Via
                    | Self::Date
                    | Self::Server
                    | Self::Forwarded
                    | Self::XRealIp
                    | Self::XRequestId
                    | Self::XClientTraceId
                    | Self::XOtSpanContext
                    | Self::B3
                    | Self::Baggage
            )
    }

    /// Fields that concern one connection only and are never forwarded (RFC 9110 7.6.1).
    #[inline]
    #[must_use]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Te
        )
    }
}

const SLOT_BITS: u32 = 10;
const EMPTY: u8 = u8::MAX;

/// Found by search, so that no two names share a slot. After a new name the build may ask for another.
const MULTIPLIER: u64 = 0x1a08_3476_8ede_5677;

/// The hash: the length and five bytes, chosen so that they tell all names apart.
#[inline]
fn slot(name: &[u8]) -> usize {
    let len = name.len();
    let byte = |at: usize| u64::from(name.get(at).copied().unwrap_or_default() | 0x20);
    mix(
        [byte(0), byte(len / 3), byte(len / 2), byte(len.saturating_sub(2)), byte(len.saturating_sub(1))],
        len,
    )
}

const fn mix(bytes: [u64; 5], len: usize) -> usize {
    let [first, third, middle, before_last, last] = bytes;
    let key = (len as u64 & 0xff) | first << 8 | third << 16 | middle << 24 | before_last << 32 | last << 40;
    (key.wrapping_mul(MULTIPLIER) >> (64 - SLOT_BITS)) as usize
}

static TABLE: [u8; 1 << SLOT_BITS] = build();

#[allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "runs in the compiler, where a panic is a failed build"
)]
const fn build() -> [u8; 1 << SLOT_BITS] {
    let mut table = [EMPTY; 1 << SLOT_BITS];
    let mut i = 0;
    while i < KnownHeader::COUNT {
        let name = KnownHeader::ALL[i].name().as_bytes();
        let len = name.len();
        let before_last = len.saturating_sub(2);
        let key = [name[0], name[len / 3], name[len / 2], name[before_last], name[len - 1]];
        let [a, b, c, d, e] = key;
        let lower =
            [(a | 0x20) as u64, (b | 0x20) as u64, (c | 0x20) as u64, (d | 0x20) as u64, (e | 0x20) as u64];
        let slot = mix(lower, len);
        assert!(table[slot] == EMPTY, "two header names share a slot: choose another MULTIPLIER");
        table[slot] = i as u8;
        i += 1;
    }
    table
}

const _: () = assert!(KnownHeader::COUNT <= 128);

#[cfg(test)]
mod tests {
    use super::KnownHeader;

    #[test]
    fn every_name_is_recognised_in_any_case_and_nothing_else_is() {
        for id in KnownHeader::ALL.iter().copied() {
            assert_eq!(KnownHeader::from_name(id.name().as_bytes()), Some(id));
            assert_eq!(KnownHeader::from_name(id.name().to_ascii_uppercase().as_bytes()), Some(id));
            assert_eq!(KnownHeader::from_name(format!("{}x", id.name()).as_bytes()), None);
        }
        assert_eq!(KnownHeader::from_name(b""), None);
        assert_eq!(KnownHeader::from_name(b"h"), None);
        assert_eq!(KnownHeader::from_name(&[b'a'; 70_000]), None);
    }
}
