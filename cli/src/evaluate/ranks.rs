//! Rank metrics: Spearman's correlation and nDCG.

/// Spearman's rank correlation. None for fewer than two pairs, or if one side is constant.
pub(super) fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    let (ones, others): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (ones, others) = (centred(ranks(&ones)), centred(ranks(&others)));
    let product = |one: &[f64], other: &[f64]| -> f64 { one.iter().zip(other).map(|(x, y)| x * y).sum() };
    let scale = (product(&ones, &ones) * product(&others, &others)).sqrt();
    (scale > 0.0).then(|| product(&ones, &others) / scale)
}

/// Rank of each number; equal numbers share the mean of their ranks.
#[expect(clippy::cast_precision_loss, reason = "ranks of some thousand numbers")]
fn ranks(numbers: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|one, other| numbers[*one].total_cmp(&numbers[*other]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut first = 0;
    for equal in order.chunk_by(|one, other| numbers[*one].total_cmp(&numbers[*other]).is_eq()) {
        let rank = first as f64 + (equal.len() - 1) as f64 / 2.0;
        for number in equal {
            ranks[*number] = rank;
        }
        first += equal.len();
    }
    ranks
}

/// The mean; NaN without numbers.
#[expect(clippy::cast_precision_loss, reason = "a mean of some thousand numbers")]
pub(super) fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

fn centred(mut numbers: Vec<f64>) -> Vec<f64> {
    let mean = mean(&numbers);
    for number in &mut numbers {
        *number -= mean;
    }
    numbers
}

/// Normalised discounted cumulative gain of the first entries of a list, at most 1. `found` are the grades of the list
/// in its order, `relevant` all grades above 0.
pub(super) fn discounted_gain(
    found: impl Iterator<Item = u8>,
    relevant: impl Iterator<Item = u8>,
    listed: usize,
) -> f64 {
    let gain = |grades: &mut dyn Iterator<Item = u8>| -> f64 {
        let gains = (2_u32..).zip(grades.take(listed));
        gains.map(|(rank, grade)| (f64::from(grade).exp2() - 1.0) / f64::from(rank).log2()).sum()
    };
    let mut best: Vec<u8> = relevant.collect();
    best.sort_unstable_by(|one, other| other.cmp(one));
    let (gained, possible) = (gain(&mut found.into_iter()), gain(&mut best.into_iter()));
    // Avoids a negative zero.
    if gained > 0.0 { gained / possible } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_compared() {
        let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-12;
        assert!(close(spearman(&[(1.0, 10.0), (2.0, 100.0), (3.0, 1000.0)]), 1.0));
        assert!(close(spearman(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), -1.0));
        // Ranks 0, 1.5, 1.5, 3 beside 0, 1, 2, 3.
        let ties = spearman(&[(1.0, 1.0), (2.0, 2.0), (2.0, 3.0), (3.0, 4.0)]);
        assert!(close(ties, 4.5 / (4.5_f64 * 5.0).sqrt()), "{ties:?}");
        assert_eq!(spearman(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(spearman(&[]), None);
    }

    #[test]
    fn the_first_place_gains_most() {
        let gain = |found: &[u8], relevant: &[u8]| discounted_gain(found.iter().copied(), relevant.iter().copied(), 3);
        assert!((gain(&[2, 1, 0], &[1, 2]) - 1.0).abs() < 1e-12);
        assert!(gain(&[1, 2, 0], &[1, 2]) < 1.0);
        assert!((gain(&[0, 0, 0, 2], &[2])).abs() < 1e-12, "the fourth is not seen");
        assert!((gain(&[0, 2, 0], &[2]) - 1.0 / 3.0_f64.log2()).abs() < 1e-12);
        assert!((gain(&[2, 2, 2], &[2, 2, 2, 2]) - 1.0).abs() < 1e-12);
        assert!(gain(&[], &[]).abs() < 1e-12);
    }
}
