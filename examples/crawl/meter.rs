//! What it takes to do something: time, CPU and memory. What the site takes, in the same process, is not counted.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::site;

pub(crate) struct Measured {
    pub(crate) time: Duration,
    pub(crate) cpu: Duration,
    /// In bytes, at the most; `None` where the system does not tell.
    memory: Option<u64>,
}

pub(crate) fn measure<T>(what: impl FnOnce() -> T) -> (T, Measured) {
    let cpu = || clock(ClockId::ProcessCPUTime).saturating_sub(site::cpu());
    // From now on the kernel looks for a new peak.
    let can_tell = fs::write("/proc/self/clear_refs", "5").is_ok();
    let (resident, cpu_before, began) = (status("VmRSS"), cpu(), Instant::now());
    let value = what();
    let (time, cpu) = (began.elapsed(), cpu().saturating_sub(cpu_before));
    let peak = status("VmHWM").filter(|_| can_tell);
    let memory = peak.zip(resident).map(|(peak, resident)| peak.saturating_sub(resident));
    (value, Measured { time, cpu, memory })
}

/// A clock of the system.
pub(crate) fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// A line of `/proc/self/status`, in bytes.
fn status(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().ok().map(|kib| kib << 10)
}

/// Lets this process have so many descriptors, or as many as it may.
pub(crate) fn allow_descriptors(count: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        limit.current = Some(limit.maximum.map_or(count, |maximum| maximum.min(count)));
        // Where it may not, connections fail and say so.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, cpu) = (self.time.as_secs_f64(), self.cpu.as_secs_f64() * 1e3);
        write!(f, "{time:>8.2} s {cpu:>7.0} ms ")?;
        match self.memory {
            Some(bytes) => write!(f, "{:>7.1} MB", bytes as f64 / 1e6),
            None => write!(f, "{:>10}", "unknown"),
        }
    }
}
