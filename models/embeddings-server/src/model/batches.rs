//! Batches of texts of similar lengths.

/// Splits texts of these lengths into batches of at most `budget` tokens, shortest first; a longer text is a batch of
/// its own. Gives positions in `lengths`, each once.
pub(super) fn batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut positions: Vec<usize> = (0..lengths.len()).collect();
    positions.sort_by_key(|position| lengths[*position]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut left = 0;
    for position in positions {
        let length = lengths[position];
        match batches.last_mut() {
            Some(batch) if length <= left => batch.push(position),
            _ => {
                left = budget.max(length);
                batches.push(vec![position]);
            }
        }
        left -= length;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_similar_lengths_and_stay_within_the_budget() {
        assert_eq!(batches(&[9, 2, 5, 2, 40, 5], 10), [vec![1, 3, 2], vec![5], vec![0], vec![4]]);
        assert_eq!(batches(&[], 10), Vec::<Vec<usize>>::new());
        assert_eq!(batches(&[5, 5, 5], 10), [vec![0, 1], vec![2]]);
    }
}
