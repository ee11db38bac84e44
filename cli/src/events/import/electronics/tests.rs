//! The rules on small files.

use chrono_tz::Tz;
use jangbogo_events::{Data, Envelope};
use serde_json::json;

use super::*;

fn settings() -> Settings {
    Settings {
        source: "import/test".to_owned(),
        time_zone: Tz::Asia__Seoul,
        now: "2026-11-26T12:00:00Z".parse().unwrap(),
        shifts_orders: true,
    }
}

fn import_with(lines: &str, settings: &Settings) -> Imported {
    let imported = read(&mut lines.as_bytes(), settings).unwrap();
    let report = &imported.report;
    assert_eq!(report.lines, report.products + report.unreadable.len() as u64, "every line is counted");
    imported
}

fn import(lines: &str) -> Imported {
    import_with(lines, &settings())
}

fn details(imported: &Imported) -> &CatalogueDetails {
    let Details::Catalogue(details) = &imported.report.details else { panic!("{:?}", imported.report) };
    details
}

fn products(imported: &Imported) -> Vec<(&Envelope, &ProductUpserted)> {
    let mut products = Vec::new();
    for event in &imported.events {
        let Data::ProductUpserted(product) = &event.data else { panic!("{event:?}") };
        products.push((&event.envelope, product));
    }
    products
}

/// The attributes of a product that has these fields.
fn attributes(fields: &Value) -> (Vec<(String, String)>, Imported) {
    let mut line = json!({"id": "1", "title": "Thing"});
    line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let imported = import(&line.to_string());
    let attributes = products(&imported)[0].1.attributes.iter();
    (attributes.map(|(name, value)| (name.to_string(), value.to_string())).collect(), imported)
}

#[test]
fn a_line_becomes_a_product() {
    let imported = import(
        r#"{"id": "1128895", "name": "DB9 adapter", "title": "StarTech.com  DB9 Null Modem Cable - M/F",
            "short_description": "DB9 cable,<br />RS232 \\n<= 3 m", "date_released": "2007-08-09T00:00:00Z",
            "supplier": "StarTech.com", "price": 595, "attr_t_product_colour": "Black,Grey", "attr_t_connector_1": "DB9",
            "attr_t_dimensions__wxdxh_": "399 x 137", "attr_n_width": 33.6, "attr_n_weight": 33.0,
            "attr_b_rohs_compliance": true, "attr_b_colour": false, "attr_n_package_width": 90.0}"#
            .replace('\n', "")
            .as_str(),
    );
    let products = products(&imported);
    let [(envelope, product)] = products.as_slice() else { panic!("{products:?}") };
    assert_eq!((product.product_id.as_str(), &*product.title), ("1128895", "StarTech.com DB9 Null Modem Cable - M/F"));
    assert_eq!(product.description.as_deref(), Some("DB9 cable, RS232 <= 3 m"));
    assert_eq!((product.category.as_deref(), product.brand.as_deref()), (Some("cables"), Some("StarTech.com")));
    assert_eq!(product.price, Some(Money { amount_minor: 595, currency: Currency::new("USD").unwrap() }));
    assert_eq!(product.stock, None);
    let attributes: Vec<(&str, &str)> = product.attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected = [
        ("color", "Black,Grey"),
        ("colour", "false"),
        ("connector 1", "DB9"),
        ("dimensions wxdxh", "399 x 137"),
        ("rohs compliance", "true"),
        ("weight", "33"),
        ("width", "33.6"),
    ];
    assert_eq!(attributes, expected);
    let facets = jangbogo_lexicon::facets(&product.title, None, attributes);
    assert_eq!(facets.iter().map(|(_, value)| value).collect::<Vec<_>>(), ["black", "grey"]);

    assert_eq!(envelope.time.to_rfc3339(), "2007-08-09T00:00:00+00:00", "never moved");
    assert_eq!((envelope.source.as_str(), envelope.correlation_id.as_deref()), ("import/test", Some("import/test")));
    assert_eq!(details(&imported).attributes_left_out, [(LeftOut::Logistics, 1)].into());
    assert_eq!((imported.report.lines, imported.report.products, details(&imported).attributes), (1, 1, 7));
}

