//! The Python border of the compiled core: it converts and delegates, it decides nothing.
#![deny(unsafe_code)]

mod resources;
mod worker;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("InvalidResource", module.py().get_type::<resources::InvalidResource>())?;
    module.add_class::<resources::Address>()?;
    module.add_class::<resources::ResourceSummary>()?;
    module.add_function(wrap_pyfunction!(resources::check, module)?)?;
    module.add_function(wrap_pyfunction!(worker::run_worker, module)?)
}
