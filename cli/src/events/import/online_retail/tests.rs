//! The rules on small files, and the counts of the demo shop's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use jangbogo_events::Data;

use super::*;
use crate::events::import::{DEMO_SHOP, input};

const HEADER: &str = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,CustomerID,Country\n";

fn settings() -> Settings {
    Settings { source: "import/test".to_owned(), time_zone: Tz::UTC, now: Utc::now(), shifts_orders: false }
}

fn import_with(lines: &str, settings: &Settings) -> Imported {
    read(&mut format!("{HEADER}{lines}").as_bytes(), settings).unwrap()
}

fn import(lines: &str) -> Imported {
    let imported = import_with(lines, &settings());
    assert_every_line_is_counted(&imported);
    imported
}

fn details(imported: &Imported) -> &InvoiceDetails {
    let Details::Invoices(details) = &imported.report.details else { panic!("{:?}", imported.report) };
    details
}

fn assert_every_line_is_counted(imported: &Imported) {
    let (report, details) = (&imported.report, details(imported));
    let skipped: u64 = details.skipped.values().sum();
    let unreadable = report.unreadable.len() as u64;
    assert_eq!(details.order_lines + details.cancellation_lines + skipped + unreadable, report.lines);
}

fn products(imported: &Imported) -> Vec<&ProductUpserted> {
    let mut products = Vec::new();
    for event in &imported.events {
        if let Data::ProductUpserted(product) = &event.data {
            products.push(product);
        }
    }
    products
}

fn orders(imported: &Imported) -> Vec<(&Envelope, &OrderCompleted)> {
    let mut orders = Vec::new();
    for event in &imported.events {
        if let Data::OrderCompleted(order) = &event.data {
            orders.push((&event.envelope, order));
        }
    }
    orders
}

fn cancellations(imported: &Imported) -> Vec<&OrderCancelled> {
    let mut cancellations = Vec::new();
    for event in &imported.events {
        if let Data::OrderCancelled(cancellation) = &event.data {
            cancellations.push(cancellation);
        }
    }
    cancellations
}

#[test]
fn an_invoice_becomes_an_order_with_its_lines_as_items() {
    let imported = import(
        "1,22180,RETRO SPOT LAMP,3,2009-12-01 07:46:00,9.95,13085,UK\n\
         2,22423,REGENCY CAKESTAND 3 TIER,1,2009-12-01 08:00:00,12.75,,UK\n\
         1,22180,RETRO SPOT LAMP,1,2009-12-01 07:45:00,9.95,13085,UK\n",
    );
    let orders = orders(&imported);
    let [(first_envelope, first), (_, second)] = orders.as_slice() else { panic!("{orders:?}") };
    assert_eq!(first.order_id.as_str(), "1");
    assert_eq!(first.member_id.as_deref(), Some("13085"));
    assert_eq!(first.currency.as_str(), "GBP");
    let items: Vec<_> = first.items.iter().map(|item| (item.quantity.units(), item.total_minor)).collect();
    assert_eq!(items, [(3, 2985), (1, 995)], "a product may stand on several lines");
    assert_eq!(first_envelope.time.to_rfc3339(), "2009-12-01T07:45:00+00:00", "the earliest time counts");
    assert_eq!(first_envelope.source, "import/test");
    assert_eq!(second.member_id, None);
    assert_eq!(details(&imported).invoices_with_several_times, 1);
    assert_eq!((details(&imported).ordered_units, details(&imported).ordered_minor), (5, 5255));
    let names: Vec<_> = imported.events.iter().map(|event| event.data.event_type().name()).collect();
    assert_eq!(names, ["product-upserted", "product-upserted", "order-completed", "order-completed"]);
}

#[test]
fn a_cancellation_takes_back_positive_units() {
    let imported = import(
        "C3,22180,RETRO SPOT LAMP,-2,2009-12-02 07:45:00,9.95,13085,UK\n\
         C3,22180,RETRO SPOT LAMP,1,2009-12-02 07:45:00,9.95,13085,UK\n",
    );
    let cancellations = cancellations(&imported);
    let [cancellation] = cancellations.as_slice() else { panic!("{cancellations:?}") };
    assert_eq!((cancellation.cancellation_id.as_str(), &cancellation.order_id), ("C3", &None));
    assert_eq!((cancellation.items[0].quantity.units(), cancellation.items[0].total_minor), (2, 1990));
    assert_eq!(details(&imported).skipped, [(Skip::PositiveQuantityOnCancellation, 1)].into());
    assert_eq!(products(&imported)[0].price.unwrap().amount_minor, 995, "known from the cancellation alone");
}

