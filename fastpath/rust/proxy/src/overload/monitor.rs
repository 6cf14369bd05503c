//! Pressures: what is used, over what there is.

use std::fs;
use std::path::PathBuf;

use super::cgroup::Cgroup;
use super::settings::MonitorKind;

/// What the engine knows of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) connections: u64,
    /// Sockets; the few other files are not counted.
    pub(crate) descriptors: u64,
}

/// Something that can run out.
#[derive(Debug)]
pub(super) enum Monitor {
    Heap { share: u64 },
    Cgroup(Cgroup),
    Connections { share: u64 },
    Descriptors { limit: u64 },
    Injected { file: PathBuf },
}

impl Monitor {
    pub(super) fn new(kind: &MonitorKind, workers: u32) -> Self {
        let share = |whole: u64| (whole / u64::from(workers)).max(1);
        match kind {
            MonitorKind::FixedHeap { max_bytes } => Self::Heap { share: share(*max_bytes) },
            MonitorKind::CgroupMemory { max_bytes } => Self::Cgroup(Cgroup::find(*max_bytes)),
            MonitorKind::Connections { max } => Self::Connections { share: share(*max) },
            MonitorKind::Descriptors => {
                let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
                Self::Descriptors { limit: limit.unwrap_or(u64::MAX).max(1) }
            }
            MonitorKind::Injected { file } => Self::Injected { file: file.into() },
        }
    }

    /// From 0 to 1, or more; `None` when it cannot be measured now.
    pub(super) fn pressure(&self, usage: &Usage) -> Option<f64> {
        match self {
            Self::Heap { share } => Some(ratio(own_memory()?, *share)),
            Self::Cgroup(cgroup) => cgroup.pressure(),
            Self::Connections { share } => Some(ratio(usage.connections, *share)),
            Self::Descriptors { limit } => Some(ratio(usage.descriptors, *limit)),
            Self::Injected { file } => {
                let pressure: f64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
                pressure.is_finite().then_some(pressure)
            }
        }
    }
}

pub(super) fn ratio(used: u64, limit: u64) -> f64 {
    used as f64 / limit.max(1) as f64
}

/// Bytes that this process alone holds: anonymous pages, not those that it shares with its parent's files.
fn own_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage { connections: 30, descriptors: 10 };

    #[test]
    fn limits_of_all_workers_are_shared_out() {
        let monitor = Monitor::new(&MonitorKind::Connections { max: 100 }, 2);
        assert_eq!(monitor.pressure(&USAGE), Some(0.6));
    }

    #[test]
    fn memory_and_descriptors_can_be_measured() {
        let heap = Monitor::new(&MonitorKind::FixedHeap { max_bytes: 1 << 40 }, 1).pressure(&USAGE);
        assert!(heap.is_some_and(|pressure| pressure > 0.0 && pressure < 0.1));
        let descriptors = Monitor::new(&MonitorKind::Descriptors, 1).pressure(&USAGE);
        assert!(descriptors.is_some_and(|pressure| pressure > 0.0 && pressure < 1.0));
    }

    #[test]
    fn what_is_no_number_is_no_pressure() {
        let file = std::env::temp_dir().join(format!("meshloom-pressure-{}", std::process::id()));
        let monitor = Monitor::new(&MonitorKind::Injected { file: file.to_string_lossy().into_owned() }, 1);
        assert_eq!(monitor.pressure(&USAGE), None);
        for (text, pressure) in [("0.5\n", Some(0.5)), ("nan", None), ("x", None)] {
            fs::write(&file, text).expect("writable");
            assert_eq!(monitor.pressure(&USAGE), pressure, "{text}");
        }
        fs::remove_file(&file).expect("there");
    }
}
