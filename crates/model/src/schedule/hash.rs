//! The values that `H` stands for: those that Jenkins draws, so that a job that moves here keeps its minute.
//!
//! Jenkins folds the MD5 of the job's name to 64 bits, seeds Java's linear congruential generator with them, and takes one
//! number for each `H`, in the order in which they are written. The generator's constants are those that the
//! documentation of `java.util.Random` states.

use md5::{Digest, Md5};

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const MASK: u64 = (1 << 48) - 1;

/// A row of numbers that depends on a seed alone.
#[derive(Debug, Clone)]
pub(super) struct Hash {
    state: u64,
}

impl Hash {
    pub(super) fn new(seed: &str) -> Self {
        let digest = Md5::digest(seed.as_bytes());
        let mut folded = 0_u64;
        for index in 0..8 {
            let byte = digest[index] ^ digest[index + 8];
            folded = folded << 8 | u64::from(byte);
        }
        Self::with_folded(folded)
    }

    /// The row of a seed that was folded already.
    pub(super) fn with_folded(folded: u64) -> Self {
        Self {
            state: (folded ^ MULTIPLIER) & MASK,
        }
    }

    /// A number from 0 to below `bound`, which is from 1 to 60 here.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let bound = u64::from(bound.max(1));
        if bound.is_power_of_two() {
            return u32::try_from((bound * self.draw()) >> 31).unwrap_or(0);
        }
        loop {
            let drawn = self.draw();
            let value = drawn % bound;
            // The last numbers of the range are no full round of `bound`; taking them would prefer small values.
            if drawn - value + (bound - 1) < 1 << 31 {
                return u32::try_from(value).unwrap_or(0);
            }
        }
    }

    /// 31 bits.
    fn draw(&mut self) -> u64 {
        self.state = (self.state.wrapping_mul(MULTIPLIER) + 0xB) & MASK;
        self.state >> 17
    }
}