#[test]
fn lines_that_are_no_sale_are_left_out_by_reason() {
    let imported = import(
        "1,22180,damaged,-5,2009-12-01 07:45:00,0.0,,UK\n\
         2,22180,found,5,2009-12-01 07:45:00,0.0,,UK\n\
         3,22180,LAMP,0,2009-12-01 07:45:00,1.0,,UK\n\
         4,22180,LAMP,1,2009-12-01 07:45:00,-1.0,,UK\n\
         5,POST,POSTAGE,1,2009-12-01 07:45:00,18.0,13085,UK\n\
         5,m,Manual,1,2009-12-01 07:45:00,18.0,13085,UK\n\
         5,gift_0001_20,Dotcomgiftshop Gift Voucher,1,2009-12-01 07:45:00,17.0,13085,UK\n\
         6,22423,GIVEN AWAY WITH AN ORDER,1,2009-12-01 07:45:00,0.0,,UK\n\
         6,PADS,PADS TO MATCH ALL CUSHIONS,1,2009-12-01 07:45:00,0.001,,UK\n",
    );
    let expected = [
        (Skip::NegativeQuantity, 1),
        (Skip::ZeroQuantity, 1),
        (Skip::Service, 3),
        (Skip::NegativePrice, 1),
        (Skip::StockKeeping, 1),
    ];
    assert_eq!(details(&imported).skipped, expected.into());
    let services: BTreeMap<String, u64> = details(&imported).services.clone();
    assert_eq!(services, ["GIFT_0001_20", "M", "POST"].map(|code| (code.to_owned(), 1)).into());
    assert_eq!((details(&imported).invoices, details(&imported).empty_invoices), (6, 5));
    let products = products(&imported);
    let described: Vec<_> = products.iter().map(|product| (&*product.title, product.price)).collect();
    assert_eq!(described, [("GIVEN AWAY WITH AN ORDER", None), ("PADS TO MATCH ALL CUSHIONS", None)]);
    assert_eq!(orders(&imported)[0].1.items[1].total_minor, 0, "a tenth of a penny rounds to none");
}

#[test]
fn a_product_takes_its_most_used_title_and_its_latest_price() {
    let imported = import(
        "2,85123a,HEART HOLDER,1,2009-12-03 07:45:00,2.95,,UK\n\
         1,85123A, HEART  HOLDER ,1,2009-12-01 07:45:00,2.55,,UK\n\
         1,85123A,?,1,2009-12-01 07:45:00,0,,UK\n\
         1,85123A,?,1,2009-12-01 07:45:00,0,,UK\n\
         1,85123A ,CREAM HEART HOLDER,1,2009-12-01 07:45:00,2.55,,UK\n\
         C4,85123A,HEART HOLDER,-1,2009-12-04 07:45:00,1.00,,UK\n\
         5,85123A,HEART HOLDER,1,2009-12-05 07:45:00,0,7,UK\n",
    );
    let products = products(&imported);
    let [product] = products.as_slice() else { panic!("{products:?}") };
    assert_eq!((product.product_id.as_str(), &*product.title), ("85123A", "HEART HOLDER"));
    assert_eq!(product.price.unwrap().amount_minor, 295);
    assert_eq!(imported.events[0].envelope.time.to_rfc3339(), "2009-12-01T07:45:00+00:00");
    assert_eq!(details(&imported).merged_spellings, 1);
}

#[test]
fn a_line_that_cannot_be_read_is_reported_and_the_rest_imported() {
    let imported = import(
        "1,22180,LAMP,one,2009-12-01 07:45:00,1.0,,UK\n\
         1,22180,\"LAMP,1,2009-12-01 07:45:00,1.0,,UK\n\
         \n\
         1,22180,LAMP,2000000,2009-12-01 07:45:00,1.0,,UK\n\
         1,22180,LAMP,1,2009-12-01 07:45:00,1.0,,UK",
    );
    let reasons: Vec<_> = imported.report.unreadable.iter().map(|line| (line.line, line.reason.as_str())).collect();
    let expected = [
        (2, "Quantity \"one\" is not a whole number"),
        (3, "a quote is opened and not closed"),
        (4, "it is empty"),
        (5, "Quantity: a quantity must be 1 to 1000000, not 2000000"),
    ];
    assert_eq!(reasons, expected);
    assert_eq!(orders(&imported).len(), 1);
    assert!(read(&mut b"a,b\n".as_slice(), &settings()).is_err());
    assert!(import("").events.is_empty());
}

