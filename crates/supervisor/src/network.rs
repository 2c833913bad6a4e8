//! The private networks of instances, where Launchway is root: a bridge of an installation's own, a network namespace for each
//! instance, and who may reach whom.
//!
//! Built with the machine's own `ip` and `nft`, which speak to the kernel better than a copy of theirs here would, and which
//! a person can type to see what was made. All names carry the installation's key, so that several on one machine do
//! not touch each other's. An instance has its address alone (a prefix of 32 bits) and the bridge's as its way to
//! everything, and its port of the bridge is isolated: what one instance sends another passes the host, whose table
//! decides. Inside, whatever arrives is led to loopback, so that an app that binds `127.0.0.1` is reached as well as one
//! that binds all addresses.
//!
//! Nothing here knows apps: the caller gives addresses and pairs.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where `ip netns` keeps the namespaces that have a name.
const NAMESPACES: &str = "/run/netns";
/// The blocks that subnets are taken from: 198.18.0.0/15 is set aside for measurements (RFC 2544), so that neither the
/// Internet nor a company's network has hosts there.
const BLOCKS: (u32, u32) = (0xC612_0000, 32);
/// The length of a subnet's prefix, and the number of addresses that leaves.
const PREFIX: (u32, u32) = (20, 4096);

/// The network of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    key: String,
    subnet: Ipv4Addr,
}

/// Who may reach whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// From which address to which.
    pub pairs: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// The addresses that may reach what the host itself listens on.
    pub to_host: Vec<Ipv4Addr>,
}

/// Whether instances can have private networks here; if not, why, in words.
///
/// # Errors
/// The reason.
pub fn ability() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can make them".to_owned());
    }
    let missing: Vec<&str> = ["ip", "nft"]
        .into_iter()
        .filter(|program| {
            let found = Command::new(program)
                .arg("-V")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            !found.is_ok_and(|status| status.success())
        })
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "the program `{}` is missing",
            missing.join("` and `")
        ));
    }
    // What a container forbids shows here at once.
    if nft("list tables\n").is_err() {
        return Err("the kernel refuses rules (nft list tables)".to_owned());
    }
    Ok(())
}

