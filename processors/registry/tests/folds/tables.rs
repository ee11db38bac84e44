//! Constraints of merge operators and views on every registered table.

use std::collections::BTreeSet;

use jangbogo_fold::{ColumnType, Merge};
use jangbogo_processors::PROCESSORS;

#[test]
fn tables_fit_their_merge_operators() {
    for processor in PROCESSORS {
        let names: BTreeSet<&str> = processor.tables().map(|table| table.name).collect();
        assert_eq!(names.len(), processor.tables().count(), "{}: two tables of one name", processor.name);
        for table in processor.tables() {
            let name = format!("{}.{}", processor.name, table.name);
            let mut columns: Vec<&str> = table.key.iter().map(|column| column.name).collect();
            for group in table.groups {
                columns.extend(group.columns.iter().map(|column| column.name));
                match group.merge {
                    Merge::Add => {
                        let is_integer = group.columns.iter().all(|column| column.column_type == ColumnType::Integer);
                        assert!(is_integer, "{name}: only integers are added");
                    }
                    Merge::Once => {
                        let by_event = table.key.iter().any(|column| column.column_type == ColumnType::Id);
                        assert!(by_event, "{name}: a fact's key holds its event's hash");
                        assert_eq!(table.groups.len(), 1, "{name}: a fact's row is never updated");
                    }
                    Merge::Max | Merge::Min | Merge::First | Merge::Last => {}
                }
            }
            let distinct: BTreeSet<&str> = columns.iter().copied().collect();
            assert_eq!(distinct.len(), columns.len(), "{name}: two columns of one name");
            assert!(table.indexes.iter().all(|index| distinct.contains(index)), "{name}: an index of no column");
        }
    }
}

#[test]
fn views_watch_columns_of_their_processors_tables() {
    for processor in PROCESSORS {
        for view in processor.views() {
            for watch in view.watches {
                let name = format!("{}: {} watches {}.{}", processor.name, view.name, watch.table.name, watch.column);
                assert!(processor.tables().any(|table| table.name == watch.table.name), "{name}");
                assert!(watch.table.key.iter().any(|column| column.name == watch.column), "{name}");
            }
        }
    }
}
