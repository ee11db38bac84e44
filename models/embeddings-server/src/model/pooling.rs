//! Mean pooling.

/// The mean of `rows`, each of `dimensions` components, scaled to length 1.
pub(super) fn normalised_mean(rows: &[f32], dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    for row in rows.chunks_exact(dimensions) {
        for (sum, component) in sum.iter_mut().zip(row) {
            *sum += component;
        }
    }
    // Scaled to length 1, the sum equals the mean.
    let length = sum.iter().map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        for component in &mut sum {
            #[expect(clippy::cast_possible_truncation, reason = "vectors are of 32-bit floats")]
            let scaled = (f64::from(*component) / length) as f32;
            *component = scaled;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_has_length_1() {
        assert_eq!(normalised_mean(&[1.0, 0.0, 5.0, 8.0], 2), [0.6, 0.8]);
        assert_eq!(normalised_mean(&[0.0, 0.0], 2), [0.0, 0.0]);
    }
}
