//! Telemetry in shared memory: an append-only table of series and their values, one region per worker slot.
//!
//! The arbiter makes a region (a sealed, sparse memfd of [`layout::DEFAULT_LEN`] bytes) and gives it to the worker of
//! the slot, the only writer. The agent reads it at any time, without a lock and without the worker noticing.
//!
//! - **Registering** a series appends a descriptor (kind, names, labels, checksum) and values, then stores the count of
//!   series with release order: a reader that loads the count sees everything below it complete. Nothing is ever moved
//!   or removed.
//! - **Counting** is a relaxed load and store on a word that only the worker writes: [`Counter`], [`Gauge`],
//!   [`Histogram`] are copyable handles for the request path.
//! - **A new worker** in the slot adopts what is there ([`Telemetry::adopt`]), so counters are monotonic over restarts;
//!   gauges start again at zero.
//! - **Corruption** is expected: a header or descriptor that fails its checks makes a reader skip the region and a new
//!   worker make it anew under another epoch; a living worker puts it right ([`Telemetry::repair`]). Values carry no
//!   checksum: they are bare counters, written without a second store.
//! - **Limits**: beyond [`Limits::series_per_metric`], or when the region is full, counts go to an overflow series and
//!   the header's dropped counter says how often. Registration never fails.
//!
//! ```
//! use meshloom_shm::{Bounds, Limits, Reader, Region, Telemetry, layout};
//!
//! let region = Region::private(layout::MIN_LEN)?; // in a worker: Region::attach(fd, len)
//! let (mut telemetry, _) = Telemetry::adopt(region, Limits::default());
//! let labels = [("envoy_cluster_name", "orders")];
//! let requests = telemetry.counter("cluster.orders.upstream_rq_total", "cluster.upstream_rq_total", &labels);
//! let duration = telemetry.histogram(Bounds::DurationMs, "istio_request_duration_milliseconds",
//!     "istio_request_duration_milliseconds", &[("reporter", "source")]);
//! requests.inc();
//! duration.record(1_250); // microseconds
//!
//! let mut reader = Reader::new(region);
//! assert!(reader.poll()?.iter().any(|series| series.flat == "cluster.orders.upstream_rq_total"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bounds;
mod descriptor;
pub mod layout;
mod mapping;
mod quotas;
mod reader;
mod series;
mod telemetry;

pub use bounds::Bounds;
pub use descriptor::{BadDescriptor, Kind, Label, Name, Series};
pub use mapping::{AttachError, Region};
pub use quotas::{COUNTS, Quota, Quotas};
pub use reader::{ReadError, Reader};
pub use series::{Counter, Gauge, Histogram};
pub use telemetry::{Adoption, Limits, OTHER, Telemetry};

#[cfg(test)]
mod tests;
