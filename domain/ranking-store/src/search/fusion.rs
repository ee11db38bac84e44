//! Reciprocal rank fusion of the orders by words (BM25) and by meaning (nearest vectors). Elasticsearch has it only
//! with a paid licence.

/// Ranks by words that are compared with the order by meaning; products beyond are not compared.
pub(super) const WINDOW: usize = 200;
/// The usual constant of reciprocal rank fusion: a larger one favours the first ranks less.
const K: f64 = 60.0;

/// Contribution of an order to a score; `rank` counts from 0.
pub(super) fn reciprocal(rank: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    let rank = rank as f64;
    1.0 / (K + 1.0 + rank)
}

/// Reciprocal rank fusion: products are ordered by the sum of `1 / (60 + rank)` over both orders; on equal sums
/// products found by words come first.
///
/// `by_words` may end anywhere from the [`WINDOW`] on: its length does not change the order before its end.
pub(super) fn fuse<'a>(by_words: &[&'a str], by_meaning: &[&'a str]) -> Vec<(&'a str, f64)> {
    let counts = |(rank, id): &(usize, &&str)| *rank < WINDOW || !by_meaning.contains(*id);
    let by_words = by_words.iter().enumerate().filter(counts);
    let mut fused: Vec<(&str, f64)> = by_words.map(|(rank, id)| (*id, reciprocal(rank))).collect();
    for (rank, id) in by_meaning.iter().enumerate() {
        match fused.iter_mut().take(WINDOW).find(|(other, _)| other == id) {
            Some((_, score)) => *score += reciprocal(rank),
            None => fused.push((id, reciprocal(rank))),
        }
    }
    fused.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(by_words: &[&'static str], by_meaning: &[&'static str]) -> Vec<&'static str> {
        fuse(by_words, by_meaning).into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn products_in_both_orders_come_first() {
        assert_eq!(order(&["a", "b", "c"], &["d", "c"]), ["c", "a", "d", "b"]);
        let fused = fuse(&["a", "b"], &["b"]);
        assert_eq!(fused[0], ("b", 1.0 / 61.0 + 1.0 / 62.0));
        assert_eq!(fused[1], ("a", 1.0 / 61.0));
    }

    #[test]
    fn one_order_alone_stays_as_it_is() {
        assert_eq!(order(&["a", "b", "c"], &[]), ["a", "b", "c"]);
        assert_eq!(order(&[], &["c", "a"]), ["c", "a"]);
        assert!(order(&[], &[]).is_empty());
    }

    /// Otherwise products would appear twice or never when a client pages.
    #[test]
    fn a_longer_order_by_words_does_not_change_earlier_ranks() {
        let ids: Vec<String> = (0..WINDOW + 300).map(|number| format!("{number:04}")).collect();
        let all: Vec<&str> = ids.iter().map(String::as_str).collect();
        // One of the best by words, one beyond the window, one of no words at all.
        let by_meaning = ["0150", "0450", "none"];
        let longest = fuse(&all, &by_meaning);
        assert_eq!(longest.len(), all.len() + 1, "each once");
        for end in [WINDOW, WINDOW + 1, WINDOW + 299] {
            let shorter = fuse(&all[..end], &by_meaning);
            assert_eq!(shorter[..end], longest[..end], "{end}");
        }
    }
}
