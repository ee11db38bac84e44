//! Imports Icecat's open catalogue of electronics, in the form of the search demo Chorus (github.com/querqy/chorus).
//!
//! The file has a JSON line per product. The rules:
//!
//! 1. A blank line is ignored. A line that cannot be read is reported with its number and reason, and the import goes
//!    on with the next: it is not a JSON object, has no `id` or no `title`, has an `id` that an earlier line has, or a
//!    field is of the wrong type or longer than an event may hold.
//! 2. Prices are cents of a US dollar: the file names no currency, nearly all of its prices end in 95 or 94 hundredths,
//!    and Chorus shows a hundredth of `price` with a dollar sign.
//! 3. The maker is the `supplier`. `short_description` is the description if it has a word that the title lacks. HTML
//!    tags and line ends of texts become single spaces.
//! 4. The category is found by keywords ([`category`]): in the type of product (`attr_t_product_type`), or, since one
//!    product in thirteen has one and some of those are numbers, in the title; else it is `other`. The description is
//!    not used: it names parts.
//! 5. Attributes have the file's names, without the prefix of their type and with spaces: `attr_t_cable_colour` is
//!    `cable colour`; the colour of the whole product is `color`, as in every shop. Attributes about packing and
//!    shipping, and those that an event cannot hold, are left out and counted; none is truncated.
//! 6. A product is on sale since its release (`date_released`), or since the import if that is missing or in the
//!    future. Times are never moved: no order depends on them.
//!
//! Ids are derived from the file's name and the product, as in [`online_retail`](super::online_retail).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::BufRead;

use chrono::{DateTime, Datelike as _, Utc};
use jangbogo_events::{CategoryId, Currency, Event, Money, ProductId, ProductUpserted, Text};
use serde_json::{Map, Value};

use super::report::{CatalogueDetails, Details, LeftOut, Report};
use super::{Imported, Settings, category, input};

/// Maximum number of attributes of an event.
const MAX_ATTRIBUTES: usize = 256;

/// Words of attributes about packing, shipping and the source's article numbers.
const LOGISTICS: [&str; 8] =
    ["pallet", "carton", "outer case", "inner case", "harmonized system", "customs code", "ark id", "last change"];

/// Reads a file. Invalid lines are reported.
pub fn read(input: &mut dyn BufRead, settings: &Settings) -> anyhow::Result<Imported> {
    let mut catalogue = Catalogue {
        settings,
        currency: Currency::new("USD")?,
        lines: 0,
        line_of: HashMap::new(),
        details: CatalogueDetails::default(),
        events: Vec::new(),
    };
    let unreadable = input::each_line(input, 1, |line, line_number| catalogue.add_line(line, line_number))?;
    let Catalogue { lines, details, events, .. } = catalogue;
    let report = Report {
        lines,
        unreadable,
        products: events.len() as u64,
        orders: 0,
        cancellations: 0,
        details: Details::Catalogue(details),
        produced: BTreeMap::new(),
    };
    Ok(Imported { events, report })
}

struct Catalogue<'a> {
    settings: &'a Settings,
    currency: Currency,
    lines: u64,
    line_of: HashMap<ProductId, u64>,
    details: CatalogueDetails,
    events: Vec<Event>,
}

