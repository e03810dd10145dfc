//! Chance that is the same on every machine: the finisher of splitmix64 over a counter.

pub(crate) struct Dice(pub(crate) u64);

#[cfg_attr(
    not(feature = "kinds"),
    expect(dead_code, reason = "tests of the kinds draw in more ways")
)]
impl Dice {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut state = self.0;
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    /// A number from 0 on and below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.draw() >> 11) as f64) / ((1_u64 << 53) as f64)
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Of the standard normal distribution (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// The numbers below a bound, in a random order.
    pub(crate) fn shuffled(&mut self, bound: usize) -> Vec<usize> {
        let mut list: Vec<usize> = (0..bound).collect();
        for at in (1..bound).rev() {
            let other = self.below(at + 1);
            list.swap(at, other);
        }
        list
    }
}
