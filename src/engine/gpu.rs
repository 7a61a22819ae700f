//! The NVIDIA GPUs of this machine, whether or not this build can use them.

use cudarc::driver::result;

/// One NVIDIA GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// What the driver calls it.
    pub name: String,
    /// Its memory.
    pub total_bytes: usize,
}

/// Is the driver's library here? A build for GPUs is linked to it and would not have started without.
fn driver_is_here() -> bool {
    #[cfg(feature = "cuda")]
    {
        true
    }
    #[cfg(not(feature = "cuda"))]
    {
        #[expect(unsafe_code, reason = "asks whether the driver library is there before anything calls it")]
        // SAFETY: looks for a shared library and loads it; it has no other precondition.
        unsafe {
            cudarc::driver::sys::is_culib_present()
        }
    }
}

/// Those the driver shows.
pub fn gpus() -> Vec<Gpu> {
    if !driver_is_here() {
        return Vec::new();
    }
    // A driver older than the bindings lacks symbols, and cudarc panics on a missing one.
    std::panic::catch_unwind(|| {
        if result::init().is_err() {
            return Vec::new();
        }
        let count = result::device::get_count().unwrap_or(0);
        (0..count)
            .filter_map(|i| {
                let device = result::device::get(i).ok()?;
                #[expect(unsafe_code, reason = "the driver's call for a device's memory")]
                // SAFETY: the handle was just returned by the driver.
                let total_bytes = unsafe { result::device::total_mem(device) }.ok()?;
                Some(Gpu { name: result::device::get_name(device).ok()?, total_bytes })
            })
            .collect()
    })
    .unwrap_or_default()
}
