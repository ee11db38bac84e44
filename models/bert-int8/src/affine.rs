//! Quantised affine layers.

use crate::cpu::{Block, GROUP, Instructions, PANEL, Panel, Sums, ZERO};
use crate::lanes::{LANES, Lanes, add, gelu};
use crate::rows::QuantisedRows;

/// Rows whose sums fit into registers beside the weights that they share.
const TILE: usize = 6;
/// Lanes of a panel's outputs.
const PANEL_LANES: usize = PANEL / LANES;

/// Operation on the outputs of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Epilogue<'a> {
    None,
    Gelu,
    /// Adds rows (a residual connection).
    Add(&'a [Lanes]),
}

/// Weights as bytes with a scale per output, and biases.
pub(crate) struct Affine {
    panels: Vec<OutputPanel>,
    groups: usize,
}

/// A panel of outputs.
struct OutputPanel {
    weights: Panel,
    scales: [Lanes; PANEL_LANES],
    biases: [Lanes; PANEL_LANES],
    /// Each output's sum of weights, which is multiplied with a row's midpoint.
    weight_sums: [Lanes; PANEL_LANES],
}

/// True if an [`Affine`] supports a matrix of this size: outputs come in panels, and inputs are outputs of other
/// layers.
pub(crate) fn is_supported(outputs: usize, inputs: usize) -> bool {
    outputs.is_multiple_of(PANEL) && inputs.is_multiple_of(PANEL)
}

impl Affine {
    /// Quantises weights in order of output, then input.
    pub(crate) fn new(weights: &[f32], biases: &[f32]) -> Self {
        let inputs = weights.len() / biases.len();
        let panels = weights.chunks_exact(inputs * PANEL).zip(biases.as_chunks().0);
        Self {
            panels: panels.map(|(weights, biases)| OutputPanel::new(weights, biases)).collect(),
            groups: inputs / GROUP,
        }
    }

    /// Sets the outputs of all rows.
    #[inline(always)]
    pub(crate) fn forward(
        &self,
        cpu: impl Instructions,
        rows: &QuantisedRows,
        epilogue: Epilogue<'_>,
        outputs: &mut [Lanes],
    ) {
        for panel in 0..self.panels.len() {
            let mut row = 0;
            while row < rows.count() {
                row += match rows.count() - row {
                    1 => self.tile::<1>(cpu, (row, panel), rows, epilogue, outputs),
                    2 => self.tile::<2>(cpu, (row, panel), rows, epilogue, outputs),
                    3 => self.tile::<3>(cpu, (row, panel), rows, epilogue, outputs),
                    4 => self.tile::<4>(cpu, (row, panel), rows, epilogue, outputs),
                    5 => self.tile::<5>(cpu, (row, panel), rows, epilogue, outputs),
                    _ => self.tile::<TILE>(cpu, (row, panel), rows, epilogue, outputs),
                };
            }
        }
    }

    /// Sets the outputs of one panel for a tile of rows; gives their number.
    #[inline(always)]
    fn tile<const ROWS: usize>(
        &self,
        cpu: impl Instructions,
        (first, number): (usize, usize),
        rows: &QuantisedRows,
        epilogue: Epilogue<'_>,
        outputs: &mut [Lanes],
    ) -> usize {
        let panel = &self.panels[number];
        let inputs: [_; ROWS] = std::array::from_fn(|row| rows.row(first + row, self.groups));
        let mut sums: Sums<ROWS> = [[0; PANEL]; ROWS];
        cpu.products(inputs, &panel.weights, &mut sums);
        for (row, sums) in (first..).zip(&sums) {
            let at = (row * self.panels.len() + number) * PANEL_LANES;
            let (scale, midpoint) = (rows.scale(row), rows.midpoint(row));
            for (lane, sums) in sums.as_chunks::<LANES>().0.iter().enumerate() {
                #[expect(clippy::cast_precision_loss, reason = "a sum has fewer significant digits than a float")]
                let sums = Lanes(sums.map(|sum| sum as f32));
                let products =
                    sums.with(panel.scales[lane].map(|output_scale| output_scale * scale), |sum, scale| sum * scale);
                let offsets = panel.weight_sums[lane].with(panel.biases[lane], |sum, bias| sum.mul_add(midpoint, bias));
                let output = products.with(offsets, add);
                outputs[at + lane] = match epilogue {
                    Epilogue::None => output,
                    Epilogue::Gelu => output.map(gelu),
                    Epilogue::Add(others) => output.with(others[at + lane], add),
                };
            }
        }
        ROWS
    }
}

impl OutputPanel {
    fn new(weights: &[f32], biases: &[f32; PANEL]) -> Self {
        let inputs = weights.len() / PANEL;
        let mut blocks = vec![Block([[0; GROUP]; PANEL]); inputs / GROUP];
        let mut offsets = [0; PANEL];
        let (mut scales, mut weight_sums) = ([0.0; PANEL], [0.0; PANEL]);
        for (output, weights) in weights.chunks_exact(inputs).enumerate() {
            let maximum = weights.iter().fold(0.0_f32, |maximum, weight| maximum.max(weight.abs()));
            scales[output] = maximum / 127.0;
            let per_step = if maximum > 0.0 { 127.0 / maximum } else { 0.0 };
            for (block, weights) in blocks.iter_mut().zip(weights.as_chunks::<GROUP>().0) {
                #[expect(clippy::cast_possible_truncation, reason = "at maximum 127")]
                let bytes = weights.map(|weight| (weight * per_step).round_ties_even() as i8);
                block.0[output] = bytes;
                offsets[output] -= i32::from(ZERO) * bytes.into_iter().map(i32::from).sum::<i32>();
            }
            #[expect(clippy::cast_precision_loss, reason = "within the precision of a float")]
            let sum = (-offsets[output] / i32::from(ZERO)) as f32;
            weight_sums[output] = sum * scales[output];
        }
        let weights = Panel { blocks, offsets };
        Self { weights, scales: in_lanes(&scales), biases: in_lanes(biases), weight_sums: in_lanes(&weight_sums) }
    }
}

fn in_lanes(numbers: &[f32; PANEL]) -> [Lanes; PANEL_LANES] {
    std::array::from_fn(|lane| Lanes(std::array::from_fn(|number| numbers[lane * LANES + number])))
}
