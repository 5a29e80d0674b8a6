//! What the server's process used, as the kernel counts it.

use std::fs;

/// Linux counts CPU time in hundredths of a second on every common architecture.
const TICKS_A_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub cpu_seconds: f64,
    pub resident_kib: u64,
}

/// `None` when there is no such process or no `/proc`.
pub fn used(pid: u32) -> Option<Used> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, spaces included.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident_kib = resident.split_whitespace().next()?.parse().ok()?;
    Some(Used { cpu_seconds: ticks / TICKS_A_SECOND, resident_kib })
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_uses_something() {
        assert!(super::used(std::process::id()).is_some_and(|used| used.resident_kib > 0));
        assert!(super::used(u32::MAX).is_none());
    }
}
