//! The system as a whole: `entropy`, `filefd`, `os`, `selinux`, `time`, `timex`, `uname`, and this process.

use super::{Collected, Failure, Host, Out, entries, read_number, read_text};
use std::collections::HashMap;
use std::time::SystemTime;

pub(super) fn entropy(host: &Host, out: &mut Out) -> Collected {
    let of = |name: &str| {
        read_number(&host.proc(&format!("sys/kernel/random/{name}"))).ok_or(Failure::NoData)
    };
    out.gauge(
        "node_entropy_available_bits",
        "Bits of available entropy.",
        &[],
        of("entropy_avail")?,
    );
    out.gauge(
        "node_entropy_pool_size_bits",
        "Bits of entropy pool.",
        &[],
        of("poolsize")?,
    );
    Ok(())
}

pub(super) fn filefd(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("sys/fs/file-nr")?;
    let fields: Vec<f64> = text
        .split_ascii_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    let [allocated, _, maximum] = fields[..] else {
        return Err(Failure::Broken(format!("file-nr: {text}")));
    };
    out.gauge(
        "node_filefd_allocated",
        "File descriptor statistics: allocated.",
        &[],
        allocated,
    );
    out.gauge(
        "node_filefd_maximum",
        "File descriptor statistics: maximum.",
        &[],
        maximum,
    );
    Ok(())
}

const OS_FIELDS: [&str; 12] = [
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
];

pub(super) fn os(host: &Host, out: &mut Out) -> Collected {
    let text = ["etc/os-release", "usr/lib/os-release"]
        .iter()
        .find_map(|path| std::fs::read_to_string(host.options.root.join(path)).ok())
        .ok_or(Failure::NoData)?;
    let known: HashMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            (
                name.to_ascii_lowercase(),
                value.trim_matches(['"', '\'']).to_owned(),
            )
        })
        .collect();
    let of = |name: &str| known.get(name).map_or("", String::as_str);
    let labels = OS_FIELDS.map(|name| (name, of(name)));
    let help = "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.";
    out.gauge("node_os_info", help, &labels, 1.0);
    // Of `20.04.1` the major and minor numbers.
    let digits = of("version_id")
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()
        .unwrap_or("");
    let mut parts = digits.split('.').filter(|part| !part.is_empty());
    if let Some(major) = parts.next() {
        let number = parts
            .next()
            .map_or(major.to_owned(), |minor| format!("{major}.{minor}"));
        if let Ok(version) = number.parse() {
            let labels = [
                ("id", of("id")),
                ("id_like", of("id_like")),
                ("name", of("name")),
            ];
            out.gauge(
                "node_os_version",
                "Metric containing the major.minor part of the OS version.",
                &labels,
                version,
            );
        }
    }
    Ok(())
}

