//! `check` and what it gives.

use meshloom_model::{Address as ModelAddress, Rejected, ResourceSummary as Summary, summarise};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pyo3::create_exception!(
    meshloom.fastpath._core,
    InvalidResource,
    PyValueError,
    "A resource cannot be accepted; the last good version stays in force."
);

/// Where an endpoint is.
#[pyclass(frozen, get_all, eq, hash, module = "meshloom.fastpath._core", skip_from_py_object)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

#[pymethods]
impl Address {
    fn __repr__(&self) -> String {
        format!("Address(host={:?}, port={})", self.host, self.port)
    }
}

/// A socket that a listener listens on.
#[pyclass(frozen, get_all, eq, hash, module = "meshloom.fastpath._core", skip_from_py_object)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Listen {
    host: String,
    port: u16,
    backlog: u32,
    ipv4_compat: bool,
    mode: u32,
    options: Vec<(i32, i32, Vec<u8>, &'static str)>,
}

#[pymethods]
impl Listen {
    fn __repr__(&self) -> String {
        format!("Listen(host={:?}, port={}, backlog={})", self.host, self.port, self.backlog)
    }
}

/// What the agent and the arbiter need to know of a resource that compiled.
#[pyclass(frozen, get_all, module = "meshloom.fastpath._core", skip_from_py_object)]
pub(crate) struct ResourceSummary {
    name: String,
    listens: Vec<Listen>,
    route_names: Vec<String>,
    eds_names: Vec<String>,
    secret_names: Vec<String>,
    cluster_names: Vec<String>,
    dns_targets: Vec<Address>,
    dns_first_address_only: bool,
    dns_refresh_seconds: f64,
}

/// Compiles one resource by itself; raises `InvalidResource`.
#[pyfunction]
pub(crate) fn check(py: Python<'_>, type_url: &str, resource: &[u8]) -> PyResult<ResourceSummary> {
    let name = name_of(resource);
    match py.detach(|| summarise(type_url, &name, resource)) {
        Ok(summary) => Ok(convert(summary)),
        Err(rejected) => Err(refuse(py, rejected)),
    }
}

/// Every resource has its name in field 1.
fn name_of(resource: &[u8]) -> String {
    let mut rest = resource;
    while let [tag, after @ ..] = rest {
        let Some((len, content)) = varint(after) else { break };
        match (tag, tag & 7) {
            (0x0a, _) => {
                let name = content.get(..len).unwrap_or_default();
                return String::from_utf8_lossy(name).into_owned();
            }
            (_, 2) => rest = content.get(len..).unwrap_or_default(),
            (_, 0) => rest = content,
            _ => break,
        }
    }
    String::new()
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (position, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(position + 1..)?));
        }
    }
    None
}

fn refuse(py: Python<'_>, rejected: Vec<Rejected>) -> PyErr {
    // The first is what stands in the way; further ones follow in its text.
    let mut all = rejected.into_iter();
    let (path, mut reason) = all.next().map(|first| (first.path, first.reason)).unwrap_or_default();
    for other in all {
        reason.push_str(&format!("; {}: {}", other.path, other.reason));
    }
    let text = if path.is_empty() { reason.clone() } else { format!("{path}: {reason}") };
    let error = InvalidResource::new_err(text);
    let value = error.value(py);
    match value.setattr("path", path).and_then(|()| value.setattr("reason", reason)) {
        Ok(()) => error,
        Err(other) => other,
    }
}

fn convert(summary: Summary) -> ResourceSummary {
    let dns = summary.dns;
    ResourceSummary {
        name: summary.name,
        listens: summary.listens.into_iter().map(listen).collect(),
        route_names: summary.route_names,
        eds_names: summary.eds_names,
        secret_names: summary.secret_names,
        cluster_names: summary.cluster_names,
        dns_first_address_only: dns.as_ref().is_some_and(|dns| dns.first_address_only),
        dns_refresh_seconds: dns.as_ref().map_or(0.0, |dns| dns.refresh.as_secs_f64()),
        dns_targets: dns
            .map(|dns| {
                dns.targets
                    .iter()
                    .map(|target| Address { host: target.host.to_string(), port: target.port })
                    .collect()
            })
            .unwrap_or_default(),
    }
}

fn listen(listen: meshloom_model::Listen) -> Listen {
    use meshloom_model::listener::OptionTime;
    let (host, port) = match &listen.address {
        ModelAddress::Ip(ip) => (ip.ip().to_string(), ip.port()),
        ModelAddress::Unix(path) => (path.to_string_lossy().into_owned(), 0),
    };
    let options = listen.options.iter().map(|option| {
        let when = match option.when {
            OptionTime::BeforeBind => "before_bind",
            OptionTime::Bound => "bound",
            OptionTime::Listening => "listening",
        };
        (option.level, option.name, option.value.to_vec(), when)
    });
    Listen {
        host,
        port,
        backlog: listen.backlog,
        ipv4_compat: listen.ipv4_compat,
        mode: listen.mode,
        options: options.collect(),
    }
}
