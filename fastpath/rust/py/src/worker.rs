//! `run_worker`.

use std::os::fd::{FromRawFd, OwnedFd};

use meshloom_proxy::{Exit, Settings};
use pyo3::prelude::*;

/// Serves traffic until drained, and gives the process's exit code.
#[pyfunction]
pub(crate) fn run_worker(py: Python<'_>, settings_json: &str) -> i32 {
    py.detach(|| match Settings::parse(settings_json) {
        Ok(settings) => meshloom_proxy::run(&settings, adopt).code(),
        Err(error) => {
            eprintln!("{error}");
            Exit::BadSettings.code()
        }
    })
}

/// Takes a descriptor over from Python.
#[allow(unsafe_code, reason = "a descriptor's number is all that Python can hand over")]
fn adopt(fd: i32) -> OwnedFd {
    // SAFETY: the contract of `run_worker`: descriptors named in the settings are open and belong to the worker from
    // then on; the process was made for the worker, and nothing else in it uses them.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
