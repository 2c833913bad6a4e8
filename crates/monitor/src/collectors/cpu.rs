//! Processors and what runs on them: `cpu`, `cpufreq`, `loadavg`, `pressure`, `schedstat`, `softnet`, `stat`.

use super::{Collected, Failure, Host, Out, entries, read_number, read_text};
use std::collections::HashSet;

/// The kernel counts time for programs in hundredths of a second, whatever its own tick is.
const TICK: f64 = 100.0;

pub(super) fn cpu(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("stat")?;
    for line in text.lines() {
        let Some(rest) = line
            .strip_prefix("cpu")
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        else {
            continue;
        };
        let mut fields = rest.split_ascii_whitespace();
        let cpu = fields.next().unwrap_or("");
        let ticks: Vec<f64> = fields
            .map(|field| field.parse::<f64>().unwrap_or(0.0) / TICK)
            .collect();
        let of = |at: usize| ticks.get(at).copied().unwrap_or(0.0);
        let modes = [
            "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
        ];
        for (at, mode) in modes.into_iter().enumerate() {
            out.counter(
                "node_cpu_seconds_total",
                "Seconds the CPUs spent in each mode.",
                &[("cpu", cpu), ("mode", mode)],
                of(at),
            );
        }
        for (at, mode) in [(8, "user"), (9, "nice")] {
            let help = "Seconds the CPUs spent in guests (VMs) for each mode.";
            out.counter(
                "node_cpu_guest_seconds_total",
                help,
                &[("cpu", cpu), ("mode", mode)],
                of(at),
            );
        }
    }
    throttles(host, out);
    Ok(())
}

fn throttles(host: &Host, out: &mut Out) {
    let (mut cores, mut packages) = (HashSet::new(), HashSet::new());
    for (_, path) in entries(&host.sys("devices/system/cpu"), "cpu")
        .into_iter()
        .filter(|(name, _)| is_cpu(name))
    {
        // Without this folder the processor does not tell, and the two reads below are saved.
        if !path.join("thermal_throttle").exists() {
            continue;
        }
        let (Some(core), Some(package)) = (
            read_text(&path.join("topology/core_id")),
            read_text(&path.join("topology/physical_package_id")),
        ) else {
            continue;
        };
        if cores.insert((package.clone(), core.clone()))
            && let Some(count) = read_number(&path.join("thermal_throttle/core_throttle_count"))
        {
            let help = "Number of times this CPU core has been throttled.";
            out.counter(
                "node_cpu_core_throttles_total",
                help,
                &[("core", &core), ("package", &package)],
                count,
            );
        }
        if packages.insert(package.clone())
            && let Some(count) = read_number(&path.join("thermal_throttle/package_throttle_count"))
        {
            let help = "Number of times this CPU package has been throttled.";
            out.counter(
                "node_cpu_package_throttles_total",
                help,
                &[("package", &package)],
                count,
            );
        }
    }
}

fn is_cpu(name: &str) -> bool {
    name.len() > 3 && name[3..].bytes().all(|byte| byte.is_ascii_digit())
}

/// The name of the file, the metric, its help.
const FREQUENCIES: [(&str, &str, &str); 6] = [
    (
        "cpuinfo_cur_freq",
        "node_cpu_frequency_hertz",
        "Current CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_min_freq",
        "node_cpu_frequency_min_hertz",
        "Minimum CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_max_freq",
        "node_cpu_frequency_max_hertz",
        "Maximum CPU thread frequency in hertz.",
    ),
    (
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Current scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
    ),
];

pub(super) fn cpufreq(host: &Host, out: &mut Out) -> Collected {
    for (name, path) in entries(&host.sys("devices/system/cpu"), "cpu")
        .into_iter()
        .filter(|(name, _)| is_cpu(name))
    {
        let (cpu, path) = (&name[3..], path.join("cpufreq"));
        if !path.exists() {
            continue;
        }
        for (file, metric, help) in FREQUENCIES {
            if let Some(kilohertz) = read_number(&path.join(file)) {
                out.gauge(metric, help, &[("cpu", cpu)], kilohertz * 1000.0);
            }
        }
        let (Some(current), Some(available)) = (
            read_text(&path.join("scaling_governor")),
            read_text(&path.join("scaling_available_governors")),
        ) else {
            continue;
        };
        for governor in available.split_ascii_whitespace() {
            let value = f64::from(u8::from(governor == current));
            let labels = [("cpu", cpu), ("governor", governor)];
            out.gauge(
                "node_cpu_scaling_governor",
                "Current enabled CPU frequency governor.",
                &labels,
                value,
            );
        }
    }
    Ok(())
}