#[test]
fn a_line_without_optional_fields_becomes_a_product() {
    let imported =
        import("\n{\"id\": \"7\", \"title\": \"B-Tech BTEBT332\", \"price\": null, \"supplier\": \" \"}\n  \r\n");
    let (envelope, product) = products(&imported)[0];
    let expected = ProductUpserted {
        product_id: ProductId::new("7").unwrap(),
        title: Text::new("B-Tech BTEBT332").unwrap(),
        description: None,
        category: Some(CategoryId::new(category::OTHER).unwrap()),
        brand: None,
        price: None,
        stock: None,
        attributes: BTreeMap::new(),
    };
    assert_eq!((product, envelope.time), (&expected, settings().now));
    assert_eq!(imported.report.lines, 1, "blank lines are ignored");
    let CatalogueDetails { without_category, without_description, without_price, without_release, .. } =
        *details(&imported);
    assert_eq!((without_category, without_description, without_price, without_release), (1, 1, 1, 1));
}

#[test]
fn a_line_that_cannot_be_read_is_reported_and_the_rest_imported() {
    let long_title = format!(r#"{{"id": "1", "title": "{}"}}"#, "x".repeat(513));
    let cases = [
        (r#"{"id": "1", "title""#, "it is not a JSON object: EOF while parsing an object at column 19"),
        ("[]", "it is not a JSON object: invalid type: sequence, expected a map at column 0"),
        (r#"{"id": "1"}"#, "it has no title"),
        (r#"{"id": "1", "title": " "}"#, "it has no title"),
        (r#"{"id": "1", "title": "<br />"}"#, "it has no title"),
        (r#"{"title": "Thing"}"#, "it has no id"),
        (r#"{"id": 1, "title": "Thing"}"#, "id must be a text, not 1"),
        (r#"{"id": "1", "title": "Thing", "supplier": ["HP"]}"#, r#"supplier must be a text, not ["HP"]"#),
        (
            r#"{"id": "1", "title": "Thing", "price": 49.95}"#,
            "price must be a whole number of cents such as 4995, not 49.95",
        ),
        (
            r#"{"id": "1", "title": "Thing", "price": "free"}"#,
            "price must be a whole number of cents such as 4995, not \"free\"",
        ),
        (&long_title, "title: a text must have at most 512 characters, this one has 513"),
        (r#"{"id": "ok", "title": "Thing"}"#, "line 1 has the id ok already"),
    ];
    let mut lines = String::from("{\"id\": \"ok\", \"title\": \"The only one\"}\n\n");
    for (line, _) in cases {
        lines = lines + line + "\n";
    }
    let imported = import(&lines);
    let reasons: Vec<_> = imported.report.unreadable.iter().map(|line| (line.line, line.reason.as_str())).collect();
    let expected: Vec<_> = (3..).zip(cases.map(|(_, reason)| reason)).collect();
    assert_eq!(reasons, expected);
    assert_eq!(&*products(&imported)[0].1.title, "The only one");
}

#[test]
fn a_known_product_type_takes_precedence_over_the_title() {
    let categories = [
        ("Processor", "Supermicro cooler", "processors"),
        ("1", "Intel Xeon E5405 processor 2 GHz", "processors"),
        ("", "Verbatim album 10 pc(s)", "other"),
        ("", "HP rp5700 Desktop PC", "computers"),
    ];
    for (product_type, title, category) in categories {
        let line = json!({"id": "1", "title": title, "attr_t_product_type": product_type}).to_string();
        assert_eq!(products(&import(&line))[0].1.category.as_deref(), Some(category), "{title}");
    }
}

#[test]
fn a_description_without_words_beyond_the_title_is_left_out() {
    let cases = [("Cable, USB  2 m", None), ("black usb cable", Some("black usb cable")), ("<ul></ul>", None)];
    for (text, description) in cases {
        let line = json!({"id": "1", "title": "2 m USB cable", "short_description": text}).to_string();
        assert_eq!(products(&import(&line))[0].1.description.as_deref(), description, "{text}");
    }
}

#[test]
fn attributes_that_an_event_cannot_hold_are_left_out_and_counted() {
    let (kept, imported) = attributes(&json!({
        "attr_t_compatibility": "x".repeat(513),
        "attr_t_features": "x".repeat(512),
        format!("attr_t_{}", "long_".repeat(14)): "x",
        "attr_t_empty": " ",
        "attr_t_list": ["x"],
        "attr_n_capacity": 500,
        "attr_t_capacity": "500 GB",
        "attr_n_quantity_per_pallet": 126,
        "img_500x500": "no attribute",
    }));
    assert_eq!(kept, [("capacity".to_owned(), "500 GB".to_owned()), ("features".to_owned(), "x".repeat(512))]);
    let left_out = [(LeftOut::Logistics, 1), (LeftOut::NoValue, 2), (LeftOut::SameName, 1), (LeftOut::BeyondLimits, 2)];
    assert_eq!(details(&imported).attributes_left_out, left_out.into());

    let many: Map<String, Value> = (0..300).map(|number| (format!("attr_n_{number}"), json!(number))).collect();
    let (kept, imported) = attributes(&many.into());
    assert_eq!(kept.len(), MAX_ATTRIBUTES);
    assert_eq!(details(&imported).attributes_left_out, [(LeftOut::BeyondLimits, 44)].into());
}

#[test]
fn without_a_past_release_the_time_of_the_import_is_used() {
    let cases = [
        ("2020-06-01T09:00:00+09:00", "2020-06-01T00:00:00Z"),
        ("2026-11-26T12:00:01Z", "2026-11-26T12:00:00Z"),
        ("0001-01-01T00:00:00Z", "2026-11-26T12:00:00Z"),
        ("soon", "2026-11-26T12:00:00Z"),
    ];
    for (released, time) in cases {
        let line = json!({"id": "1", "title": "Thing", "date_released": released}).to_string();
        let time: DateTime<Utc> = time.parse().unwrap();
        assert_eq!(products(&import(&line))[0].0.time, time, "{released}");
    }
}

#[test]
fn ids_depend_on_the_file_and_the_product() {
    let lines = "{\"id\": \"1\", \"title\": \"Thing\"}\n{\"id\": \"2\", \"title\": \"Thing\"}\n";
    let ids = |lines: &str, settings: &Settings| -> Vec<String> {
        products(&import_with(lines, settings)).iter().map(|(envelope, _)| envelope.id.clone()).collect()
    };
    let first = ids(lines, &settings());
    assert_ne!(first[0], first[1]);
    let later = Settings { now: Utc::now(), shifts_orders: false, ..settings() };
    assert_eq!(ids(&lines.replace("Thing", "Other thing"), &later), first);
    assert_ne!(ids(lines, &Settings { source: "import/other".to_owned(), ..settings() })[0], first[0]);
}

#[test]
fn the_report_is_flat_json_and_a_table() {
    let imported = import("{\"id\": \"1\", \"title\": \"Thing\", \"attr_n_ark_id\": 5}\n{}\n");
    let expected = json!({
        "lines": 2, "unreadable": [{"line": 2, "reason": "it has no id"}],
        "products": 1, "orders": 0, "cancellations": 0,
        "without_category": 1, "without_description": 1, "without_price": 1, "without_release": 1,
        "attributes": 0, "attributes_left_out": {"logistics": 1}, "produced": {},
    });
    assert_eq!(serde_json::to_value(&imported.report).unwrap(), expected);
    let text = imported.report.to_text();
    assert!(text.contains("left out: packing, shipping and the source's own numbers"), "{text}");
}