impl Catalogue<'_> {
    fn add_line(&mut self, line: &[u8], line_number: u64) -> Result<(), String> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        self.lines += 1;
        let fields = Fields(serde_json::from_slice(line).map_err(|error| {
            // The parser's line number is always 1.
            format!("it is not a JSON object: {error}").replace(" at line 1 column ", " at column ")
        })?);
        let released = released(fields.text("date_released")?, self.settings.now);
        let mut product = self.product(&fields)?;
        if let Some(earlier) = self.line_of.get(&product.product_id) {
            return Err(format!("line {earlier} has the id {} already", product.product_id));
        }
        self.line_of.insert(product.product_id.clone(), line_number);
        product.attributes = self.attributes(&fields);
        self.count(&product, released.is_some());
        let time = released.unwrap_or(self.settings.now);
        self.events.push(Event::new(self.settings.envelope("product", &product.product_id, time), product));
        Ok(())
    }

    /// The product without its attributes.
    fn product(&self, fields: &Fields) -> Result<ProductUpserted, String> {
        let id = fields.required("id")?;
        let title = plain(fields.required("title")?);
        if title.is_empty() {
            return Err("it has no title".to_owned());
        }
        let description = fields.text("short_description")?.map(plain).filter(|text| adds_words(text, &title));
        let brand = fields.text("supplier")?.map(plain);
        let about = |name: &'static str| move |error| format!("{name}: {error}");
        Ok(ProductUpserted {
            product_id: ProductId::new(id).map_err(about("id"))?,
            category: Some(CategoryId::new(category_of(fields, &title)).map_err(about("category"))?),
            title: Text::new(title).map_err(about("title"))?,
            description: description.map(Text::new).transpose().map_err(about("short_description"))?,
            brand: brand.map(Text::new).transpose().map_err(about("supplier"))?,
            price: fields.price()?.map(|amount_minor| Money { amount_minor, currency: self.currency }),
            stock: None,
            attributes: BTreeMap::new(),
        })
    }

    /// The attributes that an event can hold. Of several with the same name the last one by its field's name is kept: a
    /// text, which has its unit, before a number.
    fn attributes(&mut self, Fields(fields): &Fields) -> BTreeMap<Text<64>, Text<512>> {
        let mut attributes = BTreeMap::new();
        let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
        for (field, value) in sorted {
            let Some(name) = attribute_name(field, value) else { continue };
            let left_out = match attribute(name, value) {
                Ok((name, _)) if attributes.len() == MAX_ATTRIBUTES && !attributes.contains_key(&name) => {
                    Some(LeftOut::BeyondLimits)
                }
                Ok((name, value)) => attributes.insert(name, value).map(|_| LeftOut::SameName),
                Err(left_out) => Some(left_out),
            };
            if let Some(left_out) = left_out {
                *self.details.attributes_left_out.entry(left_out).or_default() += 1;
            }
        }
        attributes
    }

    fn count(&mut self, product: &ProductUpserted, is_released: bool) {
        self.details.without_category += u64::from(product.category.as_deref() == Some(category::OTHER));
        self.details.without_description += u64::from(product.description.is_none());
        self.details.without_price += u64::from(product.price.is_none());
        self.details.without_release += u64::from(!is_released);
        self.details.attributes += product.attributes.len() as u64;
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    /// A trimmed text; none if it is empty or missing.
    fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Some(other) => Err(format!("{name} must be a text, not {other}")),
        }
    }

    fn required(&self, name: &str) -> Result<&str, String> {
        self.text(name)?.ok_or_else(|| format!("it has no {name}"))
    }

    fn price(&self) -> Result<Option<i64>, String> {
        match self.0.get("price") {
            None | Some(Value::Null) => Ok(None),
            Some(price) => match price.as_i64() {
                Some(minor) if minor > 0 => Ok(Some(minor)),
                _ => Err(format!("price must be a whole number of cents such as 4995, not {price}")),
            },
        }
    }
}

/// The time of release, if it is valid and not in the future.
fn released(text: Option<&str>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text?).ok()?.to_utc();
    (time.year() >= 1900 && time <= now).then_some(time)
}

fn category_of(fields: &Fields, title: &str) -> &'static str {
    let product_type = fields.0.get("attr_t_product_type").and_then(Value::as_str).unwrap_or_default();
    // A count of pieces, not a computer.
    let title = title.replace("pc(s)", "");
    let find = |text: &str| category::find(category::ELECTRONICS, text);
    find(product_type).or_else(|| find(&title)).unwrap_or(category::OTHER)
}

/// True if the text has a word that the title lacks.
fn adds_words(text: &str, title: &str) -> bool {
    let words = |text: &str| -> BTreeSet<String> {
        text.split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    !words(text).is_subset(&words(title))
}

/// The text with single spaces, also for HTML tags and for line ends, which are escaped twice in the file.
fn plain(text: &str) -> String {
    let text = text.replace("\\n", " ");
    let mut text_only = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('<') {
        text_only.push_str(before);
        let is_tag = after.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
        match after.split_once('>') {
            Some((_, behind)) if is_tag => {
                text_only.push(' ');
                rest = behind;
            }
            _ => {
                text_only.push('<');
                rest = after;
            }
        }
    }
    text_only.push_str(rest);
    text_only.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Name of an attribute; none for other fields.
fn attribute_name(field: &str, value: &Value) -> Option<String> {
    let name = ["attr_t_", "attr_n_", "attr_b_"].iter().find_map(|prefix| field.strip_prefix(prefix))?;
    let name = name.split('_').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    // `attr_b_colour` is true for a device that prints in colour.
    let is_color = value.is_string() && matches!(name.as_str(), "product colour" | "colour");
    Some(if is_color { "color".to_owned() } else { name })
}

/// An attribute's value in an event. Booleans are words that the lexicon does not take for colours and materials.
fn attribute(name: String, value: &Value) -> Result<(Text<64>, Text<512>), LeftOut> {
    if name.starts_with("packag") || LOGISTICS.iter().any(|words| name.contains(words)) {
        return Err(LeftOut::Logistics);
    }
    let value = match value {
        Value::String(text) => plain(text),
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        Value::Bool(truth) => truth.to_string(),
        _ => String::new(),
    };
    if value.is_empty() {
        return Err(LeftOut::NoValue);
    }
    let beyond_limits = |_| LeftOut::BeyondLimits;
    Ok((Text::new(name).map_err(beyond_limits)?, Text::new(value).map_err(beyond_limits)?))
}

#[cfg(test)]
mod tests;
