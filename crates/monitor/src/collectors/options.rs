//! What is collected: node_exporter's own options and their defaults (Debian's, where it differs).

use regex::Regex;
use std::path::PathBuf;

/// Where the host's files are, and what of it is collected.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where `/proc` is.
    pub proc: PathBuf,
    /// Where `/sys` is.
    pub sys: PathBuf,
    /// Where the host's own root is, seen from here.
    pub root: PathBuf,
    /// Where udev keeps what it knows of devices.
    pub udev: PathBuf,
    /// Collectors that are off.
    pub disabled: Vec<String>,
    /// The only collectors that are on, where it is given.
    pub only: Option<Vec<String>>,
    /// Folders whose `*.prom` files are passed on.
    pub textfile_folders: Vec<PathBuf>,
    /// Expressions by option name, such as `netdev.device-exclude`.
    pub(super) expressions: Vec<(&'static str, String)>,
}

/// Options with expressions and what they are by default; empty is absent.
const EXPRESSIONS: [(&str, &str); 12] = [
    ("arp.device-include", ""),
    ("arp.device-exclude", ""),
    ("diskstats.device-include", ""),
    (
        "diskstats.device-exclude",
        r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$",
    ),
    (
        "filesystem.mount-points-exclude",
        "^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
    ),
    (
        "filesystem.fs-types-exclude",
        "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$",
    ),
    ("netclass.ignored-devices", "^$"),
    ("netdev.device-include", ""),
    ("netdev.device-exclude", "^lo$"),
    (
        "netstat.fields",
        "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
    ),
    ("powersupply.ignored-supplies", "^$"),
    ("vmstat.fields", "^(oom_kill|pgpg|pswp|pg.*fault).*"),
];

/// What is wrong with an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// It does not exist.
    #[error("there is no option {0}")]
    Unknown(String),
    /// It lacks its value.
    #[error("option {0} needs a value")]
    NoValue(String),
    /// Its expression cannot be read.
    #[error("option {name}: {message}")]
    Expression {
        /// The option.
        name: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A collector of that name does not exist.
    #[error("there is no collector {0}")]
    Collector(String),
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            root: "/".into(),
            udev: "/run/udev/data".into(),
            disabled: Vec::new(),
            only: None,
            textfile_folders: vec!["/var/lib/prometheus/node-exporter".into()],
            expressions: EXPRESSIONS
                .iter()
                .map(|(name, text)| (*name, (*text).to_owned()))
                .collect(),
        }
    }
}

impl HostOptions {
    /// Reads node_exporter's own arguments: `--collector.netdev.device-exclude=^veth`, `--no-collector.arp`,
    /// `--collector.disable-defaults`, `--path.procfs=/host/proc`.
    ///
    /// # Errors
    /// An argument is none of node_exporter's that has a meaning here.
    pub fn from_arguments(arguments: &[String]) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let name = argument
                .strip_prefix("--")
                .ok_or_else(|| OptionError::Unknown(argument.clone()))?;
            let (name, given) = name
                .split_once('=')
                .map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
            if let Some(collector) = name.strip_prefix("no-collector.") {
                options.disabled.push(collector.to_owned());
                continue;
            }
            if name == "collector.disable-defaults" {
                options.only.get_or_insert_default();
                continue;
            }
            let takes_value = name.starts_with("path.")
                || name
                    .strip_prefix("collector.")
                    .is_some_and(|rest| rest.contains('.'));
            if !takes_value {
                let collector = name
                    .strip_prefix("collector.")
                    .ok_or_else(|| OptionError::Unknown(argument.clone()))?;
                options.disabled.retain(|other| other != collector);
                if let Some(only) = &mut options.only {
                    only.push(collector.to_owned());
                }
                continue;
            }
            let value = given
                .or_else(|| rest.next().cloned())
                .ok_or_else(|| OptionError::NoValue(format!("--{name}")))?;
            match name {
                "path.procfs" => options.proc = value.into(),
                "path.sysfs" => options.sys = value.into(),
                "path.rootfs" => options.root = value.into(),
                "path.udev.data" => options.udev = value.into(),
                "collector.textfile.directory" => options.textfile_folders = vec![value.into()],
                name => options.set(name.strip_prefix("collector.").unwrap_or(name), value)?,
            }
        }
        Ok(options)
    }

    /// Sets an option with an expression, such as `netdev.device-exclude`.
    ///
    /// # Errors
    /// There is no such option.
    pub fn set(&mut self, name: &str, expression: impl Into<String>) -> Result<(), OptionError> {
        let slot = self
            .expressions
            .iter_mut()
            .find(|(known, _)| *known == name);
        let (_, text) = slot.ok_or_else(|| OptionError::Unknown(name.to_owned()))?;
        *text = expression.into();
        Ok(())
    }

    pub(super) fn is_on(&self, collector: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|name| name == collector);
        !named(&self.disabled) && self.only.as_ref().is_none_or(|only| named(only))
    }
}

/// The options' expressions, compiled.
pub(super) struct Filters(Vec<(&'static str, Option<Regex>)>);

impl Filters {
    pub(super) fn new(options: &HostOptions) -> Result<Self, OptionError> {
        let compiled = options.expressions.iter().map(|(name, text)| {
            if text.is_empty() {
                return Ok((*name, None));
            }
            match Regex::new(text) {
                Ok(regex) => Ok((*name, Some(regex))),
                Err(error) => Err(OptionError::Expression {
                    name,
                    message: error.to_string(),
                }),
            }
        });
        Ok(Self(compiled.collect::<Result<_, _>>()?))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Regex> {
        self.0.iter().find(|(known, _)| *known == name)?.1.as_ref()
    }
}
