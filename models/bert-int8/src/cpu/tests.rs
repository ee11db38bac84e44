//! Instructions of each CPU level against plain sums.

use proptest::prelude::*;

use super::*;

fn panel(bytes: &[i8]) -> Panel {
    let (groups, _) = bytes.as_chunks::<GROUP>();
    let (blocks, _) = groups.as_chunks::<PANEL>();
    let blocks: Vec<Block> = blocks.iter().map(|block| Block(*block)).collect();
    let offset =
        |output: usize| -i32::from(ZERO) * blocks.iter().flat_map(|block| block.0[output]).map(i32::from).sum::<i32>();
    Panel { offsets: std::array::from_fn(offset), blocks }
}

struct Products<'a>(&'a [Vec<[u8; GROUP]>; 3], &'a Panel);

impl Kernel for Products<'_> {
    type Output = Sums<3>;

    #[inline(always)]
    fn run(self, cpu: impl Instructions) -> Sums<3> {
        let mut sums = [[1; PANEL]; 3];
        cpu.products(self.0.each_ref().map(Vec::as_slice), self.1, &mut sums);
        sums
    }
}

struct Weigh<'a>([&'a [f32]; 2], &'a [Lanes], usize);

impl Kernel for Weigh<'_> {
    type Output = [Lanes; 2];

    #[inline(always)]
    fn run(self, cpu: impl Instructions) -> [Lanes; 2] {
        cpu.weighted_sums(self.0, self.1, self.2)
    }
}

/// Weights without -128, and with many extremes.
fn weight() -> impl Strategy<Value = i8> {
    prop_oneof![Just(-127_i8), Just(127), -127_i8..=127]
}

fn input() -> impl Strategy<Value = u8> {
    prop_oneof![Just(1_u8), Just(255), 1_u8..=255]
}

/// Weights of some groups, and three rows of inputs.
fn matrices() -> impl Strategy<Value = (Vec<i8>, [Vec<[u8; GROUP]>; 3])> {
    (0_usize..=12).prop_flat_map(|groups| {
        let row = || prop::collection::vec([input(), input(), input(), input()], groups);
        (prop::collection::vec(weight(), groups * GROUP * PANEL), [row(), row(), row()])
    })
}

proptest! {
    #[test]
    fn products_are_exact((weights, rows) in matrices()) {
        let panel = panel(&weights);
        let sum = |row: &[[u8; GROUP]], output: usize| -> i32 {
            let products = panel.blocks.iter().zip(row).flat_map(|(block, inputs)| {
                let pairs = block.0[output].into_iter().zip(*inputs);
                pairs.map(|(weight, input)| i32::from(weight) * (i32::from(input) - 128))
            });
            products.sum()
        };
        let expected: Sums<3> = std::array::from_fn(|row| std::array::from_fn(|output| sum(&rows[row], output)));
        for cpu in Cpu::all() {
            prop_assert_eq!(cpu.run(Products(&rows, &panel)), expected, "{}", cpu);
        }
    }

    #[test]
    fn weighted_sums_have_the_same_bits_everywhere(
        lanes in prop::collection::vec(prop::array::uniform16(-9.0_f32..9.0).prop_map(Lanes), 0..40),
        weights in prop::collection::vec((-3.0_f32..3.0, -3.0_f32..3.0), 40),
        stride in 1_usize..4,
    ) {
        let count = lanes.len().div_ceil(stride);
        let (one, other): (Vec<f32>, Vec<f32>) = weights.into_iter().take(count).unzip();
        let sum = |weights: &[f32]| {
            Lanes(std::array::from_fn(|lane| {
                let products = weights.iter().zip(lanes.iter().step_by(stride));
                products.fold(0.0, |sum: f32, (weight, lanes)| weight.mul_add(lanes.0[lane], sum))
            }))
        };
        for cpu in Cpu::all() {
            let sums = cpu.run(Weigh([&one, &other], &lanes, stride));
            prop_assert_eq!(sums, [sum(&one), sum(&other)], "{}", cpu);
        }
    }
}

/// Unchecked accesses are preceded by checks of lengths.
#[test]
fn rows_of_other_lengths_are_refused_everywhere() {
    let panel = panel(&[1; 3 * GROUP * PANEL]);
    let (short, whole) = (vec![[1; GROUP]; 2], vec![[1; GROUP]; 3]);
    for cpu in Cpu::all() {
        let rows = [whole.clone(), short.clone(), whole.clone()];
        assert!(std::panic::catch_unwind(|| cpu.run(Products(&rows, &panel))).is_err(), "{cpu}");
        let lanes = [Lanes::ZERO; 3];
        let weighted_sums =
            |weights, stride| std::panic::catch_unwind(move || cpu.run(Weigh(weights, &lanes, stride))).is_err();
        assert!(weighted_sums([&[1.0; 3], &[1.0; 2]], 1), "{cpu}");
        assert!(weighted_sums([&[1.0; 4], &[1.0; 4]], 1), "{cpu}");
        assert!(weighted_sums([&[1.0; 3], &[1.0; 3]], 2), "{cpu}");
        assert!(!weighted_sums([&[1.0; 2], &[1.0; 2]], 2), "{cpu}");
    }
}
