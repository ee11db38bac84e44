//! Memory, processor time and open files of the process, read from `/proc/self` on each scrape. The `prometheus`
//! crate's feature `process` has more metrics than these, under other help texts.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge};

/// Unit of processor time in `/proc`: Linux fixes `USER_HZ` at 100.
const TICKS_PER_SECOND: f64 = 100.0;

/// The standard process metrics of Prometheus client libraries.
pub(super) struct ProcessCollector {
    resident_memory: IntGauge,
    cpu: Counter,
    open_files: IntGauge,
}

impl ProcessCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            resident_memory: IntGauge::new("process_resident_memory_bytes", "Resident memory size in bytes")?,
            cpu: Counter::new("process_cpu_seconds_total", "User and system processor time spent in seconds")?,
            open_files: IntGauge::new("process_open_fds", "Number of open file descriptors")?,
        })
    }

    fn collectors(&self) -> [&dyn Collector; 3] {
        [&self.resident_memory, &self.cpu, &self.open_files]
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(bytes) = resident_memory_bytes() {
            self.resident_memory.set(bytes);
        }
        if let Some(seconds) = cpu_seconds() {
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        if let Some(count) = open_files() {
            self.open_files.set(count);
        }
        self.collectors().into_iter().flat_map(Collector::collect).collect()
    }
}

fn resident_memory_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may contain blanks.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut user_and_system = after_name.split_whitespace().skip(11);
    let user: f64 = user_and_system.next()?.parse().ok()?;
    let system: f64 = user_and_system.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn open_files() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        assert!(resident_memory_bytes().unwrap() > 1024 * 1024);
        assert!(cpu_seconds().unwrap() >= 0.0);
        assert!(open_files().unwrap() >= 3);
    }
}
