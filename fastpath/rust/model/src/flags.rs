//! Response flags: why a response is not simply what the upstream said. The one place that knows their names.

use std::fmt;

macro_rules! flags {
    ($($(#[$doc:meta])* $bit:literal $name:ident $short:literal $long:literal;)*) => {
        /// One reason, named as in Envoy's access logs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ResponseFlag {
            $($(#[$doc])* $name = $bit,)*
        }

        impl ResponseFlag {
            /// Every flag, in the order in which a log lists them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name that `%RESPONSE_FLAGS%` prints.
            pub fn short(self) -> &'static str {
                match self {
                    $(Self::$name => $short,)*
                }
            }

            /// The name that `%RESPONSE_FLAGS_LONG%` prints.
            pub fn long(self) -> &'static str {
                match self {
                    $(Self::$name => $long,)*
                }
            }
        }
    };
}

// The order is that of Envoy's `CoreResponseFlag`.
flags! {
    /// A health check said that this host fails.
    0 FailedLocalHealthCheck "LH" "FailedLocalHealthCheck";
    /// No endpoint of the cluster may be used.
    1 NoHealthyUpstream "UH" "NoHealthyUpstream";
    /// A deadline passed before the upstream answered.
    2 UpstreamRequestTimeout "UT" "UpstreamRequestTimeout";
    /// We reset the stream.
    3 LocalReset "LR" "LocalReset";
    /// The upstream reset the stream.
    4 UpstreamRemoteReset "UR" "UpstreamRemoteReset";
    /// No connection to the upstream could be made.
    5 UpstreamConnectionFailure "UF" "UpstreamConnectionFailure";
    /// The upstream closed the connection.
    6 UpstreamConnectionTermination "UC" "UpstreamConnectionTermination";
    /// A circuit breaker was open.
    7 UpstreamOverflow "UO" "UpstreamOverflow";
    /// No route matched.
    8 NoRouteFound "NR" "NoRouteFound";
    /// A fault filter delayed the request.
    9 DelayInjected "DI" "DelayInjected";
    /// A fault filter answered the request.
    10 FaultInjected "FI" "FaultInjected";
    /// The local rate limit answered.
    11 RateLimited "RL" "RateLimited";
    /// External authorization denied the request.
    12 UnauthorizedExternalService "UAEX" "UnauthorizedExternalService";
    /// The rate limit service failed.
    13 RateLimitServiceError "RLSE" "RateLimitServiceError";
    /// The downstream closed the connection.
    14 DownstreamConnectionTermination "DC" "DownstreamConnectionTermination";
    /// As many retries or connection attempts as allowed have failed.
    15 UpstreamRetryLimitExceeded "URX" "UpstreamRetryLimitExceeded";
    /// Nothing moved on the stream for too long.
    16 StreamIdleTimeout "SI" "StreamIdleTimeout";
    /// An `x-envoy-*` request header had an invalid value.
    17 InvalidEnvoyRequestHeaders "IH" "InvalidEnvoyRequestHeaders";
    /// The downstream broke the HTTP protocol.
    18 DownstreamProtocolError "DPE" "DownstreamProtocolError";
    /// The stream took longer than its maximum.
    19 UpstreamMaxStreamDurationReached "UMSDR" "UpstreamMaxStreamDurationReached";
    /// The response came from a cache.
    20 ResponseFromCacheFilter "RFCF" "ResponseFromCacheFilter";
    /// A filter's configuration had not arrived.
    21 NoFilterConfigFound "NFCF" "NoFilterConfigFound";
    /// The connection or stream took longer than its maximum.
    22 DurationTimeout "DT" "DurationTimeout";
    /// The upstream broke the HTTP protocol.
    23 UpstreamProtocolError "UPE" "UpstreamProtocolError";
    /// The route names a cluster that does not exist.
    24 NoClusterFound "NC" "NoClusterFound";
    /// The overload manager refused.
    25 OverloadManagerTerminated "OM" "OverloadManagerTerminated";
    /// The cluster's host name could not be resolved.
    26 DnsResolutionFailed "DF" "DnsResolutionFailed";
    /// A drop-overload policy dropped the request.
    27 DropOverload "DO" "DropOverload";
    /// The downstream reset the stream.
    28 DownstreamRemoteReset "DR" "DownstreamRemoteReset";
    /// A drop-overload policy drops everything.
    29 UnconditionalDropOverload "UDO" "UnconditionalDropOverload";
}

impl ResponseFlag {
    /// Finds a flag by its short name.
    pub fn by_short_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|flag| flag.short() == name)
    }
}

/// A set of response flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseFlags(u32);

impl ResponseFlags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Adds a flag.
    pub fn set(&mut self, flag: ResponseFlag) {
        self.0 |= 1 << flag as u8;
    }

    /// This set with one more flag.
    #[must_use]
    pub fn with(mut self, flag: ResponseFlag) -> Self {
        self.set(flag);
        self
    }

    /// Is the flag in the set?
    pub fn has(self, flag: ResponseFlag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// Is any of these flags in the set?
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Is the set empty?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flags of the set, in the order in which a log lists them.
    pub fn iter(self) -> impl Iterator<Item = ResponseFlag> {
        // Envoy lists flags as they were set, and that a retry was refused is known before the failure is told.
        const FIRST: [ResponseFlag; 2] =
            [ResponseFlag::UpstreamRetryLimitExceeded, ResponseFlag::UpstreamOverflow];
        let rest = ResponseFlag::ALL.iter().copied().filter(|flag| !FIRST.contains(flag));
        FIRST.into_iter().chain(rest).filter(move |flag| self.has(*flag))
    }

    /// Appends `UH,UF` (or the long names) to a log line; nothing when the set is empty.
    pub fn write(self, long: bool, out: &mut Vec<u8>) {
        for (position, flag) in self.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            let name = if long { flag.long() } else { flag.short() };
            out.extend_from_slice(name.as_bytes());
        }
    }

    /// The set as one number, for storage.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Vec::new();
        self.write(false, &mut names);
        f.write_str(&String::from_utf8_lossy(&names))
    }
}

#[cfg(test)]
mod tests;
