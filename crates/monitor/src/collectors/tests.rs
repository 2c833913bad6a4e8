use super::*;

/// A host of files: path and text.
fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = folder.path().to_owned();
    let options = HostOptions {
        proc: root.join("proc"),
        sys: root.join("sys"),
        root: root.clone(),
        udev: root.join("udev"),
        textfile_folders: vec![root.join("textfile")],
        ..HostOptions::default()
    };
    (folder, Host::new(options).unwrap())
}

/// The samples of one collector.
fn collected(files: &[(&str, &str)], name: &str) -> Vec<String> {
    let (folder, mut host) = host(files);
    host.options.only = Some(vec![name.to_owned()]);
    let text = host
        .collect(Format::Text)
        .replace(&folder.path().display().to_string(), "");
    let own = ["node_scrape", "node_exporter", "process_", "#"];
    text.lines()
        .filter(|line| !own.iter().any(|own| line.starts_with(own)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn processors_and_loads() {
    let stat = "cpu  1 2 3 4\ncpu0 100 200 300 400 5 6 7 8 9 10\nintr 42 0 1\nctxt 7\nbtime 1700000000\nprocesses 9\nprocs_running 2\nprocs_blocked 1\n";
    let cpu = collected(&[("proc/stat", stat)], "cpu");
    assert_eq!(cpu.len(), 10);
    assert!(
        cpu.contains(&r#"node_cpu_seconds_total{cpu="0",mode="idle"} 4"#.to_owned()),
        "{cpu:?}"
    );
    assert!(cpu.contains(&r#"node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.1"#.to_owned()));
    assert_eq!(
        collected(&[("proc/stat", stat)], "stat"),
        [
            "node_boot_time_seconds 1700000000",
            "node_context_switches_total 7",
            "node_forks_total 9",
            "node_intr_total 42",
            "node_procs_blocked 1",
            "node_procs_running 2"
        ]
    );
    assert_eq!(
        collected(
            &[(
                "proc/schedstat",
                "version 15\ncpu0 0 0 0 0 0 0 2000000000 1000000000 5\ndomain0 3\n"
            )],
            "schedstat"
        ),
        [
            r#"node_schedstat_running_seconds_total{cpu="0"} 2"#,
            r#"node_schedstat_timeslices_total{cpu="0"} 5"#,
            r#"node_schedstat_waiting_seconds_total{cpu="0"} 1"#
        ]
    );
    let line = "0000000a 00000001 00000002 0 0 0 0 0 0 0 0 0 00000003";
    assert_eq!(
        collected(&[("proc/net/softnet_stat", line)], "softnet")[1],
        r#"node_softnet_processed_total{cpu="3"} 10"#
    );
    let frequencies = [
        (
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq",
            "1200000\n",
        ),
        (
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
            "performance\n",
        ),
        (
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_available_governors",
            "performance powersave\n",
        ),
    ];
    assert_eq!(
        collected(&frequencies, "cpufreq"),
        [
            r#"node_cpu_scaling_frequency_hertz{cpu="1"} 1200000000"#,
            r#"node_cpu_scaling_governor{cpu="1",governor="performance"} 1"#,
            r#"node_cpu_scaling_governor{cpu="1",governor="powersave"} 0"#,
        ]
    );
}

#[test]
fn arrays_of_disks_in_every_state() {
    let mdstat = "Personalities : [raid1]\nmd0 : active raid1 sdb1[1] sda1[0](F)\n      1000 blocks super 1.2 [2/1] [_U]\n      [=>....]  recovery = 25.0% (250/1000) finish=1min speed=1K/sec\n\nmd1 : active raid0 sdc1[0] sdd1[1]\n      500 blocks 64k chunks\n\nmd2 : inactive sde1[0](S)\n      70 blocks\n\nunused devices: <none>\n";
    let found = collected(&[("proc/mdstat", mdstat)], "mdadm");
    for line in [
        r#"node_md_state{device="md0",state="recovering"} 1"#,
        r#"node_md_state{device="md0",state="active"} 0"#,
        r#"node_md_disks{device="md0",state="active"} 1"#,
        r#"node_md_disks{device="md0",state="failed"} 1"#,
        r#"node_md_disks_required{device="md0"} 2"#,
        r#"node_md_blocks_synced{device="md0"} 250"#,
        r#"node_md_state{device="md1",state="active"} 1"#,
        r#"node_md_disks{device="md1",state="active"} 2"#,
        r#"node_md_blocks_synced{device="md1"} 500"#,
        r#"node_md_state{device="md2",state="inactive"} 1"#,
        r#"node_md_disks{device="md2",state="spare"} 1"#,
    ] {
        assert!(
            found.contains(&line.to_owned()),
            "{line} is not in {found:#?}"
        );
    }
}

#[test]
fn sensors_get_units() {
    let files = [
        ("sys/class/hwmon/hwmon0/name", "coretemp\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", "45000\n"),
        ("sys/class/hwmon/hwmon0/temp1_crit_alarm", "0\n"),
        ("sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n"),
        ("sys/class/hwmon/hwmon0/fan1_input", "1200\n"),
        ("sys/class/hwmon/hwmon0/in0_input", "1100\n"),
        ("sys/class/hwmon/hwmon0/power1_average", "5000000\n"),
    ];
    assert_eq!(
        collected(&files, "hwmon"),
        [
            r#"node_hwmon_chip_names{chip="coretemp",chip_name="coretemp"} 1"#,
            r#"node_hwmon_fan_rpm{chip="coretemp",sensor="fan1"} 1200"#,
            r#"node_hwmon_in_volts{chip="coretemp",sensor="in0"} 1.1"#,
            r#"node_hwmon_power_average_watt{chip="coretemp",sensor="power1"} 5"#,
            r#"node_hwmon_sensor_label{chip="coretemp",sensor="temp1",label="Package id 0"} 1"#,
            r#"node_hwmon_temp_celsius{chip="coretemp",sensor="temp1"} 45"#,
            r#"node_hwmon_temp_crit_alarm_celsius{chip="coretemp",sensor="temp1"} 0"#,
        ]
    );
    let files = [
        ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
        ("sys/class/powercap/intel-rapl:0/energy_uj", "2000000\n"),
    ];
    assert_eq!(
        collected(&files, "rapl"),
        [r#"node_rapl_package_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0"} 2"#]
    );
    let files = [
        ("sys/class/power_supply/BAT0/capacity", "80\n"),
        ("sys/class/power_supply/BAT0/status", "Full\n"),
    ];
    assert_eq!(
        collected(&files, "powersupplyclass"),
        [
            r#"node_power_supply_capacity{power_supply="BAT0"} 80"#,
            r#"node_power_supply_info{power_supply="BAT0",status="Full"} 1"#
        ]
    );
    let files = [
        ("sys/devices/system/edac/mc/mc0/ce_count", "1"),
        ("sys/devices/system/edac/mc/mc0/ue_count", "2"),
        ("sys/devices/system/edac/mc/mc0/csrow0/ce_count", "3"),
    ];
    assert_eq!(
        collected(&files, "edac"),
        [
            r#"node_edac_correctable_errors_total{controller="0"} 1"#,
            r#"node_edac_csrow_correctable_errors_total{controller="0",csrow="0"} 3"#,
            r#"node_edac_uncorrectable_errors_total{controller="0"} 2"#,
        ]
    );
    let files = [
        ("sys/class/thermal/thermal_zone0/type", "x86"),
        ("sys/class/thermal/thermal_zone0/temp", "30500"),
    ];
    assert_eq!(
        collected(&files, "thermal_zone"),
        [r#"node_thermal_zone_temp{zone="0",type="x86"} 30.5"#]
    );
    let files = [
        ("sys/class/nvme/nvme0/model", "Fast\n"),
        ("sys/class/nvme/nvme0/state", "live\n"),
    ];
    assert_eq!(
        collected(&files, "nvme"),
        [
            r#"node_nvme_info{device="nvme0",firmware_revision="",model="Fast",serial="",state="live"} 1"#
        ]
    );
}

#[test]
fn networks() {
    let dev = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 2 3 4 5 6 7 8 90 9 10 11 12 13 14 15\n";
    let found = collected(&[("proc/net/dev", dev)], "netdev");
    assert_eq!(found.len(), 16, "{found:?}");
    assert!(
        found.contains(&r#"node_network_transmit_carrier_total{device="eth0"} 14"#.to_owned()),
        "{found:?}"
    );
    let files = [
        ("sys/class/net/bonding_masters", "bond0\n"),
        ("sys/class/net/bond0/bonding/slaves", "eth0 eth1\n"),
        (
            "sys/class/net/bond0/lower_eth0/bonding_slave/mii_status",
            "up\n",
        ),
        (
            "sys/class/net/bond0/lower_eth1/bonding_slave/mii_status",
            "down\n",
        ),
    ];
    assert_eq!(
        collected(&files, "bonding"),
        [
            r#"node_bonding_active{master="bond0"} 1"#,
            r#"node_bonding_slaves{master="bond0"} 2"#
        ]
    );
    let files = [
        (
            "proc/net/netstat",
            "TcpExt: ListenDrops Other\nTcpExt: 3 4\n",
        ),
        ("proc/net/snmp", "Ip: Forwarding\nIp: 1\n"),
        ("proc/net/snmp6", "Ip6InOctets  128\nUdpLite6InErrors 2\n"),
    ];
    assert_eq!(
        collected(&files, "netstat"),
        [
            "node_netstat_Ip6_InOctets 128",
            "node_netstat_Ip_Forwarding 1",
            "node_netstat_TcpExt_ListenDrops 3",
            "node_netstat_UdpLite6_InErrors 2"
        ]
    );
}

#[test]
fn files_of_scripts_are_passed_on_or_told() {
    let good = [
        (
            "textfile/a.prom",
            "# HELP mine Help.\n# TYPE mine counter\nmine{a=\"b\"} 1\n",
        ),
        ("textfile/b.txt", "no 1\n"),
    ];
    let (folder, host) = host(&good);
    let text = host.collect(Format::Text);
    assert!(
        text.contains("# HELP mine Help.\n# TYPE mine counter\nmine{a=\"b\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("node_textfile_scrape_error 0\n"));
    std::fs::write(
        folder.path().join("textfile/bad.prom"),
        "x 1 1700000000000\n",
    )
    .unwrap();
    let text = host.collect(Format::Text);
    assert!(text.contains("node_textfile_scrape_error 1\n") && !text.contains("\nx 1"));
}

#[test]
fn what_is_not_there_fails_or_is_empty_as_with_node_exporter() {
    let (_folder, host) = host(&[]);
    let text = host.collect(Format::OpenMetrics);
    assert!(
        text.contains("node_scrape_collector_success{collector=\"hwmon\"} 0\n"),
        "{text}"
    );
    assert!(text.contains("node_scrape_collector_success{collector=\"netclass\"} 1\n"));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn options_are_node_exporters_own() {
    let arguments = [
        "--no-collector.arp",
        "--collector.netdev.device-exclude=^eth",
        "--path.procfs",
        "/x",
    ]
    .map(str::to_owned);
    let options = HostOptions::from_arguments(&arguments).unwrap();
    assert_eq!(options.proc, PathBuf::from("/x"));
    assert!(!options.is_on("arp") && options.is_on("cpu"));
    let host = Host::new(options).unwrap();
    assert!(
        host.filters
            .get("netdev.device-exclude")
            .unwrap()
            .is_match("eth0")
    );
    let only = ["--collector.disable-defaults", "--collector.cpu"].map(str::to_owned);
    let host = Host::new(HostOptions::from_arguments(&only).unwrap()).unwrap();
    assert_eq!(host.collectors().collect::<Vec<_>>(), ["cpu"]);
    let error = |argument: &str| {
        HostOptions::from_arguments(&[argument.to_owned()])
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(
        error("--collector.cpu.info=x"),
        Some("there is no option cpu.info".into())
    );
    assert_eq!(error("hello"), Some("there is no option hello".into()));
    let wrong = HostOptions::from_arguments(&["--no-collector.cpuu".to_owned()]).unwrap();
    assert_eq!(
        Host::new(wrong).err().unwrap().to_string(),
        "there is no collector cpuu"
    );
}