#[test]
fn times_move_by_whole_weeks_and_ids_do_not_change() {
    let lines = "1,22180,LAMP,1,2009-12-01 07:45:00,1.0,,UK\n2,22180,LAMP,1,2009-12-09 20:01:00,1.0,,UK\n";
    let kept = import(lines);
    for now in ["2026-11-22T15:00:00Z", "2026-11-25T20:01:00Z", "2009-12-01T00:00:00Z"] {
        let now: DateTime<Utc> = now.parse().unwrap();
        let moved = import_with(lines, &Settings { now, shifts_orders: true, ..settings() });
        let newest = details(&moved).newest.unwrap();
        assert!(newest <= now && now - newest < Duration::weeks(1), "{newest} for {now}");
        let shift = Duration::weeks(details(&moved).shifted_weeks);
        for (kept, moved) in kept.events.iter().zip(&moved.events) {
            let by = moved.envelope.time - kept.envelope.time;
            assert_eq!(by, shift, "every event moves alike");
            assert_eq!((&kept.envelope.id, &kept.data), (&moved.envelope.id, &moved.data));
        }
    }
    let other_file = import_with(lines, &Settings { source: "import/other".to_owned(), ..settings() });
    assert_ne!(kept.events[0].envelope.id, other_file.events[0].envelope.id);
}

#[test]
fn times_are_read_in_the_shops_time_zone() {
    let lines = "1,22180,LAMP,1,2010-03-28 01:30:00,1.0,,UK\n2,22180,LAMP,1,2010-07-01 12:00:00,1.0,,UK\n";
    let imported = import_with(lines, &Settings { time_zone: Tz::Europe__London, ..settings() });
    let times: Vec<_> = orders(&imported).iter().map(|(envelope, _)| envelope.time.to_rfc3339()).collect();
    assert_eq!(times, ["2010-03-28T01:30:00+00:00", "2010-07-01T11:00:00+00:00"], "01:30 was skipped that night");
}

/// The demo shop's file, whose counts were taken with another program.
#[test]
fn the_demo_shop_has_its_known_counts() {
    let settings = Settings { source: "import/online-retail-ii".to_owned(), ..settings() };
    let imported = read(&mut input::open(Path::new(DEMO_SHOP)).unwrap(), &settings).unwrap();
    let (report, details) = (&imported.report, details(&imported));
    assert_every_line_is_counted(&imported);
    assert_eq!((report.lines, details.invoices), (525_461, 28_816));
    assert!(report.unreadable.is_empty());
    assert_eq!(details.skipped[&Skip::NegativeQuantity], 2_121);
    assert_eq!(details.merged_spellings, 151);
    assert_eq!(details.invoices_with_several_times, 41);
    assert_eq!(details.skipped[&Skip::Service], 2_963);
    assert_eq!(details.skipped[&Skip::StockKeeping], 1_118);
    assert_eq!((report.products, report.orders, report.cancellations), (4_097, 20_587, 4_106));
    assert_eq!((details.order_lines, details.cancellation_lines), (509_676, 9_582));
    assert_eq!((details.ordered_units, details.cancelled_units), (5_847_536, 209_861));
    assert_eq!((details.ordered_minor, details.cancelled_minor), (983_874_794, 24_783_181));

    let mut ids = HashSet::new();
    let mut newest_of_key = HashMap::new();
    for event in &imported.events {
        assert!(ids.insert(event.envelope.hash()), "the id {} comes twice", event.envelope.id);
        let key = (event.data.event_type().topic(), event.data.key().into_owned());
        let newest = newest_of_key.insert(key, event.envelope.time);
        assert!(newest.is_none_or(|newest| newest <= event.envelope.time), "out of order: {event:?}");
    }
    let products = products(&imported);
    let without_category =
        products.iter().filter(|product| product.category.as_deref() == Some(category::OTHER)).count();
    assert!(without_category * 100 < products.len() * 15, "{without_category} of {} products", products.len());
}
