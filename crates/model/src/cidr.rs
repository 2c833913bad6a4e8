//! Ranges of IP addresses in CIDR notation.

use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    base: u128,
    bits: u8,
    v4: bool,
}

/// A text is not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a range like 10.0.0.0/8")]
pub struct CidrError(String);

impl Cidr {
    /// Whether the address is in the range. An IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (value, v4) = number(address);
        let width = if v4 { 32 } else { 128 };
        v4 == self.v4 && mask(value, self.bits, width) == self.base
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let (value, v4) = number(address.parse().map_err(|_| wrong())?);
        let width = if v4 { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| wrong())?,
            None => width,
        };
        if bits > width {
            return Err(wrong());
        }
        Ok(Self {
            base: mask(value, bits, width),
            bits,
            v4,
        })
    }
}

fn number(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(u32::from(address)), true),
        IpAddr::V6(address) => (u128::from(address), false),
    }
}

fn mask(value: u128, bits: u8, width: u8) -> u128 {
    let away = u32::from(width - bits);
    value
        .checked_shr(away)
        .unwrap_or(0)
        .checked_shl(away)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
