//! A small network of arbitrary weights against a reference implementation in double precision.
#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use super::*;

const SHAPE: Shape = Shape {
    vocabulary: 50,
    positions: 80,
    types: 2,
    hidden: 128,
    intermediate: 192,
    heads: 4,
    layers: 2,
    epsilon: 1e-12,
};

/// Pseudo-random tensors, a function of their names.
struct Arbitrary;

impl Weights for Arbitrary {
    type Error = ShapeError;

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ShapeError> {
        let seed = name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
        let centre = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let spread = 1.5 / (SHAPE.hidden as f32).sqrt();
        let number = |at: u64| {
            // SplitMix64.
            let mut bits = seed.wrapping_add((at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let fraction = (bits >> 40) as f32 / (1 << 24) as f32;
            centre + (2.0 * fraction - 1.0) * spread
        };
        Ok((0..shape.iter().product::<usize>() as u64).map(number).collect())
    }
}

fn tensor(name: &str, shape: &[usize]) -> Vec<f64> {
    Arbitrary.tensor(name, shape).unwrap().into_iter().map(f64::from).collect()
}

fn affine(rows: &[Vec<f64>], name: &str, outputs: usize) -> Vec<Vec<f64>> {
    let inputs = rows[0].len();
    let (weights, biases) =
        (tensor(&format!("{name}.weight"), &[outputs, inputs]), tensor(&format!("{name}.bias"), &[outputs]));
    let output = |row: &[f64], output: usize| -> f64 {
        biases[output] + weights[output * inputs..][..inputs].iter().zip(row).map(|(w, x)| w * x).sum::<f64>()
    };
    rows.iter().map(|row| (0..outputs).map(|number| output(row, number)).collect()).collect()
}

fn norm(rows: &mut [Vec<f64>], name: &str) {
    let part = |part: &str| tensor(&format!("{name}.LayerNorm.{part}"), &[SHAPE.hidden]);
    let (gain, shift) = (part("weight"), part("bias"));
    for row in rows {
        let hidden = row.len() as f64;
        let mean = row.iter().sum::<f64>() / hidden;
        let deviation = (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / hidden).sqrt();
        for (x, (gain, shift)) in row.iter_mut().zip(gain.iter().zip(&shift)) {
            *x = (*x - mean) / deviation * gain + shift;
        }
    }
}

fn plus(one: &[Vec<f64>], other: &[Vec<f64>]) -> Vec<Vec<f64>> {
    one.iter().zip(other).map(|(one, other)| one.iter().zip(other).map(|(x, y)| x + y).collect()).collect()
}

/// The tanh approximation of GELU.
fn gelu(x: f64) -> f64 {
    x / 2.0 * (1.0 + (0.797_884_560_802_865 * (x + 0.044_715 * x.powi(3))).tanh())
}

fn expected(text: &[u32]) -> Vec<f64> {
    let hidden = SHAPE.hidden;
    let words = tensor("embeddings.word_embeddings.weight", &[SHAPE.vocabulary, hidden]);
    let positions = tensor("embeddings.position_embeddings.weight", &[SHAPE.positions, hidden]);
    let types = tensor("embeddings.token_type_embeddings.weight", &[SHAPE.types, hidden]);
    let row = |(position, id): (usize, &u32)| -> Vec<f64> {
        (0..hidden)
            .map(|at| words[*id as usize * hidden + at] + positions[position * hidden + at] + types[at])
            .collect()
    };
    let mut rows: Vec<Vec<f64>> = text.iter().enumerate().map(row).collect();
    norm(&mut rows, "embeddings");
    for layer in 0..SHAPE.layers {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let [query, key, value] =
            ["query", "key", "value"].map(|part| affine(&rows, &name(&format!("attention.self.{part}")), hidden));
        let head_size = hidden / SHAPE.heads;
        let mut context = vec![vec![0.0; hidden]; rows.len()];
        for first in (0..hidden).step_by(head_size) {
            for (query, context) in query.iter().zip(&mut context) {
                let weight = |key: &Vec<f64>| -> f64 {
                    let product: f64 = (first..first + head_size).map(|at| query[at] * key[at]).sum();
                    (product / (head_size as f64).sqrt()).exp()
                };
                let weights: Vec<f64> = key.iter().map(weight).collect();
                let sum: f64 = weights.iter().sum();
                for at in first..first + head_size {
                    context[at] = value.iter().zip(&weights).map(|(value, weight)| value[at] * weight / sum).sum();
                }
            }
        }
        rows = plus(&affine(&context, &name("attention.output.dense"), hidden), &rows);
        norm(&mut rows, &name("attention.output"));
        let mut intermediate = affine(&rows, &name("intermediate.dense"), SHAPE.intermediate);
        intermediate.iter_mut().flatten().for_each(|x| *x = gelu(*x));
        rows = plus(&affine(&intermediate, &name("output.dense"), hidden), &rows);
        norm(&mut rows, &name("output"));
    }
    let mean: Vec<f64> = (0..hidden).map(|at| rows.iter().map(|row| row[at]).sum()).collect();
    let length = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
    mean.into_iter().map(|x| x / length).collect()
}

/// Texts of these lengths in tokens.
fn texts(lengths: &[u32]) -> Vec<Vec<u32>> {
    lengths.iter().map(|length| (0..*length).map(|at| (at * 7 + length * 13) % 50).collect()).collect()
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|component| component.to_bits()).collect()
}

#[test]
fn vectors_are_those_of_the_reference() {
    let network = Bert::load(SHAPE, &mut Arbitrary).unwrap();
    for text in texts(&[1, 2, 7, 8, 15, 16, 17, 33, 80]) {
        let vector = network.embed(Cpu::detect(), &[&text], &mut Scratch::default()).remove(0);
        let cosine: f64 = vector.iter().zip(expected(&text)).map(|(one, other)| f64::from(*one) * other).sum();
        assert!(cosine > 0.999, "{cosine} for {} tokens", text.len());
        let length: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6, "{length}");
    }
}

