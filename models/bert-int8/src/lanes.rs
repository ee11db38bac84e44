//! Numbers side by side, in the order in which they are always summed.

/// How many: a register's, where registers are longest. Shorter ones take several, and round alike.
pub(crate) const LANES: usize = 16;

/// Numbers side by side, aligned as registers are.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Self::of(0.0);

    /// One number in each.
    #[inline(always)]
    pub(crate) const fn of(number: f32) -> Self {
        Self([number; LANES])
    }

    #[inline(always)]
    pub(crate) fn map(mut self, change: impl Fn(f32) -> f32) -> Self {
        for lane in &mut self.0 {
            *lane = change(*lane);
        }
        self
    }

    /// What is made of each lane and another's.
    #[inline(always)]
    pub(crate) fn with(mut self, other: Self, join: impl Fn(f32, f32) -> f32) -> Self {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane = join(*lane, other);
        }
        self
    }

    /// All lanes in one, by halves.
    #[inline(always)]
    pub(crate) fn reduce(self, join: impl Fn(f32, f32) -> f32) -> f32 {
        let Self(mut lanes) = self;
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] = join(lanes[lane], lanes[lane + width]);
            }
            width /= 2;
        }
        lanes[0]
    }

    /// The sum of all lanes.
    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        self.reduce(add)
    }
}

/// Numbers in the order in which they lie.
pub(crate) fn lanes_of(numbers: &[f32]) -> Vec<Lanes> {
    numbers.as_chunks().0.iter().copied().map(Lanes).collect()
}

#[inline(always)]
pub(crate) fn add(one: f32, other: f32) -> f32 {
    one + other
}

/// The greater of both; the second where one is no number: what processors compute at once.
#[inline(always)]
pub(crate) fn greater(one: f32, other: f32) -> f32 {
    if one > other { one } else { other }
}

/// The lesser of both; the second where one is no number.
#[inline(always)]
pub(crate) fn lesser(one: f32, other: f32) -> f32 {
    if one < other { one } else { other }
}

/// e to the power of `x`, to within 2 units in the last place; of what is below -87, e to the power of that.
#[inline(always)]
pub(crate) fn exponential(x: f32) -> f32 {
    /// Added to a number, it leaves the nearest integer in the lowest bits.
    const ROUNDING: f32 = 12_582_912.0;
    /// Of so few digits that its product with a power is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = greater(x, -87.0);
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUNDING);
    let power = rounded - ROUNDING;
    let rest = power.mul_add(-LN_2_LOW, power.mul_add(-LN_2_HIGH, x));
    // The polynomial of Cephes' expf.
    let mut polynomial = 1.987_569_1e-4_f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        polynomial = polynomial.mul_add(rest, coefficient);
    }
    let of_rest = polynomial.mul_add(rest * rest, rest + 1.0);
    // Two to the power of an integer is made of its bits.
    of_rest * f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
}

/// x times the probability that a normally distributed number is below x, to within 2e-7 of x or so.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    // Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: the tail of the error function.
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / z.mul_add(0.327_591_1, 1.0);
    let mut polynomial = 1.061_405_4_f32;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        polynomial = polynomial.mul_add(t, coefficient);
    }
    let tail = polynomial * t * exponential(-z * z);
    (-0.5 * x.abs()).mul_add(tail, greater(x, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_what_their_names_say() {
        // Φ by its series, in double precision.
        let phi = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for k in 1..200 {
                term *= x * x / f64::from(2 * k + 1);
                sum += term;
            }
            0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
        };
        for step in -800..=800_i16 {
            let x = f32::from(step) / 100.0;
            let wide = f64::from(x);
            let exact = wide.exp();
            assert!((f64::from(exponential(x)) - exact).abs() <= 2.5e-7 * exact, "{x}");
            assert!((f64::from(gelu(x)) - wide * phi(wide)).abs() <= 1e-6, "{x}");
        }
        assert_eq!((exponential(0.0), gelu(0.0)), (1.0, 0.0));
        assert!(exponential(-1e30) > 0.0 && exponential(-1e30) < 1e-37);
    }

    #[test]
    fn lanes_become_one() {
        let lanes = Lanes(std::array::from_fn(|lane| f32::from(u8::try_from(lane).unwrap())));
        assert_eq!((lanes.sum(), lanes.reduce(greater)), (120.0, 15.0));
    }
}
