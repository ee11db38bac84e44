//! Parsing of request bodies: one JSON value, or many in an array or as NDJSON. Invalid items are listed with their
//! position.

use std::borrow::Cow;

use axum::http::StatusCode;
use jangbogo_events::{Data, EventType, Topic};
use jangbogo_http::problem::{Problem, ProblemPart};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// Limit of items in one body.
pub const MAX_ITEMS: usize = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`: one value, or an array of them.
    Json,
    /// `application/x-ndjson`: one value on each line.
    Lines,
}

/// An item's position in its body.
#[derive(Clone, Copy, Debug)]
enum Position {
    /// The body is the item.
    Whole,
    /// Index in an array, from 0.
    Index(usize),
    /// Number of the line, from 1.
    Line(usize),
}

struct Item<'a> {
    position: Position,
    json: &'a [u8],
}

impl Item<'_> {
    fn part(&self, pointer: &str, detail: impl Into<String>) -> ProblemPart {
        let (line, pointer) = match self.position {
            Position::Whole => (None, pointer.to_owned()),
            Position::Index(index) => (None, format!("/{index}{pointer}")),
            Position::Line(line) => (Some(line), pointer.to_owned()),
        };
        ProblemPart { line, pointer, detail: detail.into() }
    }
}

/// Reads a body that is one value: an event's data, or a command.
pub fn one<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Problem> {
    let item = Item { position: Position::Whole, json: body };
    read_value(&item).map_err(|part| rejected(body, vec![part]))
}

/// Accepts the body of a command whose parameters are all in its path: none, or an object without members.
pub fn none(body: &[u8]) -> Result<(), Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    one(body).map(|Nothing {}| ())
}

/// Reads a body of many values of one event type.
pub fn many(event_type: EventType, format: Format, body: &[u8]) -> Result<Vec<Data>, Problem> {
    read_each(&split(format, body)?, |item| read_data(item, "", event_type, item.json))
}

/// Reads a body of many behaviours: `{"type": …, "data": …}`.
pub fn behaviors(format: Format, body: &[u8]) -> Result<Vec<Data>, Problem> {
    read_each(&split(format, body)?, |item| {
        let behavior: Behavior<'_> = read_value(item)?;
        let Some(event_type) = behavior_types().find(|event_type| event_type.name() == behavior.event_type) else {
            let names: Vec<&str> = behavior_types().map(EventType::name).collect();
            let detail = format!("{:?} is no behavior; expected one of {}", behavior.event_type, names.join(", "));
            return Err(item.part("/type", detail));
        };
        read_data(item, "/data", event_type, behavior.data.get().as_bytes())
    })
}

/// Event types that the route for behaviours accepts. Cancellations have their own routes.
pub fn behavior_types() -> impl Iterator<Item = EventType> {
    EventType::ALL.iter().copied().filter(|event_type| {
        matches!(event_type.topic(), Topic::ProductViewed | Topic::UserBehavior)
            && *event_type != EventType::OrderCancelled
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Behavior<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn split<'a>(format: Format, body: &'a [u8]) -> Result<Vec<Item<'a>>, Problem> {
    let items: Vec<Item<'a>> = match format {
        Format::Json => {
            let values: Vec<&RawValue> = serde_json::from_slice(body).map_err(|_| {
                let whole = Item { position: Position::Whole, json: body };
                rejected(body, vec![whole.part("", "expected an array of items")])
            })?;
            let item = |(index, value): (usize, &'a RawValue)| {
                let (position, json) = (Position::Index(index), value.get().as_bytes());
                Item { position, json }
            };
            values.into_iter().enumerate().map(item).collect()
        }
        Format::Lines => {
            let lines = body.split(|byte| *byte == b'\n').enumerate();
            let full = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
            full.map(|(index, json)| Item { position: Position::Line(index + 1), json }).collect()
        }
    };
    if (1..=MAX_ITEMS).contains(&items.len()) {
        return Ok(items);
    }
    let detail = format!("a body must hold 1 to {MAX_ITEMS} items, not {}", items.len());
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "item-count", "No items or too many", detail))
}

fn read_each(items: &[Item<'_>], read: impl Fn(&Item<'_>) -> Result<Data, ProblemPart>) -> Result<Vec<Data>, Problem> {
    let mut data = Vec::with_capacity(items.len());
    let mut errors = Vec::new();
    for item in items {
        match read(item) {
            Ok(event) => data.push(event),
            Err(part) => errors.push(part),
        }
    }
    if errors.is_empty() { Ok(data) } else { Err(invalid_body(errors)) }
}

fn read_data(item: &Item<'_>, prefix: &str, event_type: EventType, json: &[u8]) -> Result<Data, ProblemPart> {
    Data::from_json(event_type, json)
        .map_err(|error| item.part(&format!("{prefix}{}", pointer(&error.place)), reason(&error.source)))
}

fn read_value<'de, T: Deserialize<'de>>(item: &Item<'de>) -> Result<T, ProblemPart> {
    // Serde would also read a struct from an array of its fields.
    if !item.json.trim_ascii_start().starts_with(b"{") {
        return Err(item.part("", "it must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(item.json);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| item.part(&pointer(&error.path().to_string()), reason(error.inner())))?;
    deserializer.end().map_err(|error| item.part("", reason(&error)))?;
    Ok(value)
}

/// The problem of a body with invalid parts: malformed JSON comes first, since it is reported by line and
/// column.
fn rejected(body: &[u8], parts: Vec<ProblemPart>) -> Problem {
    check_syntax(body).err().unwrap_or_else(|| invalid_body(parts))
}

fn check_syntax(body: &[u8]) -> Result<(), Problem> {
    let detail = match std::str::from_utf8(body) {
        Err(error) => format!("the body is not UTF-8 from byte {} on", error.valid_up_to()),
        Ok(text) => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => return Ok(()),
            Err(error) => format!(
                "the body is not JSON: {} at line {}, column {}",
                without_position(&error),
                error.line(),
                error.column()
            ),
        },
    };
    Err(Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "Malformed JSON", detail))
}

fn invalid_body(errors: Vec<ProblemPart>) -> Problem {
    let detail = match errors.as_slice() {
        [only] => format!("the body is invalid: {}", only.detail),
        several => format!("the body is invalid in {} places; nothing of it was accepted", several.len()),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", "Invalid body", detail).with_errors(errors)
}

fn reason(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Data => without_position(error),
        Category::Io | Category::Syntax | Category::Eof => {
            format!("not JSON: {} at column {}", without_position(error), error.column())
        }
    }
}

/// The text without serde's position, which is relative to the item: the item's position and the pointer are reported.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// `items[3].quantity` as an RFC 6901 pointer: `/items/3/quantity`.
fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    if path == "." || path == "the value" {
        return pointer;
    }
    for segment in path.split(['.', '[']) {
        let segment = segment.strip_suffix(']').unwrap_or(segment);
        if segment.is_empty() || segment == "?" {
            continue;
        }
        pointer.push('/');
        pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
    }
    pointer
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{OrderCompleted, ProductRetired};

    use super::*;

    const PRODUCT: &str = r#"{"product_id":"20725","title":"LUNCH BAG RED RETROSPOT"}"#;

    fn parts(problem: &Problem) -> Vec<(Option<usize>, &str, &str)> {
        problem.errors().iter().map(|part| (part.line, part.pointer.as_str(), part.detail.as_str())).collect()
    }

    fn products(format: Format, body: &str) -> Result<Vec<Data>, Problem> {
        many(EventType::ProductUpserted, format, body.as_bytes())
    }

    #[test]
    fn arrays_and_lines_hold_the_same_items() {
        let array = products(Format::Json, &format!("[{PRODUCT},\n {PRODUCT}]")).unwrap();
        let lines = products(Format::Lines, &format!("{PRODUCT}\n\n  \r\n{PRODUCT}\r\n")).unwrap();
        assert_eq!(array.len(), 2);
        assert_eq!(array, lines);
    }

    #[test]
    fn every_bad_item_is_listed_with_its_position() {
        let body = format!(
            r#"[{PRODUCT}, {{"product_id":"1","title":"x","colour":"red"}}, {PRODUCT},
                {{"product_id":"2","title":"x","price":{{"amount_minor":1.5,"currency":"GBP"}}}}, 7]"#
        );
        let problem = products(Format::Json, &body).unwrap_err();
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let found = parts(&problem);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0].1, "/1/colour");
        assert!(found[0].2.starts_with("unknown field `colour`, expected one of `product_id`"), "{found:?}");
        assert_eq!(found[1].1, "/3/price/amount_minor");
        assert!(found[1].2.starts_with("invalid type: floating point"), "{found:?}");
        assert_eq!(found[2].1, "/4");
    }

    #[test]
    fn lines_are_counted_from_one_with_the_empty_ones() {
        let body = format!("{PRODUCT}\n\n{{\"product_id\":\"\",\"title\":\"x\"}}\n{{\"product_id\"\n");
        let problem = products(Format::Lines, &body).unwrap_err();
        let found = parts(&problem);
        assert_eq!((found[0].0, found[0].1), (Some(3), "/product_id"), "{found:?}");
        assert_eq!(found[1].0, Some(4), "{found:?}");
        assert!(found[1].2.starts_with("not JSON: EOF while parsing"), "{found:?}");
    }

    #[test]
    fn broken_json_names_line_and_column() {
        let problem = products(Format::Json, "[\n  {\"product_id\" 1}\n]").unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        assert_eq!(problem.detail(), "the body is not JSON: expected `:` at line 2, column 17");
        let problem = many(EventType::ProductUpserted, Format::Json, b"[\"\xff\"]").unwrap_err();
        assert_eq!(problem.detail(), "the body is not UTF-8 from byte 2 on");
    }

    #[test]
    fn the_number_of_items_is_bounded() {
        for (count, accepted) in [(0, false), (1, true), (MAX_ITEMS, true), (MAX_ITEMS + 1, false)] {
            let body = vec![PRODUCT; count].join("\n");
            assert_eq!(products(Format::Lines, &body).is_ok(), accepted, "{count}");
            let body = format!("[{}]", vec![PRODUCT; count].join(","));
            assert_eq!(products(Format::Json, &body).is_ok(), accepted, "{count}");
        }
        let problem = products(Format::Json, PRODUCT).unwrap_err();
        assert_eq!(parts(&problem), [(None, "", "expected an array of items")]);
    }

    #[test]
    fn every_behavior_type_reads_its_example() {
        assert_eq!(behavior_types().count(), 8);
        for event_type in behavior_types() {
            let example = event_type.example();
            let data = String::from_utf8(example.to_json().unwrap()).unwrap();
            let line = format!(r#"{{"type":"{}","data":{data}}}"#, event_type.name());
            assert_eq!(behaviors(Format::Lines, line.as_bytes()).unwrap(), [example]);
        }
    }

    #[test]
    fn an_invalid_behavior_names_its_type_or_field() {
        let body = r#"[{"type":"order-cancelled","data":{}},
            {"type":"cart-item-added","data":{"member_id":"1","product_id":"2","quantity":0}},
            {"type":"product-viewed"}, ["product-viewed", {"product_id":"1"}]]"#;
        let problem = behaviors(Format::Json, body.as_bytes()).unwrap_err();
        let found = parts(&problem);
        assert_eq!(found[0].1, "/0/type");
        assert!(found[0].2.starts_with("\"order-cancelled\" is no behavior; expected one of product-viewed"));
        assert_eq!((found[1].1, found[1].2), ("/1/data/quantity", "a quantity must be 1 to 1000000, not 0"));
        assert_eq!((found[2].1, found[2].2), ("/2", "missing field `data`"));
        assert_eq!((found[3].1, found[3].2), ("/3", "it must be a JSON object"));
    }

    #[test]
    fn one_value_must_be_all_of_the_body() {
        let problem = one::<ProductRetired>(br#"{"product_id":"1"} {}"#).unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        let problem = one::<OrderCompleted>(br#"{"order_id":"1","currency":"gbp","items":[]}"#).unwrap_err();
        assert_eq!(problem.errors()[0].pointer, "/currency");
    }
}
