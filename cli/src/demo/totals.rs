//! The demo shop's totals, computed straight from its file by other code than the importer's.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use ruzstd::decoding::StreamingDecoder;

use super::log_counts::Totals;

/// Totals the lines of goods: orders' positive quantities, and cancellations' (invoices `C…`) negative ones.
pub fn from_file(path: &Path) -> anyhow::Result<Totals> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut lines = csv::ReaderBuilder::new().quoting(true).from_reader(StreamingDecoder::new(file)?);
    let header = lines.headers()?.clone();
    let column = |name: &str| {
        header.iter().position(|title| title == name).with_context(|| format!("there is no column {name}"))
    };
    let (invoice, code, quantity, price, customer) =
        (column("Invoice")?, column("StockCode")?, column("Quantity")?, column("Price")?, column("CustomerID")?);
    let mut invoices: BTreeMap<String, Vec<(String, i64, String, bool)>> = BTreeMap::new();
    for line in lines.records() {
        let line = line?;
        invoices.entry(line[invoice].to_owned()).or_default().push((
            line[code].trim().to_uppercase(),
            line[quantity].parse()?,
            line[price].to_owned(),
            line[customer].is_empty(),
        ));
    }
    let mut totals = Totals::default();
    for (invoice, lines) in &invoices {
        if let [(_, _, price, true)] = lines.as_slice()
            && pence(price, 1)? == 0
            && !price.contains(|digit: char| digit.is_ascii_digit() && digit != '0')
        {
            // A single line with neither price nor customer is a stock-keeping entry.
            continue;
        }
        for (_, quantity, price, _) in lines.iter().filter(|(code, ..)| is_goods(code)) {
            let cancelled = invoice.starts_with('C');
            if cancelled != (*quantity < 0) || *quantity == 0 {
                continue;
            }
            let total = pence(price, quantity.abs())?;
            if cancelled {
                totals.cancelled_units += quantity.abs();
                totals.cancelled_minor += total;
            } else {
                totals.sold_units += quantity;
                totals.sold_minor += total;
            }
        }
    }
    Ok(totals)
}

/// True for five digits and at most two letters, and for the few other series of goods.
fn is_goods(code: &str) -> bool {
    let digits = code.bytes().take_while(u8::is_ascii_digit).count();
    let letters = code.bytes().skip(digits).all(|byte| byte.is_ascii_uppercase());
    let ordinary = digits == 5 && code.len() <= 7 && letters;
    let special =
        code.strip_prefix("SP").is_some_and(|rest| rest.len() == 4 && rest.bytes().all(|b| b.is_ascii_digit()));
    ordinary || special || code == "PADS" || code.starts_with("DCGS")
}

/// Price times quantity in pence, rounded half to even, in ten-thousandths of a pound.
fn pence(price: &str, quantity: i64) -> anyhow::Result<i64> {
    let (pounds, fraction) = price.split_once('.').unwrap_or((price, ""));
    let parts = format!("{fraction:0<4}");
    let negative = pounds.starts_with('-');
    let pounds: i64 = pounds.trim_start_matches('-').parse().with_context(|| format!("{price} is not a price"))?;
    let unit = pounds * 10_000 + parts[..4].parse::<i64>().with_context(|| format!("{price} is not a price"))?;
    let exact = unit * quantity;
    let (whole, rest) = (exact / 100, exact % 100);
    let rounded = whole + i64::from(rest > 50 || (rest == 50 && whole % 2 == 1));
    Ok(if negative { -rounded } else { rounded })
}
