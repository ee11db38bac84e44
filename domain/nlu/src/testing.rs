//! A small shop for tests, and a short notation of an understanding.

use std::sync::LazyLock;

use jangbogo_events::{Currency, Intent, Money, ProductId, Request, Text, Understanding, Wish};

use crate::{Analysis, Context, ProductText, ShownProduct, Vocabulary, analyse};

/// Titles of the shop, by category.
const PRODUCTS: &[(&str, &[&str])] = &[
    ("bags", &["LUNCH BAG RED RETROSPOT", "LUNCH BAG BLACK SKULL", "JUMBO BAG PINK", "PICNIC BAG BLUE PAISLEY"]),
    ("candles", &["WHITE HANGING HEART T-LIGHT HOLDER", "PACK OF 6 PILLAR CANDLES", "ROSE CANDLE IN TIN"]),
    ("clocks", &["RED DINER WALL CLOCK", "ALARM CLOCK BAKELIKE GREEN"]),
    ("signs", &["BATHROOM METAL SIGN"]),
    ("hot-water-bottles", &["KNITTED UNION FLAG HOT WATER BOTTLE"]),
    ("lunch-and-picnic", &["STRAWBERRY LUNCH BOX WITH CUTLERY", "PICNIC BASKET WICKER SMALL"]),
    ("kitchen", &["RED RETROSPOT OVEN GLOVE", "ENAMEL BREAD BIN CREAM"]),
    ("toys-and-games", &["CHILDRENS TOY DINOSAUR"]),
    ("home-decoration", &["ZINC METAL HEART DECORATION", "WOODEN HEART CHRISTMAS SCANDINAVIAN"]),
    ("bath-and-fragrance", &["LAVENDER SOAP"]),
    ("tea-and-coffee", &["SAVE THE PLANET MUG", "REGENCY TEA CUP"]),
    ("party", &["PARTY BUNTING", "RED SPOTTY PAPER NAPKINS"]),
    ("pets", &["DOG BOWL CHASING BALL"]),
    ("lighting", &["LANTERN CREAM GAZEBO"]),
    ("gift-wrap-and-cards", &["GIFT WRAP BLUE"]),
];

static SHOP: LazyLock<Vocabulary> = LazyLock::new(|| {
    Vocabulary::learn(PRODUCTS.iter().flat_map(|(category, titles)| {
        titles.iter().map(move |title| ProductText {
            product_id: title,
            title,
            category: Some(category),
            ..ProductText::default()
        })
    }))
});

pub(crate) fn shop() -> &'static Vocabulary {
    &SHOP
}

pub(crate) fn pounds() -> Currency {
    Currency::new("GBP").unwrap()
}

pub(crate) fn fresh() -> Context {
    Context::new(pounds())
}

pub(crate) fn wish(slot: &str, value: &str, wanted: bool) -> Wish {
    Wish { slot: Text::new(slot).unwrap(), value: Text::new(value).unwrap(), wanted }
}

/// Three lunch bags were shown: A (red), B (black, with skulls) and C (blue), for £1.65, £1.45 and £2.
pub(crate) fn shown() -> Context {
    let product = |id: &str, title: &str, price| ShownProduct {
        product_id: ProductId::new(id).unwrap(),
        title: title.to_owned(),
        category: Some("bags".to_owned()),
        price: Some(Money { amount_minor: price, currency: pounds() }),
    };
    Context {
        request: Request {
            words: Text::new("red lunch bag").unwrap(),
            wishes: vec![wish("product", "lunch bag", true), wish("color", "red", true)],
            ..Request::default()
        },
        shown: vec![
            product("A", "LUNCH BAG RED RETROSPOT", 165),
            product("B", "LUNCH BAG BLACK SKULL.", 145),
            product("C", "LUNCH BAG BLUE PAISLEY", 200),
        ],
        default_currency: pounds(),
    }
}

pub(crate) fn say(context: &Context, text: &str) -> Analysis {
    analyse(shop(), context, text)
}

pub(crate) fn intent(context: &Context, text: &str) -> Intent {
    say(context, text).understanding.intent
}

/// Short notation of an understanding: `color=red`, `-material=plastic`, `<=300GBP`, `x12`, `@A`, `forget color=red`,
/// `any color`, `cheaper`.
pub(crate) fn brief(understanding: &Understanding) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for wish in &understanding.wishes {
        all.push(format!("{}{}={}", if wish.wanted { "" } else { "-" }, &*wish.slot, &*wish.value));
    }
    if let Some(price) = understanding.price {
        all.extend(price.min_minor.map(|minor| format!(">={minor}{}", price.currency)));
        all.extend(price.max_minor.map(|minor| format!("<={minor}{}", price.currency)));
    }
    all.extend(understanding.price_direction.map(|direction| format!("{direction:?}").to_lowercase()));
    all.extend(understanding.quantity.map(|units| format!("x{units}")));
    all.extend(understanding.references.iter().map(|id| format!("@{id}")));
    all.extend(
        understanding.retracted.iter().map(|retraction| format!("forget {}={}", &*retraction.slot, &*retraction.value)),
    );
    all.extend(understanding.indifferent.iter().map(|slot| format!("any {}", &**slot)));
    all
}

/// Compares the understanding of texts in the notation of [`brief`], joined by `; `.
pub(crate) fn check(context: &Context, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let actual = brief(&say(context, text).understanding).join("; ");
        assert_eq!(actual, *expected, "{text}");
    }
}
