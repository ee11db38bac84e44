//! Upcasters: each step lifts the JSON of one version to the next. Only the newest version is a Rust type.

use serde::de::Error as _;
use serde_json::{Value, json};

use crate::registry::{Data, DataError, EventType};

/// Lifts one version of an event's JSON to the next.
type Step = fn(Value) -> Result<Value, serde_json::Error>;

/// The step from `version` to `version + 1`.
fn step(event_type: EventType, version: u32) -> Option<Step> {
    match (event_type, version) {
        (EventType::ProductUpserted, 1) => Some(product_price_to_money),
        _ => None,
    }
}

/// Reads a value of any released version.
pub(crate) fn read(event_type: EventType, version: u32, value: &[u8]) -> Result<Data, DataError> {
    if version == event_type.version() {
        return Data::from_json(event_type, value);
    }
    let lifted =
        lift(event_type, version, value).map_err(|source| DataError { place: "the value".to_owned(), source })?;
    Data::from_json(event_type, &lifted)
}

fn lift(event_type: EventType, version: u32, value: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut data: Value = serde_json::from_slice(value)?;
    for from in version..event_type.version() {
        let Some(step) = step(event_type, from) else {
            return Err(serde_json::Error::custom(format!("no upcaster reads version {from}")));
        };
        data = step(data)?;
    }
    serde_json::to_vec(&data)
}

/// `"price": "2.55", "currency": "GBP"` becomes `"price": {"amount_minor": 255, "currency": "GBP"}`.
fn product_price_to_money(mut data: Value) -> Result<Value, serde_json::Error> {
    let Some(product) = data.as_object_mut() else {
        return Err(serde_json::Error::custom("a product must be a JSON object"));
    };
    let currency = product.remove("currency");
    let Some(price) = product.remove("price") else { return Ok(data) };
    let Some(currency) = currency else {
        return Err(serde_json::Error::custom("a price needs its currency"));
    };
    let amount_minor = price
        .as_str()
        .and_then(minor_units)
        .ok_or_else(|| serde_json::Error::custom(format!("price must be a decimal text, not {price}")))?;
    product.insert("price".to_owned(), json!({ "amount_minor": amount_minor, "currency": currency }));
    Ok(data)
}

/// Hundredths of a decimal text, rounded half to even. Version 1 knew currencies with two decimals only.
fn minor_units(decimal: &str) -> Option<i64> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let digits = |text: &str| text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let (kept, cut) = fraction.split_at(fraction.len().min(2));
    let hundredths = whole.parse::<i64>().ok()? * 100 + format!("{kept:0<2}").parse::<i64>().ok()?;
    let half = format!("5{:0<1$}", "", cut.len().saturating_sub(1));
    let round_up = !cut.is_empty() && (cut > half.as_str() || (cut == half && hundredths % 2 == 1));
    Some(hundredths + i64::from(round_up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_prices_round_half_to_even() {
        let cases = [("2.55", 255), ("2", 200), ("0.5", 50), ("0.005", 0), ("0.015", 2), ("0.0151", 2), ("0.0049", 0)];
        for (text, expected) in cases {
            assert_eq!(minor_units(text), Some(expected), "{text}");
        }
        for text in ["", "-1", "1e3", ".5", "1.2.3", "2,55"] {
            assert_eq!(minor_units(text), None, "{text}");
        }
    }
}
