//! How much memory the machine has left, and what this process holds and has spent.

use std::time::Duration;

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

/// Memory the system could still give, in bytes; `None` where it does not say.
pub fn free_bytes() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    // What a container's page cache holds comes back when it is needed.
    let limit = system.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss));
    let free = system.available_memory();
    Some(limit.map_or(free, |limit| limit.min(free))).filter(|free| *free > 0)
}

/// Memory this process holds, in bytes; 0 where the system does not say.
pub fn used_bytes() -> u64 {
    let (Ok(mut system), Ok(pid)) = (System::new(), sysinfo::get_current_pid()) else { return 0 };
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    system.process(pid).map_or(0, sysinfo::Process::memory)
}

/// Processor time this process has taken, in all its threads; 0 where the system does not say.
pub fn cpu_time() -> Duration {
    let (Ok(mut system), Ok(pid)) = (System::new(), sysinfo::get_current_pid()) else {
        return Duration::ZERO;
    };
    let kind = ProcessRefreshKind::nothing().with_cpu();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    system.process(pid).map_or(Duration::ZERO, |own| Duration::from_millis(own.accumulated_cpu_time()))
}

/// Most memory this process ever held, where the system says.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
