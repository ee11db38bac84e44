//! The merge operators in memory. The upserts of jangbogo-store are the same operators in SQL.

use super::cell::Cell;
use super::table::Merge;

/// Merges new cells of one group into those of a row, stamps included. `new` is unspecified afterwards.
/// Nulls mean that no event has touched the group or column: they change nothing.
pub(super) fn merge_cells(merge: Merge, old: &mut [Cell], new: &mut [Cell]) {
    match merge {
        Merge::Add => {
            for (old, new) in old.iter_mut().zip(new) {
                match (&mut *old, &*new) {
                    (Cell::Integer(sum), Cell::Integer(more)) => *sum = sum.wrapping_add(*more),
                    (_, Cell::Null) => {}
                    _ => *old = std::mem::take(new),
                }
            }
        }
        Merge::Max => keep_if(old, new, |old, new| new > old),
        Merge::Min => keep_if(old, new, |old, new| new < old),
        Merge::First => replace_if(old, new, |old, new| new < old),
        Merge::Last => replace_if(old, new, |old, new| new > old),
        Merge::Once => replace_if(old, new, |_, _| false),
    }
}

/// Takes the new value of each column that it wins or that was null.
fn keep_if(old: &mut [Cell], new: &mut [Cell], wins: impl Fn(&Cell, &Cell) -> bool) {
    for (old, new) in old.iter_mut().zip(new) {
        if *old == Cell::Null || (*new != Cell::Null && wins(old, new)) {
            *old = std::mem::take(new);
        }
    }
}