pub(super) fn loadavg(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("loadavg")?;
    let names = [
        ("node_load1", "1m load average."),
        ("node_load5", "5m load average."),
        ("node_load15", "15m load average."),
    ];
    for ((name, help), field) in names.into_iter().zip(text.split_ascii_whitespace()) {
        let load = field
            .parse()
            .map_err(|_| Failure::Broken(format!("loadavg: {field}")))?;
        out.gauge(name, help, &[], load);
    }
    Ok(())
}

pub(super) fn stat(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("stat")?;
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let name = fields.next().unwrap_or("");
        let mut number = || {
            fields
                .next()
                .and_then(|field| field.parse().ok())
                .unwrap_or(0.0)
        };
        match name {
            "intr" => out.counter(
                "node_intr_total",
                "Total number of interrupts serviced.",
                &[],
                number(),
            ),
            "ctxt" => out.counter(
                "node_context_switches_total",
                "Total number of context switches.",
                &[],
                number(),
            ),
            "processes" => out.counter("node_forks_total", "Total number of forks.", &[], number()),
            "btime" => out.gauge(
                "node_boot_time_seconds",
                "Node boot time, in unixtime.",
                &[],
                number(),
            ),
            "procs_running" => out.gauge(
                "node_procs_running",
                "Number of processes in runnable state.",
                &[],
                number(),
            ),
            "procs_blocked" => out.gauge(
                "node_procs_blocked",
                "Number of processes blocked waiting for I/O to complete.",
                &[],
                number(),
            ),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn schedstat(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("schedstat")?;
    for line in text.lines().filter(|line| line.starts_with("cpu")) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(name), [.., running, waiting, slices]) = (fields.first(), &fields[..]) else {
            continue;
        };
        let labels = [("cpu", &name[3..])];
        let number = |text: &str| text.parse().unwrap_or(0.0);
        let help = "Number of seconds CPU spent running a process.";
        out.counter(
            "node_schedstat_running_seconds_total",
            help,
            &labels,
            number(running) / 1e9,
        );
        let help = "Number of seconds spent by processing waiting for this CPU.";
        out.counter(
            "node_schedstat_waiting_seconds_total",
            help,
            &labels,
            number(waiting) / 1e9,
        );
        out.counter(
            "node_schedstat_timeslices_total",
            "Number of timeslices executed by CPU.",
            &labels,
            number(slices),
        );
    }
    Ok(())
}

pub(super) fn softnet(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("net/softnet_stat")?;
    for (row, line) in text.lines().enumerate() {
        let fields: Vec<u64> = line
            .split_ascii_whitespace()
            .map(|field| u64::from_str_radix(field, 16).unwrap_or(0))
            .collect();
        // Newer kernels name the processor, since rows of absent ones are left out.
        let cpu = fields.get(12).copied().unwrap_or(row as u64).to_string();
        let of = |at: usize| fields.get(at).copied().unwrap_or(0) as f64;
        let labels = [("cpu", cpu.as_str())];
        out.counter(
            "node_softnet_processed_total",
            "Number of processed packets",
            &labels,
            of(0),
        );
        out.counter(
            "node_softnet_dropped_total",
            "Number of dropped packets",
            &labels,
            of(1),
        );
        let help = "Number of times processing packets ran out of quota";
        out.counter("node_softnet_times_squeezed_total", help, &labels, of(2));
    }
    Ok(())
}

/// The file, the line's first word, the metric, its help.
const PRESSURES: [(&str, &str, &str, &str); 5] = [
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
    ),
];

pub(super) fn pressure(host: &Host, out: &mut Out) -> Collected {
    for file in ["cpu", "io", "memory"] {
        let text = host.read_proc(&format!("pressure/{file}"))?;
        for (_, word, metric, help) in PRESSURES.into_iter().filter(|(of, ..)| *of == file) {
            let line = text.lines().find(|line| line.starts_with(word));
            let total =
                line.and_then(|line| line.rsplit_once("total=")?.1.trim().parse::<f64>().ok());
            if let Some(microseconds) = total {
                out.counter(metric, help, &[], microseconds / 1e6);
            }
        }
    }
    Ok(())
}
