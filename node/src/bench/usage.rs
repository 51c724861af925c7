//! What a process has cost: CPU time and memory, from `/proc`. Elsewhere than on Linux nothing is known.

use std::fs;
use std::path::Path;

/// What the kernel counts CPU time in, a second, towards programs: the same on all Linux architectures of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time so far and the most memory so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of CPU time, user and system.
    pub cpu_s: f64,
    /// The most resident memory at any time, in MiB.
    pub peak_rss_mib: f64,
}

impl Usage {
    /// Of the process with this id; `None` if that is not known.
    pub fn of(process: u32) -> Option<Self> {
        read(Path::new(&format!("/proc/{process}")))
    }

    /// Of this process.
    pub fn own() -> Option<Self> {
        read(Path::new("/proc/self"))
    }
}

/// Resident memory of the process with this id at this moment, in MiB; `None` if that is not known.
pub fn resident_mib(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    mib(&status, "VmRSS:")
}

fn read(folder: &Path) -> Option<Usage> {
    Some(Usage {
        cpu_s: cpu_seconds(&fs::read_to_string(folder.join("stat")).ok()?)?,
        peak_rss_mib: mib(&fs::read_to_string(folder.join("status")).ok()?, "VmHWM:")?,
    })
}

/// The program's name, in parentheses, may hold anything: fields count from its end. Those are state (3) onwards; utime
/// is 14 and stime 15.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(14 - 3);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS_PER_SECOND)
}

fn mib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let stat = "42 (a ) (b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(
            mib("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n", "VmHWM:"),
            Some(2.0)
        );
        assert_eq!(cpu_seconds("nonsense"), None);
        assert_eq!(mib("VmRSS:\t 1 kB\n", "VmHWM:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory() {
        assert!(Usage::own().unwrap().peak_rss_mib > 0.5);
        assert!(Usage::of(std::process::id()).is_some());
        assert!(resident_mib(std::process::id()).unwrap() > 0.5);
    }
}