impl Network {
    /// The network of the installation with this key (at most 8 letters and digits): in the subnet that it had before, or else
    /// one that no route of the host leads to.
    ///
    /// # Errors
    /// All subnets are in use.
    pub fn new(key: &str, before: Option<Ipv4Addr>) -> io::Result<Self> {
        let routes = routes(
            &fs::read_to_string("/proc/net/route").unwrap_or_default(),
            &bridge(key),
        );
        let start = key.bytes().fold(7_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        let candidates = (0..BLOCKS.1).map(|step| {
            Ipv4Addr::from(BLOCKS.0 + (start.wrapping_add(step) % BLOCKS.1) * PREFIX.1)
        });
        let subnet = before
            .into_iter()
            .chain(candidates)
            .find(|subnet| routes.iter().all(|route| !overlaps(*route, *subnet)));
        match subnet {
            Some(subnet) => Ok(Self {
                key: key.to_owned(),
                subnet,
            }),
            None => Err(io::Error::other(
                "routes of this machine lead into every subnet of 198.18.0.0/15",
            )),
        }
    }

    /// The subnet's first address; its prefix has 20 bits.
    pub fn subnet(&self) -> Ipv4Addr {
        self.subnet
    }

    /// The bridge's own address: what instances reach the host at.
    pub fn gateway(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// The addresses that instances can have.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        (2..PREFIX.1 - 1).map(|number| self.address(number))
    }

    fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet) + number)
    }

    /// The bridge's name.
    pub fn bridge(&self) -> String {
        bridge(&self.key)
    }

    fn table(&self) -> String {
        format!("launchway_{}", self.key)
    }

    fn namespace(&self, number: u64) -> String {
        format!("{}{number}", self.namespace_prefix())
    }

    fn namespace_prefix(&self) -> String {
        format!("lw-{}-", self.key)
    }

    /// The name of a namespace's link on the host; names of links have at most 15 bytes.
    fn link(&self, number: u64) -> String {
        let short = &self.key[..self.key.len().min(5)];
        format!("lw{short}{:08x}", number & 0xffff_ffff)
    }

    /// The file of a numbered namespace.
    pub fn file(&self, number: u64) -> PathBuf {
        Path::new(NAMESPACES).join(self.namespace(number))
    }

    /// Makes the bridge where it is not there, and lets the host forward.
    ///
    /// # Errors
    /// The host refuses.
    pub fn open(&self) -> io::Result<()> {
        let bridge = self.bridge();
        if !Path::new("/sys/class/net").join(&bridge).exists() {
            let gateway = self.gateway();
            ip(
                None,
                &format!(
                    "link add {bridge} type bridge\n\
                     addr add {gateway}/{} dev {bridge}\n\
                     link set {bridge} up\n",
                    PREFIX.0
                ),
            )?;
        }
        let _ = fs::write(
            format!("/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6"),
            "1",
        );
        // Instances always go by way of the host, so that there is no shorter way to tell them of.
        let _ = fs::write(
            format!("/proc/sys/net/ipv4/conf/{bridge}/send_redirects"),
            "0",
        );
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")
    }

    /// Puts the rules in force, in place of those that were, in one step: the world is open to instances, instances
    /// are closed to all but the host and who is allowed.
    ///
    /// # Errors
    /// The host refuses.
    pub fn enforce(&self, policy: &Policy) -> io::Result<()> {
        nft(&self.rules(policy))
    }

    fn rules(&self, policy: &Policy) -> String {
        let (table, bridge, subnet) = (self.table(), self.bridge(), self.subnet);
        let elements = |list: Vec<String>| {
            if list.is_empty() {
                String::new()
            } else {
                format!("elements = {{ {} }}; ", list.join(", "))
            }
        };
        let pairs = policy
            .pairs
            .iter()
            .map(|(from, to)| format!("{from} . {to}"))
            .collect();
        let to_host = policy.to_host.iter().map(ToString::to_string).collect();
        format!(
            "table ip {table}\n\
             delete table ip {table}\n\
             table ip {table} {{\n\
             set allowed {{ type ipv4_addr . ipv4_addr; {} }}\n\
             set to_host {{ type ipv4_addr; {} }}\n\
             chain forward {{\n\
             type filter hook forward priority -10; policy accept;\n\
             iifname != \"{bridge}\" oifname != \"{bridge}\" accept\n\
             ct state established,related accept\n\
             iifname \"{bridge}\" ip saddr != {subnet}/{prefix} drop\n\
             iifname \"{bridge}\" oifname \"{bridge}\" ip saddr . ip daddr @allowed accept\n\
             oifname \"{bridge}\" drop\n\
             ip daddr 169.254.0.0/16 drop\n\
             }}\n\
             chain input {{\n\
             type filter hook input priority -10; policy accept;\n\
             iifname != \"{bridge}\" accept\n\
             ct state established,related accept\n\
             ip saddr @to_host accept\n\
             udp dport 53 accept\n\
             tcp dport 53 accept\n\
             icmp type echo-request accept\n\
             drop\n\
             }}\n\
             chain outbound {{\n\
             type nat hook postrouting priority 100; policy accept;\n\
             ip saddr {subnet}/{prefix} oifname != \"{bridge}\" masquerade\n\
             }}\n\
             }}\n",
            elements(pairs),
            elements(to_host),
            prefix = PREFIX.0,
        )
    }

    /// Makes a numbered namespace with an address; one that is there already is made anew.
    ///
    /// # Errors
    /// The host refuses; nothing is left then.
    pub fn join(&self, number: u64, address: Ipv4Addr) -> io::Result<PathBuf> {
        let (namespace, link, bridge) = (self.namespace(number), self.link(number), self.bridge());
        self.leave(number);
        let gateway = self.gateway();
        let made = ip(
            None,
            &format!(
                "netns add {namespace}\n\
                 link add {link} type veth peer name eth0 netns {namespace}\n\
                 link set {link} master {bridge}\n\
                 link set {link} type bridge_slave isolated on\n\
                 link set {link} up\n"
            ),
        )
        .and_then(|()| {
            ip(
                Some(&namespace),
                &format!(
                    "link set lo up\n\
                     link set eth0 up\n\
                     addr add {address}/32 dev eth0\n\
                     route add {gateway} dev eth0\n\
                     route add default via {gateway} dev eth0\n"
                ),
            )
        })
        .and_then(|()| self.lead_to_loopback(&namespace));
        if let Err(error) = made {
            self.leave(number);
            return Err(error);
        }
        Ok(self.file(number))
    }

    /// Leads what arrives in a namespace to its loopback.
    fn lead_to_loopback(&self, namespace: &str) -> io::Result<()> {
        let script = "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet && exec nft -f -";
        let rules = "table ip launchway {\n\
             chain arriving {\n\
             type nat hook prerouting priority -100; policy accept;\n\
             iifname \"eth0\" dnat to 127.0.0.1\n\
             }\n\
             }\n";
        let arguments = ["netns", "exec", namespace, "sh", "-c", script];
        feed("ip", arguments, rules)
    }

    /// Removes a numbered namespace and its link. What is not there is no error: it goes with the last process in it.
    pub fn leave(&self, number: u64) {
        let (namespace, link) = (self.namespace(number), self.link(number));
        if Path::new("/sys/class/net").join(&link).exists() {
            let _ = ip(None, &format!("link del {link}\n"));
        }
        if Path::new(NAMESPACES).join(&namespace).exists() {
            let _ = ip(None, &format!("netns del {namespace}\n"));
        }
    }

    /// The numbers of this installation's namespaces that exist.
    pub fn members(&self) -> Vec<u64> {
        let prefix = self.namespace_prefix();
        let mut numbers: Vec<u64> = fs::read_dir(NAMESPACES)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_prefix(&prefix)?
                    .parse()
                    .ok()
            })
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Removes bridge and rules, for when no instance needs them.
    pub fn close(&self) {
        let bridge = self.bridge();
        if Path::new("/sys/class/net").join(&bridge).exists() {
            let _ = ip(None, &format!("link del {bridge}\n"));
        }
        let table = self.table();
        // To remove what may not be there, it is made first.
        let _ = nft(&format!("table ip {table}\ndelete table ip {table}\n"));
    }
}

