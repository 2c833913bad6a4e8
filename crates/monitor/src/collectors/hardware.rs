//! The machine itself: `dmi`, `edac`, `hwmon`, `powersupplyclass`, `rapl`, `thermal_zone`.

use super::{Collected, Failure, Host, Out, entries, metric_part, read_number, read_text};
use std::collections::BTreeMap;
use std::path::Path;

/// The file, its label.
const DMI: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("sys_vendor", "system_vendor"),
];

pub(super) fn dmi(host: &Host, out: &mut Out) -> Collected {
    let folder = host.sys("class/dmi/id");
    let found: Vec<(&str, String)> = DMI
        .iter()
        .filter_map(|(file, label)| Some((*label, read_text(&folder.join(file))?)))
        .collect();
    if found.is_empty() {
        return Err(Failure::NoData);
    }
    let labels: Vec<(&str, &str)> = found
        .iter()
        .map(|(label, text)| (*label, text.as_str()))
        .collect();
    let names: Vec<&str> = DMI.iter().map(|(_, label)| *label).collect();
    let help = format!(
        "A metric with a constant '1' value labeled by {} if provided by DMI.",
        names.join(", ")
    );
    out.gauge("node_dmi_info", help, &labels, 1.0);
    Ok(())
}

pub(super) fn edac(host: &Host, out: &mut Out) -> Collected {
    for (name, path) in entries(&host.sys("devices/system/edac/mc"), "mc") {
        let controller = &name["mc".len()..];
        if !controller.bytes().all(|byte| byte.is_ascii_digit()) || controller.is_empty() {
            continue;
        }
        let whole = [
            (
                "ce_count",
                "node_edac_correctable_errors_total",
                "Total correctable memory errors.",
            ),
            (
                "ue_count",
                "node_edac_uncorrectable_errors_total",
                "Total uncorrectable memory errors.",
            ),
        ];
        for (file, metric, help) in whole {
            if let Some(value) = read_number(&path.join(file)) {
                out.counter(metric, help, &[("controller", controller)], value);
            }
        }
        let rows = entries(&path, "csrow");
        let folders = rows.iter().map(|(name, path)| {
            (
                &name["csrow".len()..],
                path.clone(),
                ["ce_count", "ue_count"],
            )
        });
        let unknown = [(
            "unknown",
            path.clone(),
            ["ce_noinfo_count", "ue_noinfo_count"],
        )];
        for (row, folder, [correctable, uncorrectable]) in unknown.into_iter().chain(folders) {
            let labels = [("controller", controller), ("csrow", row)];
            if let Some(value) = read_number(&folder.join(correctable)) {
                let help = "Total correctable memory errors for this csrow.";
                out.counter(
                    "node_edac_csrow_correctable_errors_total",
                    help,
                    &labels,
                    value,
                );
            }
            if let Some(value) = read_number(&folder.join(uncorrectable)) {
                let help = "Total uncorrectable memory errors for this csrow.";
                out.counter(
                    "node_edac_csrow_uncorrectable_errors_total",
                    help,
                    &labels,
                    value,
                );
            }
        }
    }
    Ok(())
}

pub(super) fn rapl(host: &Host, out: &mut Out) -> Collected {
    if !host.sys("class/powercap").exists() {
        return Err(Failure::NoData);
    }
    for (_, path) in entries(&host.sys("class/powercap"), "intel-rapl:") {
        let Some(name) = read_text(&path.join("name")) else {
            continue;
        };
        // `package-0` is the package with the index 0; without a number there is but one.
        let (name, index) = match name.rsplit_once('-') {
            Some((name, index)) if index.parse::<u32>().is_ok() => {
                (name.to_owned(), index.to_owned())
            }
            _ => (name, "0".to_owned()),
        };
        let Some(microjoules) = read_number(&path.join("energy_uj")) else {
            continue;
        };
        let metric = format!(
            "node_rapl_{}_joules_total",
            metric_part(&name).replace('-', "_")
        );
        let shown = path.display().to_string();
        let labels = [("index", index.as_str()), ("path", &shown)];
        out.counter(
            metric,
            format!("Current RAPL value for {name}"),
            &labels,
            microjoules / 1e6,
        );
    }
    Ok(())
}

pub(super) fn thermal_zone(host: &Host, out: &mut Out) -> Collected {
    let folder = host.sys("class/thermal");
    for (name, path) in entries(&folder, "thermal_zone") {
        if let (Some(kind), Some(temperature)) = (
            read_text(&path.join("type")),
            read_number(&path.join("temp")),
        ) {
            let labels = [
                ("zone", &name["thermal_zone".len()..]),
                ("type", kind.as_str()),
            ];
            out.gauge(
                "node_thermal_zone_temp",
                "Zone temperature in Celsius",
                &labels,
                temperature / 1000.0,
            );
        }
    }
    for (name, path) in entries(&folder, "cooling_device") {
        let Some(kind) = read_text(&path.join("type")) else {
            continue;
        };
        let labels = [
            ("name", &name["cooling_device".len()..]),
            ("type", kind.as_str()),
        ];
        if let Some(state) = read_number(&path.join("cur_state")) {
            let help = "Current throttle state of the cooling device";
            out.gauge("node_cooling_device_cur_state", help, &labels, state);
        }
        if let Some(state) = read_number(&path.join("max_state")) {
            let help = "Maximum throttle state of the cooling device";
            out.gauge("node_cooling_device_max_state", help, &labels, state);
        }
    }
    Ok(())
}

