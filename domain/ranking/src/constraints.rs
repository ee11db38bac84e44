//! Hard constraints: stock, price limits and exclusions.

use jangbogo_events::Request;

use crate::candidate::Candidate;

/// True if a product meets the hard constraints of a request.
pub(crate) fn allows(request: &Request, candidate: &Candidate) -> bool {
    in_stock(request, candidate) && affordable(request, candidate) && !excluded(request, candidate)
}

/// A product whose stock is not counted is in stock.
fn in_stock(request: &Request, candidate: &Candidate) -> bool {
    let needed = i64::from(request.quantity.unwrap_or(1).max(1));
    candidate.product.stock.is_none_or(|stock| stock >= needed)
}

/// An unknown price, or one in another currency, is within no limit.
fn affordable(request: &Request, candidate: &Candidate) -> bool {
    let Some(limit) = &request.price else { return true };
    candidate.product.price.as_ref().is_some_and(|(amount, currency)| {
        *currency == *limit.currency.as_str()
            && limit.min_minor.is_none_or(|min| *amount >= min)
            && limit.max_minor.is_none_or(|max| *amount <= max)
    })
}

fn excluded(request: &Request, candidate: &Candidate) -> bool {
    request.wishes.iter().any(|wish| !wish.wanted && candidate.mentions(&wish.slot, &wish.value))
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{Currency, PriceRange, Text, Wish};

    use super::*;
    use crate::candidate::Product;

    fn bag(price: Option<(i64, &str)>, stock: Option<i64>) -> Candidate {
        let price = price.map(|(amount, currency)| (amount, currency.to_owned()));
        Candidate::new(Product { title: "PLASTIC LUNCH BAG".to_owned(), price, stock, ..Product::default() })
    }

    fn at_most(max_minor: i64) -> Request {
        let currency = Currency::new("GBP").unwrap();
        Request {
            price: Some(PriceRange { min_minor: None, max_minor: Some(max_minor), currency }),
            ..Request::default()
        }
    }

    #[test]
    fn a_price_must_be_known_and_within_the_limit() {
        for (price, allowed) in
            [(Some((300, "GBP")), true), (Some((301, "GBP")), false), (Some((1, "USD")), false), (None, false)]
        {
            assert_eq!(allows(&at_most(300), &bag(price, None)), allowed, "{price:?}");
        }
        assert!(allows(&Request::default(), &bag(None, None)));
    }

    #[test]
    fn the_stock_must_cover_the_quantity() {
        let three = Request { quantity: Some(3), ..Request::default() };
        for (stock, allowed) in [(None, true), (Some(3), true), (Some(2), false)] {
            assert_eq!(allows(&three, &bag(None, stock)), allowed, "{stock:?}");
        }
        assert!(!allows(&Request::default(), &bag(None, Some(0))));
    }

    #[test]
    fn excluded_products_are_left_out() {
        let wish = |value: &str, wanted| Wish {
            slot: Text::new("material").unwrap(),
            value: Text::new(value).unwrap(),
            wanted,
        };
        let without = |value| Request { wishes: vec![wish(value, false)], ..Request::default() };
        assert!(!allows(&without("plastic"), &bag(None, None)));
        assert!(allows(&without("wood"), &bag(None, None)));
    }
}
