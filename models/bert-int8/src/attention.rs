//! What tokens of one text take from each other.

use crate::cpu::{Instructions, flat};
use crate::lanes::{LANES, Lanes, add, exponential, greater};

/// Tokens whose sums fit into registers together.
const TILE: usize = 8;

/// Room for one head of one text.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    /// Of so many tokens as there are lanes, each component side by side.
    keys: Vec<Lanes>,
    /// For each of some tokens, how much it takes from all.
    shares: Vec<Lanes>,
}

/// Where in a text's rows one head's components are.
#[derive(Clone, Copy)]
struct Head<'a> {
    /// Of each token its query, key and value side by side.
    rows: &'a [Lanes],
    /// Lanes of each of these.
    width: usize,
    /// The first of the head's in each.
    first: usize,
    /// How many of them are the head's.
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
    /// For each token of one text what it takes from all, head by head, each of which has so many lanes of components.
    ///
    /// `rows` has for each token its query, key and value, of `width` lanes each.
    #[inline(always)]
    pub(crate) fn apply(
        &mut self,
        cpu: impl Instructions,
        rows: &[Lanes],
        (width, lanes): (usize, usize),
        taken: &mut [Lanes],
    ) {
        let tokens = rows.len() / (3 * width);
        let blocks = tokens.div_ceil(LANES);
        self.keys.resize(blocks * lanes * LANES, Lanes::ZERO);
        self.shares.resize(blocks * TILE, Lanes::ZERO);
        for first in (0..width).step_by(lanes) {
            let head = Head { rows, width, first, lanes };
            self.lay_out_keys(head, tokens);
            let mut next = 0;
            while next < tokens {
                next += match tokens - next {
                    1 => self.tile::<1>(cpu, head, (next, tokens), taken),
                    2 | 3 => self.tile::<2>(cpu, head, (next, tokens), taken),
                    4..TILE => self.tile::<4>(cpu, head, (next, tokens), taken),
                    _ => self.tile::<TILE>(cpu, head, (next, tokens), taken),
                };
            }
        }
    }

    #[inline(always)]
    fn lay_out_keys(&mut self, head: Head<'_>, tokens: usize) {
        for (block, keys) in self.keys.chunks_exact_mut(head.lanes * LANES).enumerate() {
            for lane in 0..LANES.min(tokens - block * LANES) {
                let key = head.part(KEY, block * LANES + lane).iter().flat_map(|lanes| lanes.0);
                for (lanes, component) in keys.iter_mut().zip(key) {
                    lanes.0[lane] = component;
                }
            }
        }
    }

    /// What some tokens take; says how many.
    #[inline(always)]
    fn tile<const TOKENS: usize>(
        &mut self,
        cpu: impl Instructions,
        head: Head<'_>,
        (first, tokens): (usize, usize),
        taken: &mut [Lanes],
    ) -> usize {
        let blocks = tokens.div_ceil(LANES);
        let queries: [&[f32]; TOKENS] = std::array::from_fn(|token| flat(head.part(QUERY, first + token)));
        for (block, keys) in self.keys.chunks_exact(head.lanes * LANES).enumerate() {
            for (token, scores) in cpu.weigh(queries, keys, 1).into_iter().enumerate() {
                self.shares[token * blocks + block] = scores;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a head has a few dozen components")]
        let scale = 1.0 / ((head.lanes * LANES) as f32).sqrt();
        for scores in self.shares.chunks_exact_mut(blocks).take(TOKENS) {
            share_out(scores, scale, tokens);
        }
        let shares: [&[f32]; TOKENS] =
            std::array::from_fn(|token| &flat(&self.shares[token * blocks..][..blocks])[..tokens]);
        for lane in 0..head.lanes {
            let values = &head.rows[VALUE * head.width + head.first + lane..];
            for (token, sums) in (first..).zip(cpu.weigh(shares, values, 3 * head.width)) {
                taken[token * head.width + head.first + lane] = sums;
            }
        }
        TOKENS
    }
}

/// Scores become shares, which sum to 1; what is beyond the text's tokens gets none.
#[inline(always)]
fn share_out(scores: &mut [Lanes], scale: f32, tokens: usize) {
    if let Some(last) = scores.last_mut() {
        last.0[(tokens - 1) % LANES + 1..].fill(f32::NEG_INFINITY);
    }
    let most = scores.iter().fold(Lanes::of(f32::NEG_INFINITY), |most, scores| most.with(*scores, greater));
    let most = most.reduce(greater);
    let mut sums = Lanes::ZERO;
    for scores in &mut *scores {
        *scores = scores.map(|score| exponential((score - most) * scale));
        sums = sums.with(*scores, add);
    }
    let per_sum = 1.0 / sums.sum();
    for scores in scores {
        *scores = scores.map(|share| share * per_sum);
    }
}
