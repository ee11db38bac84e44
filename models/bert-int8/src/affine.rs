//! A product with weights, and a sum.

use crate::cpu::{Block, GROUP, Instructions, PANEL, Panel, Sums, ZERO};
use crate::lanes::{LANES, Lanes, add, gelu};
use crate::rows::QuantisedRows;

/// Rows whose sums fit into registers together with the weights that they share.
const TILE: usize = 6;
/// How many lanes a panel's outputs take.
const PANEL_LANES: usize = PANEL / LANES;

/// What becomes of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then<'a> {
    Keep,
    Gelu,
    /// These rows are added to it.
    Add(&'a [Lanes]),
}

/// Weights as bytes, each output's with a unit of its own, and its bias.
pub(crate) struct Affine {
    panels: Vec<Outputs>,
    groups: usize,
}

/// A panel of outputs.
struct Outputs {
    weights: Panel,
    units: [Lanes; PANEL_LANES],
    biases: [Lanes; PANEL_LANES],
    /// Each output's for inputs of 1: what the middle of a row is multiplied with.
    of_ones: [Lanes; PANEL_LANES],
}

/// Whether a matrix of this size can be had as an [`Affine`]: outputs come in panels, and inputs are outputs of others.
pub(crate) fn fits(outputs: usize, inputs: usize) -> bool {
    outputs.is_multiple_of(PANEL) && inputs.is_multiple_of(PANEL)
}

impl Affine {
    /// Of weights by output and input.
    pub(crate) fn new(weights: &[f32], biases: &[f32]) -> Self {
        let inputs = weights.len() / biases.len();
        let panels = weights.chunks_exact(inputs * PANEL).zip(biases.as_chunks().0);
        Self { panels: panels.map(|(weights, biases)| Outputs::new(weights, biases)).collect(), groups: inputs / GROUP }
    }

    /// Sets `outputs`, for each of the rows as many as there are.
    #[inline(always)]
    pub(crate) fn forward(&self, cpu: impl Instructions, rows: &QuantisedRows, then: Then<'_>, outputs: &mut [Lanes]) {
        for panel in 0..self.panels.len() {
            let mut row = 0;
            while row < rows.count() {
                row += match rows.count() - row {
                    1 => self.tile::<1>(cpu, (row, panel), rows, then, outputs),
                    2 => self.tile::<2>(cpu, (row, panel), rows, then, outputs),
                    3 => self.tile::<3>(cpu, (row, panel), rows, then, outputs),
                    4 => self.tile::<4>(cpu, (row, panel), rows, then, outputs),
                    5 => self.tile::<5>(cpu, (row, panel), rows, then, outputs),
                    _ => self.tile::<TILE>(cpu, (row, panel), rows, then, outputs),
                };
            }
        }
    }

    /// The outputs of one panel for some rows; says for how many.
    #[inline(always)]
    fn tile<const ROWS: usize>(
        &self,
        cpu: impl Instructions,
        (first, number): (usize, usize),
        rows: &QuantisedRows,
        then: Then<'_>,
        outputs: &mut [Lanes],
    ) -> usize {
        let panel = &self.panels[number];
        let inputs: [_; ROWS] = std::array::from_fn(|row| rows.row(first + row, self.groups));
        let mut sums: Sums<ROWS> = [[0; PANEL]; ROWS];
        cpu.products(inputs, &panel.weights, &mut sums);
        for (row, sums) in (first..).zip(&sums) {
            let at = (row * self.panels.len() + number) * PANEL_LANES;
            let (unit, middle) = (rows.unit(row), rows.middle(row));
            for (lane, sums) in sums.as_chunks::<LANES>().0.iter().enumerate() {
                #[expect(clippy::cast_precision_loss, reason = "a sum has fewer digits to say than a float has")]
                let sums = Lanes(sums.map(|sum| sum as f32));
                let products = sums.with(panel.units[lane].map(|of_output| of_output * unit), |sum, unit| sum * unit);
                let of_middle =
                    panel.of_ones[lane].with(panel.biases[lane], |of_ones, bias| of_ones.mul_add(middle, bias));
                let output = products.with(of_middle, add);
                outputs[at + lane] = match then {
                    Then::Keep => output,
                    Then::Gelu => output.map(gelu),
                    Then::Add(others) => output.with(others[at + lane], add),
                };
            }
        }
        ROWS
    }
}

impl Outputs {
    fn new(weights: &[f32], biases: &[f32; PANEL]) -> Self {
        let inputs = weights.len() / PANEL;
        let mut blocks = vec![Block([[0; GROUP]; PANEL]); inputs / GROUP];
        let mut offsets = [0; PANEL];
        let (mut units, mut of_ones) = ([0.0; PANEL], [0.0; PANEL]);
        for (output, weights) in weights.chunks_exact(inputs).enumerate() {
            let most = weights.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
            units[output] = most / 127.0;
            let per_unit = if most > 0.0 { 127.0 / most } else { 0.0 };
            for (block, weights) in blocks.iter_mut().zip(weights.as_chunks::<GROUP>().0) {
                #[expect(clippy::cast_possible_truncation, reason = "at most 127")]
                let bytes = weights.map(|weight| (weight * per_unit).round_ties_even() as i8);
                block.0[output] = bytes;
                offsets[output] -= i32::from(ZERO) * bytes.into_iter().map(i32::from).sum::<i32>();
            }
            #[expect(clippy::cast_precision_loss, reason = "as precise as a float is")]
            let sum = (-offsets[output] / i32::from(ZERO)) as f32;
            of_ones[output] = sum * units[output];
        }
        let weights = Panel { blocks, offsets };
        Self { weights, units: in_lanes(&units), biases: in_lanes(biases), of_ones: in_lanes(&of_ones) }
    }
}

fn in_lanes(numbers: &[f32; PANEL]) -> [Lanes; PANEL_LANES] {
    std::array::from_fn(|lane| Lanes(std::array::from_fn(|number| numbers[lane * LANES + number])))
}