/// The file of a power supply, the metric's end, the factor.
const SUPPLY: [(&str, &str, f64); 26] = [
    ("authentic", "authentic", 1.0),
    ("calibrate", "calibrate", 1.0),
    ("capacity", "capacity", 1.0),
    ("charge_control_limit", "charge_control_limit", 1.0),
    ("charge_full", "charge_full", 1e-6),
    ("charge_full_design", "charge_full_design", 1e-6),
    ("charge_now", "charge_ampere", 1e-6),
    ("constant_charge_current", "constant_charge_current", 1e-6),
    ("constant_charge_voltage", "constant_charge_voltage", 1e-6),
    ("current_avg", "current_avg", 1e-6),
    ("current_max", "current_max", 1e-6),
    ("current_now", "current_ampere", 1e-6),
    ("cycle_count", "cyclecount", 1.0),
    ("energy_full", "energy_full", 1e-6),
    ("energy_full_design", "energy_full_design", 1e-6),
    ("energy_now", "energy_watthour", 1e-6),
    ("online", "online", 1.0),
    ("power_now", "power_watt", 1e-6),
    ("present", "present", 1.0),
    ("temp", "temp_celsius", 0.1),
    ("temp_ambient", "temp_ambient_celsius", 0.1),
    ("time_to_empty_now", "time_to_empty_seconds", 1.0),
    ("time_to_full_now", "time_to_full_seconds", 1.0),
    ("voltage_max_design", "voltage_max_design", 1e-6),
    ("voltage_min_design", "voltage_min_design", 1e-6),
    ("voltage_now", "voltage_volt", 1e-6),
];

const SUPPLY_TEXTS: [&str; 9] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "serial_number",
    "status",
    "technology",
    "type",
];

pub(super) fn power_supply(host: &Host, out: &mut Out) -> Collected {
    let ignored = host.filters.get("powersupply.ignored-supplies");
    let folder = host.sys("class/power_supply");
    if !folder.exists() {
        return Err(Failure::NoData);
    }
    for (name, path) in entries(&folder, "")
        .into_iter()
        .filter(|(name, _)| !ignored.is_some_and(|ignored| ignored.is_match(name)))
    {
        for (file, end, factor) in SUPPLY {
            if let Some(value) = read_number(&path.join(file)) {
                let help = format!("{file} value of /sys/class/power_supply/<power_supply>.");
                out.gauge(
                    format!("node_power_supply_{end}"),
                    help,
                    &[("power_supply", &name)],
                    value * factor,
                );
            }
        }
        let found: Vec<(&str, String)> = SUPPLY_TEXTS
            .iter()
            .filter_map(|file| Some((*file, read_text(&path.join(file))?)))
            .collect();
        let mut labels = vec![("power_supply", name.as_str())];
        labels.extend(found.iter().map(|(file, text)| (*file, text.as_str())));
        out.gauge(
            "node_power_supply_info",
            "info of /sys/class/power_supply/<power_supply>.",
            &labels,
            1.0,
        );
    }
    Ok(())
}

pub(super) fn hwmon(host: &Host, out: &mut Out) -> Collected {
    let folder = host.sys("class/hwmon");
    if !folder.exists() {
        return Err(Failure::NoData);
    }
    for (name, path) in entries(&folder, "hwmon") {
        let chip = chip_name(&path, &name);
        if let Some(human) = read_text(&path.join("name")) {
            let labels = [("chip", chip.as_str()), ("chip_name", &metric_part(&human))];
            let help = "Annotation metric for human-readable chip names";
            out.gauge("node_hwmon_chip_names", help, &labels, 1.0);
        }
        let mut sensors: BTreeMap<(String, String), BTreeMap<String, String>> = BTreeMap::new();
        for folder in [path.clone(), path.join("device")] {
            for (file, path) in entries(&folder, "") {
                let Some((kind, sensor, property)) = split_sensor(&file) else {
                    continue;
                };
                if path.is_file()
                    && let Some(text) = read_text(&path)
                {
                    sensors
                        .entry((kind, sensor))
                        .or_default()
                        .entry(property)
                        .or_insert(text);
                }
            }
        }
        for ((kind, sensor), properties) in &sensors {
            for (property, text) in properties {
                element(
                    out,
                    &[("chip", &chip), ("sensor", sensor)],
                    kind,
                    property,
                    text,
                    properties,
                );
            }
        }
    }
    Ok(())
}

