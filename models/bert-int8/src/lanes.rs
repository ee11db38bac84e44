//! Vectors of floats with a fixed order of summation.

/// Floats of the longest register (512 bits). Shorter registers are used in groups, with the same rounding.
pub(crate) const LANES: usize = 16;

/// A vector of floats, aligned as a register.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Self::splat(0.0);

    /// A vector with the number in each lane.
    #[inline(always)]
    pub(crate) const fn splat(number: f32) -> Self {
        Self([number; LANES])
    }

    #[inline(always)]
    pub(crate) fn map(mut self, change: impl Fn(f32) -> f32) -> Self {
        for lane in &mut self.0 {
            *lane = change(*lane);
        }
        self
    }

    /// Joins each lane with that of another vector.
    #[inline(always)]
    pub(crate) fn with(mut self, other: Self, join: impl Fn(f32, f32) -> f32) -> Self {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane = join(*lane, other);
        }
        self
    }

    /// Joins all lanes pairwise, half with half.
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

    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        self.reduce(add)
    }
}

/// Numbers in their order, without the incomplete vector at the end.
pub(crate) fn lanes_of(numbers: &[f32]) -> Vec<Lanes> {
    numbers.as_chunks().0.iter().copied().map(Lanes).collect()
}

#[inline(always)]
pub(crate) fn add(one: f32, other: f32) -> f32 {
    one + other
}

/// The maximum; the second if one is NaN, as in one instruction of CPUs.
#[inline(always)]
pub(crate) fn greater(one: f32, other: f32) -> f32 {
    if one > other { one } else { other }
}

/// The minimum; the second if one is NaN.
#[inline(always)]
pub(crate) fn lesser(one: f32, other: f32) -> f32 {
    if one < other { one } else { other }
}

/// e to the power of `x`, to within 2 units in the last place. `x` is clamped to -87 from below.
#[inline(always)]
pub(crate) fn exponential(x: f32) -> f32 {
    /// A number plus this has the nearest integer in its lowest bits.
    const ROUNDING: f32 = 12_582_912.0;
    /// The high part of ln 2, with few digits, so that its product with an integer is exact.
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
    // Two to the power of an integer, by its bits.
    of_rest * f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
}

/// GELU: x times the standard normal distribution function of x, to within about 2e-7 of x.
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
    fn functions_approximate_those_of_their_names() {
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
    fn lanes_are_reduced() {
        let lanes = Lanes(std::array::from_fn(|lane| f32::from(u8::try_from(lane).unwrap())));
        assert_eq!((lanes.sum(), lanes.reduce(greater)), (120.0, 15.0));
    }
}