pub(super) fn selinux(host: &Host, out: &mut Out) -> Collected {
    let folder = host.sys("fs/selinux");
    let current = read_number(&folder.join("enforce"));
    let help = "SELinux is enabled, 1 is true, 0 is false";
    out.gauge(
        "node_selinux_enabled",
        help,
        &[],
        f64::from(u8::from(current.is_some())),
    );
    let Some(current) = current else {
        return Ok(());
    };
    out.gauge(
        "node_selinux_current_mode",
        "Current SELinux enforcement mode",
        &[],
        current,
    );
    let config =
        std::fs::read_to_string(host.options.root.join("etc/selinux/config")).unwrap_or_default();
    let configured = match config
        .lines()
        .find_map(|line| line.trim().strip_prefix("SELINUX="))
        .map(str::trim)
    {
        Some("enforcing") => 1.0,
        Some("permissive") => 0.0,
        _ => -1.0,
    };
    out.gauge(
        "node_selinux_config_mode",
        "Configured SELinux enforcement mode",
        &[],
        configured,
    );
    Ok(())
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

pub(super) fn time(host: &Host, out: &mut Out) -> Collected {
    out.gauge(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        &[],
        now(),
    );
    let (zone, offset) = zone();
    let help = "System time zone offset in seconds.";
    out.gauge(
        "node_time_zone_offset_seconds",
        help,
        &[("time_zone", &zone)],
        offset,
    );
    for (name, path) in entries(&host.sys("devices/system/clocksource"), "clocksource") {
        let device = &name["clocksource".len()..];
        for source in read_text(&path.join("available_clocksource"))
            .unwrap_or_default()
            .split_ascii_whitespace()
        {
            let labels = [("device", device), ("clocksource", source)];
            let help = "Available clocksources read from '/sys/devices/system/clocksource'.";
            out.gauge("node_time_clocksource_available_info", help, &labels, 1.0);
        }
        if let Some(source) = read_text(&path.join("current_clocksource")) {
            let labels = [("device", device), ("clocksource", source.as_str())];
            let help = "Current clocksource read from '/sys/devices/system/clocksource'.";
            out.gauge("node_time_clocksource_current_info", help, &labels, 1.0);
        }
    }
    Ok(())
}

/// The time zone's short name and its offset.
fn zone() -> (String, f64) {
    let zone = jiff::tz::TimeZone::system();
    let info = zone.to_offset_info(jiff::Timestamp::now());
    (
        info.abbreviation().to_owned(),
        f64::from(info.offset().seconds()),
    )
}

/// Of kernel's `struct timex`: parts of a million with sixteen binary digits behind the point.
const PPM16: f64 = 1_000_000.0 * 65_536.0;

pub(super) fn timex(_: &Host, out: &mut Out) -> Collected {
    let (state, clock) = adjustment().ok_or(Failure::NoData)?;
    let nanoseconds = clock.status & libc::STA_NANO != 0;
    let unit = if nanoseconds { 1e9 } else { 1e6 };
    let synchronized = f64::from(u8::from(state != libc::TIME_ERROR));
    let mut gauge =
        |name: &'static str, help: &'static str, value: f64| out.gauge(name, help, &[], value);
    let help = "Is clock synchronized to a reliable server (1 = yes, 0 = no).";
    gauge("node_timex_sync_status", help, synchronized);
    let help = "Time offset in between local system and reference clock.";
    gauge(
        "node_timex_offset_seconds",
        help,
        clock.offset as f64 / unit,
    );
    let help = "Local clock frequency adjustment.";
    gauge(
        "node_timex_frequency_adjustment_ratio",
        help,
        1.0 + clock.freq as f64 / PPM16,
    );
    gauge(
        "node_timex_maxerror_seconds",
        "Maximum error in seconds.",
        clock.maxerror as f64 / 1e6,
    );
    gauge(
        "node_timex_estimated_error_seconds",
        "Estimated error in seconds.",
        clock.esterror as f64 / 1e6,
    );
    gauge(
        "node_timex_status",
        "Value of the status array bits.",
        f64::from(clock.status),
    );
    gauge(
        "node_timex_loop_time_constant",
        "Phase-locked loop time constant.",
        clock.constant as f64,
    );
    gauge(
        "node_timex_tick_seconds",
        "Seconds between clock ticks.",
        clock.tick as f64 / 1e6,
    );
    gauge(
        "node_timex_pps_frequency_hertz",
        "Pulse per second frequency.",
        clock.ppsfreq as f64 / PPM16,
    );
    gauge(
        "node_timex_pps_jitter_seconds",
        "Pulse per second jitter.",
        clock.jitter as f64 / unit,
    );
    gauge(
        "node_timex_pps_shift_seconds",
        "Pulse per second interval duration.",
        f64::from(clock.shift),
    );
    let help = "Pulse per second stability, average of recent frequency changes.";
    gauge(
        "node_timex_pps_stability_hertz",
        help,
        clock.stabil as f64 / PPM16,
    );
    gauge(
        "node_timex_tai_offset_seconds",
        "International Atomic Time (TAI) offset.",
        f64::from(clock.tai),
    );
    let mut counter =
        |name: &'static str, help: &'static str, value: f64| out.counter(name, help, &[], value);
    let help = "Pulse per second count of jitter limit exceeded events.";
    counter("node_timex_pps_jitter_total", help, clock.jitcnt as f64);
    counter(
        "node_timex_pps_calibration_total",
        "Pulse per second count of calibration intervals.",
        clock.calcnt as f64,
    );
    counter(
        "node_timex_pps_error_total",
        "Pulse per second count of calibration errors.",
        clock.errcnt as f64,
    );
    let help = "Pulse per second count of stability limit exceeded events.";
    counter(
        "node_timex_pps_stability_exceeded_total",
        help,
        clock.stbcnt as f64,
    );
    Ok(())
}

/// The kernel's clock discipline, only read.
#[expect(
    unsafe_code,
    reason = "the system call has no safe wrapper among our libraries"
)]
fn adjustment() -> Option<(i32, libc::timex)> {
    // SAFETY: the structure is plain numbers, for which zero is valid; with `modes` zero the kernel only writes to it.
    let mut clock: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the call.
    let state = unsafe { libc::adjtimex(&raw mut clock) };
    (state >= 0).then_some((state, clock))
}

pub(super) fn uname(_: &Host, out: &mut Out) -> Collected {
    let name = rustix::system::uname();
    let domain = name.domainname().to_string_lossy();
    let (system, release) = (
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy(),
    );
    let (version, machine) = (
        name.version().to_string_lossy(),
        name.machine().to_string_lossy(),
    );
    let node = name.nodename().to_string_lossy();
    let labels = [
        ("sysname", &*system),
        ("release", &release),
        ("version", &version),
        ("machine", &machine),
        ("nodename", &node),
        ("domainname", &domain),
    ];
    let help = "Labeled system information as provided by the uname system call.";
    out.gauge("node_uname_info", help, &labels, 1.0);
    Ok(())
}

/// What every exporter tells of itself.
pub(super) fn this_process(out: &mut Out) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| {
            rest.split_ascii_whitespace()
                .map(|field| field.parse().unwrap_or(0.0))
                .collect()
        })
        .unwrap_or_default();
    // By the manual's numbering, whose third field is the first here.
    let of = |field: usize| fields.get(field - 3).copied().unwrap_or(0.0);
    let ticks = rustix::param::clock_ticks_per_second().max(1) as f64;
    let help = "Total user and system CPU time spent in seconds.";
    out.counter(
        "process_cpu_seconds_total",
        help,
        &[],
        (of(14) + of(15)) / ticks,
    );
    out.gauge(
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        &[],
        of(23),
    );
    let resident = of(24) * rustix::param::page_size() as f64;
    out.gauge(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        &[],
        resident,
    );
    let boot = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok())
        .unwrap_or(0.0);
    let help = "Start time of the process since unix epoch in seconds.";
    out.gauge(
        "process_start_time_seconds",
        help,
        &[],
        boot + of(22) / ticks,
    );
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    out.gauge(
        "process_open_fds",
        "Number of open file descriptors.",
        &[],
        open as f64,
    );
    let limit = |which| {
        rustix::process::getrlimit(which)
            .current
            .map_or(u64::MAX as f64, |limit| limit as f64)
    };
    let help = "Maximum number of open file descriptors.";
    out.gauge(
        "process_max_fds",
        help,
        &[],
        limit(rustix::process::Resource::Nofile),
    );
    let help = "Maximum amount of virtual memory available in bytes.";
    out.gauge(
        "process_virtual_memory_max_bytes",
        help,
        &[],
        limit(rustix::process::Resource::As),
    );
}
