//! Multi-head attention within one text.

use crate::cpu::{Instructions, flat};
use crate::lanes::{LANES, Lanes, add, exponential, greater};

/// Tokens whose sums fit into registers at once.
const TILE: usize = 8;

/// Buffers for one head of one text.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    /// Transposed keys: for each block of [`LANES`] tokens, a component of all of them per lane vector.
    keys: Vec<Lanes>,
    /// Attention weights of a tile of tokens over all tokens.
    weights: Vec<Lanes>,
}

/// One head's components in a text's rows.
#[derive(Clone, Copy)]
struct Head<'a> {
    /// For each token its query, key and value side by side.
    rows: &'a [Lanes],
    /// Lanes of each of the three.
    width: usize,
    /// The head's first lane in each.
    first: usize,
    /// Number of the head's lanes.
    lanes: usize,
}

const QUERY: usize = 0;
const KEY: usize = 1;
const VALUE: usize = 2;

impl Head<'_> {
    #[inline(always)]
    fn part(&self, part: usize, token: usize) -> &[Lanes] {
        &self.rows[(3 * token + part) * self.width + self.first..][..self.lanes]
    }
}

impl Attention {
    /// Sets `context` for each token of a text, head by head; a head has `lanes` lanes. `rows` has for each token its
    /// query, key and value, of `width` lanes each.
    #[inline(always)]
    pub(crate) fn apply(
        &mut self,
        cpu: impl Instructions,
        rows: &[Lanes],
        (width, lanes): (usize, usize),
        context: &mut [Lanes],
    ) {
        let tokens = rows.len() / (3 * width);
        let blocks = tokens.div_ceil(LANES);
        self.keys.resize(blocks * lanes * LANES, Lanes::ZERO);
        self.weights.resize(blocks * TILE, Lanes::ZERO);
        for first in (0..width).step_by(lanes) {
            let head = Head { rows, width, first, lanes };
            self.transpose_keys(head, tokens);
            let mut next = 0;
            while next < tokens {
                next += match tokens - next {
                    1 => self.tile::<1>(cpu, head, (next, tokens), context),
                    2 | 3 => self.tile::<2>(cpu, head, (next, tokens), context),
                    4..TILE => self.tile::<4>(cpu, head, (next, tokens), context),
                    _ => self.tile::<TILE>(cpu, head, (next, tokens), context),
                };
            }
        }
    }

    #[inline(always)]
    fn transpose_keys(&mut self, head: Head<'_>, tokens: usize) {
        for (block, keys) in self.keys.chunks_exact_mut(head.lanes * LANES).enumerate() {
            for lane in 0..LANES.min(tokens - block * LANES) {
                let key = head.part(KEY, block * LANES + lane).iter().flat_map(|lanes| lanes.0);
                for (lanes, component) in keys.iter_mut().zip(key) {
                    lanes.0[lane] = component;
                }
            }
        }
    }

    /// Sets the context of a tile of tokens; gives their number.
    #[inline(always)]
    fn tile<const TOKENS: usize>(
        &mut self,
        cpu: impl Instructions,
        head: Head<'_>,
        (first, tokens): (usize, usize),
        context: &mut [Lanes],
    ) -> usize {
        let blocks = tokens.div_ceil(LANES);
        let queries: [&[f32]; TOKENS] = std::array::from_fn(|token| flat(head.part(QUERY, first + token)));
        for (block, keys) in self.keys.chunks_exact(head.lanes * LANES).enumerate() {
            for (token, scores) in cpu.weighted_sums(queries, keys, 1).into_iter().enumerate() {
                self.weights[token * blocks + block] = scores;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a head has a few dozen components")]
        let scale = 1.0 / ((head.lanes * LANES) as f32).sqrt();
        for scores in self.weights.chunks_exact_mut(blocks).take(TOKENS) {
            softmax(scores, scale, tokens);
        }
        let weights: [&[f32]; TOKENS] =
            std::array::from_fn(|token| &flat(&self.weights[token * blocks..][..blocks])[..tokens]);
        for lane in 0..head.lanes {
            let values = &head.rows[VALUE * head.width + head.first + lane..];
            for (token, sums) in (first..).zip(cpu.weighted_sums(weights, values, 3 * head.width)) {
                context[token * head.width + head.first + lane] = sums;
            }
        }
        TOKENS
    }
}

/// Softmax over scaled scores. Lanes beyond the text's tokens get 0.
#[inline(always)]
fn softmax(scores: &mut [Lanes], scale: f32, tokens: usize) {
    if let Some(last) = scores.last_mut() {
        last.0[(tokens - 1) % LANES + 1..].fill(f32::NEG_INFINITY);
    }
    let maximum = scores.iter().fold(Lanes::splat(f32::NEG_INFINITY), |maximum, scores| maximum.with(*scores, greater));
    let maximum = maximum.reduce(greater);
    let mut sums = Lanes::ZERO;
    for scores in &mut *scores {
        *scores = scores.map(|score| exponential((score - maximum) * scale));
        sums = sums.with(*scores, add);
    }
    let per_sum = 1.0 / sums.sum();
    for scores in scores {
        *scores = scores.map(|weight| weight * per_sum);
    }
}
