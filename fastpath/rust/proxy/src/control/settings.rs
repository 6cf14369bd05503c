//! The settings object that the arbiter hands to a new worker.

use serde::Deserialize;

use crate::overload::OverloadSettings;

/// What a worker is told at start. Descriptors are numbers here: whoever starts the worker turns them into owned ones.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// This worker's place, from 0.
    pub slot: u32,
    /// How many workers there are.
    #[serde(default = "one")]
    pub workers: u32,
    /// SOCK_SEQPACKET to the arbiter.
    #[serde(default)]
    pub control_fd: Option<i32>,
    /// memfd with the newest full bundle.
    #[serde(default)]
    pub bundle_fd: Option<i32>,
    /// Version of that bundle, reported back when it serves.
    #[serde(default)]
    pub bundle_version: u64,
    /// memfd of this slot's telemetry region.
    #[serde(default)]
    pub telemetry_fd: Option<i32>,
    /// memfd of the counts that all workers share; absent where there is one worker.
    #[serde(default)]
    pub limits_fd: Option<i32>,
    /// Sockets that already listen.
    #[serde(default)]
    pub listeners: Vec<ListenerFd>,
    /// Who we are: the bootstrap's node.
    #[serde(default)]
    pub node: serde_json::Map<String, serde_json::Value>,
    /// Envoy's names: trace, debug, info, warning, error, critical, off.
    #[serde(default = "info")]
    pub log_level: String,
    /// How long a drain may take, in seconds.
    #[serde(default = "drain_time")]
    pub drain_time_s: u64,
    /// The overload manager; without monitors it does nothing.
    #[serde(default)]
    pub overload: OverloadSettings,
    /// 32 bytes in hex, the same for all workers: what keys of session tickets are derived from. Without it, each makes
    /// its own.
    #[serde(default)]
    pub ticket_secret: String,
    /// Most downstream connections of this worker; 0 derives it from the descriptor limit.
    #[serde(default)]
    pub max_connections: u32,
}

/// One socket that the arbiter bound for this worker's slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct ListenerFd {
    /// IP address, or the path of a Unix socket (then `port` is 0).
    pub address: String,
    #[serde(default)]
    pub port: u16,
    /// The descriptor; absent in messages, where descriptors travel beside the text.
    #[serde(default)]
    pub fd: Option<i32>,
}

fn one() -> u32 {
    1
}

fn info() -> String {
    "info".into()
}

fn drain_time() -> u64 {
    600
}

/// The settings text is not what we expect.
#[derive(Debug, thiserror::Error)]
#[error("worker settings: {0}")]
pub struct InvalidSettings(#[from] serde_json::Error);

impl Settings {
    /// Reads the JSON object.
    pub fn parse(json: &str) -> Result<Self, InvalidSettings> {
        Ok(serde_json::from_str(json)?)
    }
}