fn bridge(key: &str) -> String {
    format!("lwbr{key}")
}

/// The host's routes but the default one and those of our own bridge: network and mask. The file has them as the machine's own
/// numbers, in hex.
fn routes(text: &str, own: &str) -> Vec<(u32, u32)> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| {
                let value = u32::from_str_radix(fields.get(at)?, 16).ok()?;
                // The bytes lie as they do in the network.
                Some(u32::from_be_bytes(value.to_ne_bytes()))
            };
            (*fields.first()? != own).then_some(())?;
            let (network, mask) = (number(1)?, number(7)?);
            (mask != 0).then_some((network, mask))
        })
        .collect()
}

fn overlaps((network, mask): (u32, u32), subnet: Ipv4Addr) -> bool {
    let own_mask = u32::MAX << (32 - PREFIX.0);
    let common = mask & own_mask;
    network & common == u32::from(subnet) & common
}

fn ip(namespace: Option<&str>, batch: &str) -> io::Result<()> {
    let mut arguments = Vec::new();
    if let Some(namespace) = namespace {
        arguments.extend(["-n", namespace]);
    }
    arguments.extend(["-batch", "-"]);
    feed("ip", arguments, batch)
}

fn nft(rules: &str) -> io::Result<()> {
    feed("nft", ["-f", "-"], rules)
}

/// Runs a program with this on its standard input.
fn feed(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    input: &str,
) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("cannot start `{program}`: {error}"))
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended already says why below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let mut words = String::new();
    for line in String::from_utf8_lossy(&output.stderr).lines().take(4) {
        let _ = write!(words, " {}", line.trim());
    }
    Err(io::Error::other(format!(
        "`{program}` ended with {}:{words}",
        output.status
    )))
}

#[cfg(test)]
mod tests;