#[test]
fn every_cpu_gives_the_same_bits_in_any_batch() {
    let network = Bert::load(SHAPE, &mut Arbitrary).unwrap();
    let texts = texts(&[1, 3, 5, 16, 17, 40, 8, 2, 80, 6]);
    let mut scratch = Scratch::default();
    let mut alone = |text: &Vec<u32>| bits(&network.embed(Cpu::detect(), &[text], &mut scratch)[0]);
    let alone: Vec<Vec<u32>> = texts.iter().map(&mut alone).collect();
    let mut scratch = Scratch::default();
    for cpu in Cpu::all() {
        for first in 0..texts.len() {
            let batch: Vec<&[u32]> = texts[first..].iter().map(Vec::as_slice).collect();
            for (vector, alone) in network.embed(cpu, &batch, &mut scratch).iter().zip(&alone[first..]) {
                assert_eq!(bits(vector), *alone, "{cpu}, from text {first}");
            }
        }
    }
}

#[test]
fn a_text_without_tokens_has_the_vector_0() {
    let network = Bert::load(SHAPE, &mut Arbitrary).unwrap();
    let vectors = network.embed(Cpu::detect(), &[&[], &[4]], &mut Scratch::default());
    assert!(vectors[0].iter().all(|component| *component == 0.0) && vectors[0].len() == SHAPE.hidden);
    let alone = network.embed(Cpu::detect(), &[&[4]], &mut Scratch::default());
    assert_eq!(bits(&vectors[1]), bits(&alone[0]));
    assert_eq!(network.embed(Cpu::detect(), &[], &mut Scratch::default()).len(), 0);
}

#[test]
fn an_unsupported_shape_is_refused() {
    for shape in [
        Shape { hidden: 120, ..SHAPE },
        Shape { intermediate: 100, ..SHAPE },
        Shape { heads: 0, ..SHAPE },
        Shape { heads: 3, ..SHAPE },
        Shape { heads: 8, ..SHAPE },
    ] {
        let Err(error) = Bert::load(shape, &mut Arbitrary) else { panic!("{shape:?} is computed") };
        assert!(error.to_string().contains("multiples of 64"), "{error}");
    }
}
