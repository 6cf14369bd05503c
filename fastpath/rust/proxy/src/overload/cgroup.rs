//! Memory of the control group, version 2 or 1.

use std::fs;
use std::path::{Path, PathBuf};

use super::monitor::ratio;

const ROOT: &str = "/sys/fs/cgroup";
/// Version 1 writes "no limit" as a number that no machine has.
const UNLIMITED: u64 = 1 << 60;

/// The groups whose limits hold for us, the innermost first.
#[derive(Debug)]
pub(super) struct Cgroup {
    groups: Vec<Group>,
    max_bytes: Option<u64>,
}

#[derive(Debug)]
struct Group {
    used: PathBuf,
    limit: PathBuf,
    stat: PathBuf,
    /// What `stat` calls pages of files, which the kernel takes back when it needs them.
    files: [&'static str; 2],
}

impl Cgroup {
    /// Ours and those around it. `max_bytes` is a limit beside theirs.
    pub(super) fn find(max_bytes: Option<u64>) -> Self {
        let table = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self { groups: groups(&table, Path::new(ROOT)), max_bytes }
    }

    /// That of the group which is nearest to its limit; 0 where there is no limit.
    pub(super) fn pressure(&self) -> Option<f64> {
        let mut most = 0.0_f64;
        for (depth, group) in self.groups.iter().enumerate() {
            let own = self.max_bytes.filter(|_| depth == 0).unwrap_or(UNLIMITED);
            let limit = group.limit().unwrap_or(UNLIMITED).min(own);
            if limit < UNLIMITED {
                most = most.max(ratio(group.used()?, limit));
            }
        }
        Some(most)
    }
}

impl Group {
    fn limit(&self) -> Option<u64> {
        number(&self.limit)
    }

    /// What is in use and cannot be had back for the asking.
    fn used(&self) -> Option<u64> {
        let stat = fs::read_to_string(&self.stat).unwrap_or_default();
        let pages =
            |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let files: u64 = self.files.iter().filter_map(|name| pages(name)).sum();
        Some(number(&self.used)?.saturating_sub(files))
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// What `/proc/self/cgroup` says, as folders. In a container the paths are often the host's, and only the root is there.
fn groups(table: &str, root: &Path) -> Vec<Group> {
    let path_of = |wanted: fn(&str) -> bool| {
        table.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            wanted(controllers).then(|| parts.next()).flatten()
        })
    };
    if let Some(path) = path_of(|controllers| controllers.split(',').any(|name| name == "memory")) {
        let v1 = |folder: PathBuf| Group {
            used: folder.join("memory.usage_in_bytes"),
            limit: folder.join("memory.limit_in_bytes"),
            stat: folder.join("memory.stat"),
            files: ["total_inactive_file ", "total_active_file "],
        };
        return folders(&root.join("memory"), path).map(v1).filter(|group| group.used.exists()).collect();
    }
    let v2 = |folder: PathBuf| Group {
        used: folder.join("memory.current"),
        limit: folder.join("memory.max"),
        stat: folder.join("memory.stat"),
        files: ["inactive_file ", "active_file "],
    };
    let path = path_of(str::is_empty).unwrap_or("/");
    folders(root, path).map(v2).filter(|group| group.used.exists()).collect()
}

/// The folder of a group, and of all around it.
fn folders(root: &Path, path: &str) -> impl Iterator<Item = PathBuf> {
    let root = root.to_owned();
    let innermost = Path::new(path.trim_start_matches('/')).to_owned();
    let inner: Vec<PathBuf> = innermost.ancestors().map(Path::to_owned).collect();
    inner.into_iter().map(move |part| root.join(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of groups in files: (folder, used, limit, pages of files).
    fn tree(name: &str, groups: &[(&str, &str, &str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("meshloom-cgroup-{name}-{}", std::process::id()));
        for (folder, used, limit, files) in groups {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).expect("made");
            fs::write(folder.join("memory.current"), used).expect("written");
            fs::write(folder.join("memory.max"), limit).expect("written");
            fs::write(folder.join("memory.stat"), format!("anon 5\ninactive_file {files}\nactive_file 0\n"))
                .expect("written");
        }
        root
    }

    fn pressure(root: &Path, table: &str, max_bytes: Option<u64>) -> Option<f64> {
        let found = Cgroup { groups: groups(table, root), max_bytes }.pressure();
        fs::remove_dir_all(root).expect("there");
        found
    }

    #[test]
    fn the_nearest_limit_around_us_counts_without_pages_of_files() {
        let root = tree("nearest", &[("a", "900\n", "1000\n", "100"), ("a/b", "300\n", "max\n", "0")]);
        assert_eq!(pressure(&root, "0::/a/b\n", None), Some(0.8));
    }

    #[test]
    fn without_a_limit_there_is_no_pressure() {
        let root = tree("none", &[("a", "900\n", "max\n", "0")]);
        assert_eq!(pressure(&root, "0::/a\n", None), Some(0.0));
    }

    #[test]
    fn a_configured_limit_holds_beside_the_group_s() {
        let root = tree("own", &[("a", "900\n", "10000\n", "0")]);
        assert_eq!(pressure(&root, "0::/a\n", Some(1000)), Some(0.9));
    }

    #[test]
    fn a_container_that_sees_only_its_root_finds_it() {
        let root = tree("root", &[("", "500\n", "1000\n", "0")]);
        assert_eq!(pressure(&root, "0::/kubepods/pod1/x\n", None), Some(0.5));
    }
}
