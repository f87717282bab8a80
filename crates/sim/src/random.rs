//! A small deterministic generator. The same seed gives the same city on every machine and in every version, so nothing
//! here may depend on anything but its arguments.

/// SplitMix64. Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for one person (or thing) `n` and one topic: changing one topic leaves the others as they are.
    pub fn new(seed: u64, n: u32, topic: &str) -> Self {
        let mut state = mix(seed ^ 0x6b69_6261_6e00_0001);
        state = mix(state ^ u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for byte in topic.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        Self(state)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`; 0 when the limit is 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i32, high: i32) -> i32 {
        low + self.below((high - low + 1).max(1) as u32) as i32
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of the values; none of an empty list.
    pub fn pick<'a, T>(&mut self, values: &'a [T]) -> Option<&'a T> {
        let at = self.below(values.len() as u32);
        values.get(at as usize)
    }

    /// Index drawn by weight; 0 when there is no weight.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut at = self.below(weights.iter().sum());
        for (i, weight) in weights.iter().enumerate() {
            if at < *weight {
                return i;
            }
            at -= weight;
        }
        0
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_arguments_give_the_same_numbers_and_others_differ() {
        let draw = |seed, n, topic| Random::new(seed, n, topic).bits();
        assert_eq!(draw(1, 2, "a"), draw(1, 2, "a"));
        assert_ne!(draw(1, 2, "a"), draw(2, 2, "a"));
        assert_ne!(draw(1, 2, "a"), draw(1, 3, "a"));
        assert_ne!(draw(1, 2, "a"), draw(1, 2, "b"));
    }

    #[test]
    fn draws_stay_in_their_bounds_and_reach_both_ends() {
        let mut random = Random::new(7, 1, "bounds");
        let drawn: Vec<i32> = (0..1_000).map(|_| random.between(-2, 3)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&-2), Some(&3)));
        assert!((0..1_000).all(|_| random.weighted(&[0, 5, 0]) == 1));
    }
}
