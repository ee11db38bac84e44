//! Parsing of query parameters and path segments; a rejection names the parameter and its rule.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use jangbogo_events::{CategoryId, InvalidValue, MemberId};
use jangbogo_http::problem::Problem;
use jangbogo_ranking_store::search::MAX_WINDOW;
use uuid::Uuid;

use super::answered_from::AnsweredFrom;

/// Limit of items in a list.
const MAX_LIMIT: usize = crate::members::MAX_ITEMS;
/// Limit of an event's id, in bytes.
pub(super) const MAX_EVENT_ID_BYTES: usize = 128;
/// Limit of a search text, in bytes.
pub(super) const MAX_QUERY_BYTES: usize = 512;
/// Number of items in a list without the parameter `limit`.
const DEFAULT_LIMIT: usize = 20;

/// Description of the parameter `limit`.
pub(super) const LIMIT: &str = "Maximum number of items: 1 to 100, default 20";
/// Description of the parameter `limit` of a list that holds 50 items.
pub(super) const LIMIT_OF_50: &str = "Maximum number of items: 1 to 100, default 20; at most 50 are kept";

/// Query parameters of a request. A handler takes those it knows, then calls [`Parameters::finish`].
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Values of the parameters that were not taken yet.
    values: BTreeMap<String, String>,
    /// Names that the handler has asked for.
    names: Vec<&'static str>,
    answered_from: AnsweredFrom,
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|rejection| invalid(format!("the query cannot be read: {}", rejection.body_text())))?;
        let answered_from = parts.extensions.get::<AnsweredFrom>().cloned().unwrap_or_default();
        Ok(Self { answered_from, ..Self::from_pairs(pairs.0)? })
    }
}

impl Parameters {
    fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        for (name, value) in pairs {
            if values.contains_key(&name) {
                return Err(invalid(format!("the parameter {name} is given twice")));
            }
            values.insert(name, value);
        }
        Ok(Self { values, ..Self::default() })
    }

    /// Records the generations that the request reads.
    pub(super) fn answered_from(&self) -> AnsweredFrom {
        self.answered_from.clone()
    }

    /// A parameter as trimmed text; an empty one counts as none.
    pub(super) fn text(&mut self, name: &'static str, max_bytes: usize) -> Result<Option<String>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let text = text.trim();
        if text.len() > max_bytes || text.chars().any(char::is_control) {
            return Err(invalid_value(
                name,
                format_args!("at most {max_bytes} bytes without control characters"),
                text,
            ));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// A parameter that is a number within bounds.
    pub(super) fn number<T>(&mut self, name: &'static str, bounds: RangeInclusive<T>) -> Result<Option<T>, Problem>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.take(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let rule = format_args!("a whole number from {} to {}", bounds.start(), bounds.end());
        number.map(Some).ok_or_else(|| invalid_value(name, rule, &text))
    }

    /// The requested number of items.
    pub(super) fn limit(&mut self) -> Result<usize, Problem> {
        Ok(self.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT))
    }

    /// The requested number of hits, and the number to skip.
    pub(super) fn page(&mut self) -> Result<(usize, usize), Problem> {
        let (limit, offset) = (self.limit()?, self.number("offset", 0..=MAX_WINDOW)?.unwrap_or_default());
        if offset + limit > MAX_WINDOW {
            return Err(invalid(format!("offset and limit together must be at most {MAX_WINDOW}")));
        }
        Ok((limit, offset))
    }

    /// A boolean parameter, false by default.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        let Some(text) = self.take(name) else { return Ok(false) };
        text.parse().map_err(|_| invalid_value(name, "true or false", &text))
    }

    pub(super) fn required<T: FromStr>(&mut self, name: &'static str, rule: &str) -> Result<T, Problem> {
        let Some(text) = self.take(name) else {
            return Err(invalid(format!("the parameter {name} is missing: {rule}")));
        };
        text.parse().map_err(|_| invalid_value(name, rule, &text))
    }

    pub(super) fn optional<T: FromStr>(&mut self, name: &'static str, rule: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid_value(name, rule, &text))
    }

    /// A parameter of values separated by commas.
    pub(super) fn list<T>(&mut self, name: &'static str, max_values: usize) -> Result<Option<Vec<T>>, Problem>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.take(name) else { return Ok(None) };
        if text.split(',').count() > max_values {
            return Err(invalid_value(name, format_args!("at most {max_values} values"), &text));
        }
        let values: Result<Vec<T>, T::Err> = text.split(',').map(str::parse).collect();
        values.map(Some).map_err(|error| invalid(format!("the parameter {name}: {error}")))
    }

    pub(super) fn category(&mut self) -> Result<Option<CategoryId>, Problem> {
        let Some(text) = self.take("category") else { return Ok(None) };
        CategoryId::new(text).map(Some).map_err(|error| invalid(format!("the parameter category: {error}")))
    }

    /// Rejects parameters that the handler does not know.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let Some(name) = self.values.keys().next() else { return Ok(()) };
        let known = match self.names.as_slice() {
            [] => "there are none here".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        let detail = format!("{name:?} is no parameter of this resource; {known}");
        Err(Problem::new(StatusCode::BAD_REQUEST, "unknown-parameter", "Unknown parameter", detail))
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.names.push(name);
        self.values.remove(name)
    }
}