/// The kinds of sensors that there are.
const SENSORS: [&str; 13] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
];

/// `temp1_crit_alarm` is of the kind `temp`, the sensor `temp1`, the property `crit_alarm`.
fn split_sensor(file: &str) -> Option<(String, String, String)> {
    let kind = SENSORS.iter().find(|kind| {
        file.strip_prefix(**kind)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()))
    })?;
    let rest = &file[kind.len()..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let property = rest[digits..].strip_prefix('_').unwrap_or(&rest[digits..]);
    Some((
        (*kind).to_owned(),
        format!("{kind}{}", &rest[..digits]),
        property.to_owned(),
    ))
}

/// The chip is named by its device, which stays where it is over restarts, or else by what it says of itself.
fn chip_name(path: &Path, folder: &str) -> String {
    if let Ok(device) = std::fs::canonicalize(path.join("device")) {
        let name = |path: &Path| {
            path.file_name()
                .map(|name| metric_part(&name.to_string_lossy()))
                .unwrap_or_default()
        };
        let bus = device.parent().map(name).unwrap_or_default();
        let own = name(&device);
        if !bus.is_empty() && !own.is_empty() {
            return format!("{bus}_{own}");
        }
    }
    match read_text(&path.join("name")) {
        Some(name) if !name.is_empty() => metric_part(&name),
        _ => folder.to_owned(),
    }
}

fn element(
    out: &mut Out,
    labels: &[(&str, &str)],
    kind: &str,
    property: &str,
    text: &str,
    all: &BTreeMap<String, String>,
) {
    if property == "label" {
        let mut labels = labels.to_vec();
        let label = text.trim();
        labels.push(("label", label));
        out.gauge(
            "node_hwmon_sensor_label",
            "Label for given chip and sensor",
            &labels,
            1.0,
        );
        return;
    }
    let Ok(value) = text.parse::<f64>() else {
        return;
    };
    let whole = match kind {
        "beep_enable" => Some(("node_hwmon_beep_enabled", "Hardware beep enabled", 1.0)),
        "vrm" => Some((
            "node_hwmon_voltage_regulator_version",
            "Hardware voltage regulator",
            1.0,
        )),
        "update_interval" => Some((
            "node_hwmon_update_interval_seconds",
            "Hardware monitor update interval",
            0.001,
        )),
        _ => None,
    };
    if let Some((name, help, factor)) = whole {
        out.gauge(name, help, labels, value * factor);
        return;
    }
    let mut name = format!("node_hwmon_{kind}");
    if property == "input" {
        // The input is the value itself, unless there is a file without a property as well.
        if all.contains_key("") {
            name.push_str("_input");
        }
    } else if !property.is_empty() {
        name.push('_');
        name.push_str(&metric_part(property));
    }
    let shown = if property.is_empty() {
        "input"
    } else {
        property
    };
    let (suffix, help, factor, counter) = match (kind, property) {
        (_, "fault" | "alarm") => (
            "",
            format!("Hardware sensor {property} status ({kind})"),
            1.0,
            false,
        ),
        (_, "beep") => (
            "_enabled",
            "Hardware monitor sensor has beeping enabled".to_owned(),
            1.0,
            false,
        ),
        ("in" | "cpu", _) => (
            "_volts",
            format!("Hardware monitor for voltage ({property})"),
            0.001,
            false,
        ),
        ("temp", property) if property != "type" => (
            "_celsius",
            format!("Hardware monitor for temperature ({shown})"),
            0.001,
            false,
        ),
        ("curr", _) => (
            "_amps",
            format!("Hardware monitor for current ({property})"),
            0.001,
            false,
        ),
        ("energy", _) => (
            "_joule_total",
            format!("Hardware monitor for joules used so far ({property})"),
            1e-6,
            true,
        ),
        ("power", "accuracy") => (
            "",
            "Hardware monitor power meter accuracy, as a ratio".to_owned(),
            1e-6,
            false,
        ),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => (
            "_seconds",
            format!("Hardware monitor power usage update interval ({property})"),
            0.001,
            false,
        ),
        ("power", _) => (
            "_watt",
            format!("Hardware monitor for power usage in watts ({property})"),
            1e-6,
            false,
        ),
        ("humidity", _) => {
            let help = "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage)";
            ("", format!("{help} ({property})"), 1e-6, false)
        }
        ("fan", "input" | "min" | "max" | "target") => (
            "_rpm",
            format!("Hardware monitor for fan revolutions per minute ({property})"),
            1.0,
            false,
        ),
        _ => (
            "",
            format!("Hardware monitor {kind} element {property}"),
            1.0,
            false,
        ),
    };
    name.push_str(suffix);
    if counter {
        out.counter(name, help, labels, value * factor);
    } else {
        out.gauge(name, help, labels, value * factor);
    }
}