/// Takes all new values if their stamp (the first two cells) wins or all were null.
fn replace_if(old: &mut [Cell], new: &mut [Cell], wins: impl Fn(&[Cell], &[Cell]) -> bool) {
    let untouched = |cells: &[Cell]| cells.iter().all(|cell| *cell == Cell::Null);
    if untouched(new) {
        return;
    }
    if untouched(old) || wins(&old[..2.min(old.len())], &new[..2.min(new.len())]) {
        old.swap_with_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const ALL: &[Merge] = &[Merge::Add, Merge::Max, Merge::Min, Merge::First, Merge::Last, Merge::Once];
    const NULLS: [Cell; 4] = [Cell::Null, Cell::Null, Cell::Null, Cell::Null];

    fn merged<const N: usize>(merge: Merge, mut old: [Cell; N], mut new: [Cell; N]) -> [Cell; N] {
        merge_cells(merge, &mut old, &mut new);
        old
    }

    fn integers<const N: usize>(values: [i64; N]) -> [Cell; N] {
        values.map(Cell::Integer)
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.into())
    }

    /// Values of an event at a second, with the hash `by`.
    fn stamped(second: i64, by: u128, title: &str, price: Option<i64>) -> [Cell; 4] {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        [Cell::Time(at), Cell::Id(by), text(title), price.map_or(Cell::Null, Cell::Integer)]
    }

    #[test]
    fn add_sums_each_column() {
        assert_eq!(merged(Merge::Add, integers([1, -2]), integers([4, 2])), integers([5, 0]));
        assert_eq!(merged(Merge::Add, [Cell::Null, Cell::Integer(2)], integers([4, 2])), integers([4, 4]));
    }

    #[test]
    fn an_absent_summand_keeps_the_sum() {
        let one_absent = [Cell::Null, Cell::Integer(2)];
        assert_eq!(merged(Merge::Add, integers([1, 1]), one_absent), integers([1, 3]));
    }

    #[test]
    fn max_and_min_choose_each_column_by_itself() {
        let (left, right) = ([Cell::Integer(1), text("b")], [Cell::Integer(2), text("a")]);
        assert_eq!(merged(Merge::Max, left.clone(), right.clone()), [Cell::Integer(2), text("b")]);
        assert_eq!(merged(Merge::Min, left.clone(), right), [Cell::Integer(1), text("a")]);
        assert_eq!(merged(Merge::Min, left.clone(), [Cell::Null, Cell::Null]), left);
    }

    #[test]
    fn first_and_last_choose_all_columns_by_the_stamp() {
        let (early, late) = (stamped(1, 9, "early", Some(5)), stamped(2, 1, "late", None));
        for (left, right) in [(&early, &late), (&late, &early)] {
            assert_eq!(merged(Merge::First, left.clone(), right.clone()), early);
            assert_eq!(merged(Merge::Last, left.clone(), right.clone()), late);
        }
    }

    #[test]
    fn at_the_same_time_the_hash_decides() {
        let (small, large) = (stamped(1, 3, "small", None), stamped(1, 4, "large", None));
        for (left, right) in [(&small, &large), (&large, &small)] {
            assert_eq!(merged(Merge::First, left.clone(), right.clone()), small);
            assert_eq!(merged(Merge::Last, left.clone(), right.clone()), large);
        }
    }

    #[test]
    fn of_one_event_the_first_values_stay() {
        let (first, second) = (stamped(1, 3, "first", Some(1)), stamped(1, 3, "second", None));
        assert_eq!(merged(Merge::First, first.clone(), second.clone()), first);
        assert_eq!(merged(Merge::Last, first.clone(), second), first);
    }

    #[test]
    fn once_keeps_what_is_there() {
        let fact = [text("kim"), Cell::Null];
        assert_eq!(merged(Merge::Once, [Cell::Null, Cell::Null], fact.clone()), fact);
        assert_eq!(merged(Merge::Once, fact.clone(), [text("lee"), Cell::Integer(1)]), fact);
    }

    fn number() -> impl Strategy<Value = Option<i64>> {
        proptest::option::of(prop_oneof![-3_i64..3, any::<i64>()])
    }

    /// Four cells as a log can produce them: the values of one stamp, or of one fact, are always the same.
    fn cells(merge: Merge) -> BoxedStrategy<[Cell; 4]> {
        let touched = match merge {
            Merge::Add => proptest::array::uniform4(number())
                .prop_map(|numbers| numbers.map(|number| number.map_or(Cell::Null, Cell::Integer)))
                .boxed(),
            Merge::Max | Merge::Min => (number(), proptest::option::of("[ab가]{0,2}"), any::<bool>(), 0_u128..3)
                .prop_map(|(number, word, flag, id)| {
                    let word = word.map_or(Cell::Null, |word| text(&word));
                    [number.map_or(Cell::Null, Cell::Integer), word, Cell::Boolean(flag), Cell::Id(id)]
                })
                .boxed(),
            Merge::First | Merge::Last => (0_i64..3, 0_u8..3)
                .prop_map(|(second, by)| {
                    stamped(second, by.into(), &format!("{second} {by}"), (by > 0).then_some(second))
                })
                .boxed(),
            Merge::Once => Just([text("fact"), Cell::Null, Cell::Integer(7), Cell::Boolean(true)]).boxed(),
        };
        prop_oneof![5 => touched, 1 => Just(NULLS)].boxed()
    }

    fn three() -> impl Strategy<Value = (Merge, [Cell; 4], [Cell; 4], [Cell; 4])> {
        select(ALL).prop_flat_map(|merge| (Just(merge), cells(merge), cells(merge), cells(merge)))
    }

    proptest! {
        #[test]
        fn operators_commute((merge, left, right, _) in three()) {
            prop_assert_eq!(merged(merge, left.clone(), right.clone()), merged(merge, right, left));
        }

        #[test]
        fn operators_associate((merge, left, middle, right) in three()) {
            let left_first = merged(merge, merged(merge, left.clone(), middle.clone()), right.clone());
            prop_assert_eq!(left_first, merged(merge, left, merged(merge, middle, right)));
        }

        #[test]
        fn nulls_change_nothing((merge, cells, _, _) in three()) {
            prop_assert_eq!(&merged(merge, cells.clone(), NULLS), &cells);
            prop_assert_eq!(&merged(merge, NULLS, cells.clone()), &cells);
        }

        #[test]
        fn all_but_sums_may_be_repeated((merge, cells, _, _) in three()) {
            prop_assume!(merge != Merge::Add);
            prop_assert_eq!(&merged(merge, cells.clone(), cells.clone()), &cells);
        }
    }
}