pub(super) fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", "Invalid parameter", detail)
}

fn invalid_value(name: &str, rule: impl Display, found: &str) -> Problem {
    let found: String = found.chars().take(64).collect();
    invalid(format!("the parameter {name} must be {rule}; it is {found:?}"))
}

/// A segment of the path.
pub(super) type Segment = Result<Path<String>, PathRejection>;

/// Parses the conversation in the path.
pub(super) fn conversation_id(segment: Segment) -> Result<Uuid, Problem> {
    let text = segment.map(|path| path.0).unwrap_or_default();
    text.parse()
        .map_err(|_| invalid(format!("conversation_id is no UUID: {:?}", text.chars().take(64).collect::<String>())))
}

/// Parses the member in the path.
pub(super) fn member_id(segment: Segment) -> Result<MemberId, Problem> {
    shop_id(segment, "member_id", MemberId::new)
}

/// Parses a path segment that is an id of the shop.
pub(super) fn shop_id<T>(
    segment: Segment,
    name: &str,
    parse: impl FnOnce(String) -> Result<T, InvalidValue>,
) -> Result<T, Problem> {
    let Path(text) =
        segment.map_err(|rejection| invalid(format!("{name} cannot be read: {}", rejection.body_text())))?;
    parse(text).map_err(|error| invalid(format!("{name} is no id: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        let uri = format!("/?{query}").parse().unwrap();
        Parameters::from_pairs(Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap().0).unwrap()
    }

    #[test]
    fn a_limit_has_bounds_and_a_default() {
        assert_eq!(parameters("").limit().unwrap(), DEFAULT_LIMIT);
        assert_eq!(parameters("limit=7").limit().unwrap(), 7);
        for query in ["limit=0", "limit=101", "limit=many", "limit=-1", "limit="] {
            let problem = parameters(query).limit().unwrap_err();
            assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
            let rule = "the parameter limit must be a whole number from 1 to 100; it is ";
            assert!(problem.detail().starts_with(rule), "{}", problem.detail());
        }
    }

    #[test]
    fn a_search_is_paged_no_further_than_the_index_goes() {
        assert_eq!(parameters("limit=7&offset=9993").page().unwrap(), (7, 9993));
        assert_eq!(parameters("").page().unwrap(), (DEFAULT_LIMIT, 0));
        let problem = parameters("limit=8&offset=9993").page().unwrap_err();
        assert_eq!(problem.detail(), "offset and limit together must be at most 10000");
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        let mut parameters = parameters("limit=7&lmit=8");
        parameters.limit().unwrap();
        let problem = parameters.finish().unwrap_err();
        assert_eq!(problem.detail(), r#""lmit" is no parameter of this resource; there are limit"#);
        let pairs = ["1", "2"].map(|value| ("limit".to_owned(), value.to_owned())).to_vec();
        assert_eq!(Parameters::from_pairs(pairs).unwrap_err().detail(), "the parameter limit is given twice");
    }

    #[test]
    fn text_is_decoded_trimmed_and_bounded() {
        assert_eq!(parameters("q=%20red+bag%20").text("q", 10).unwrap().as_deref(), Some("red bag"));
        assert_eq!(parameters("q=+").text("q", 10).unwrap(), None);
        assert!(parameters("q=12345678901").text("q", 10).is_err());
        assert!(parameters("q=a%00b").text("q", 10).is_err());
        assert!(parameters("category=").category().is_err());
    }

    #[test]
    fn a_list_is_separated_by_commas() {
        let numbers = |query: &str| parameters(query).list::<u8>("n", 3);
        assert_eq!(numbers("n=1,2").unwrap(), Some(vec![1, 2]));
        assert_eq!(numbers("").unwrap(), None);
        for query in ["n=", "n=1,", "n=1,b", "n=1,2,3,4"] {
            let problem = numbers(query).unwrap_err();
            assert!(problem.detail().starts_with("the parameter n"), "{}", problem.detail());
        }
    }
}
