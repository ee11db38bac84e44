//! Field rules that serde and schemars lack: bounded lists and maps, finite numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serializer, de, ser};

/// Reads a list of `MIN` to `MAX` values.
pub(crate) fn list<'de, D, T, const MIN: usize, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let values = Vec::<T>::deserialize(deserializer)?;
    check_count::<D::Error>(values.len(), MIN, MAX)?;
    Ok(values)
}

/// Reads a map of at most `MAX` entries.
pub(crate) fn map<'de, D, K, V, const MAX: usize>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    let entries = BTreeMap::<K, V>::deserialize(deserializer)?;
    check_count::<D::Error>(entries.len(), 0, MAX)?;
    Ok(entries)
}

fn check_count<E: de::Error>(count: usize, min: usize, max: usize) -> Result<(), E> {
    if (min..=max).contains(&count) {
        return Ok(());
    }
    Err(E::custom(format!("expected {min} to {max} entries, found {count}")))
}

/// Writes a number. Fails if it is not finite, which JSON would write as null.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn finite<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if !number.is_finite() {
        return Err(ser::Error::custom(format!("a number must be finite, not {number}")));
    }
    serializer.serialize_f64(*number)
}

/// Writes a number that may be absent: see [`finite`].
#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
pub(crate) fn finite_option<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => finite(number, serializer),
        None => serializer.serialize_none(),
    }
}
