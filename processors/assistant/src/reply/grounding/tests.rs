use jangbogo_events::{Payload as _, Text};

use super::*;

/// Two bags of the demo shop: one for £1.65 with seven in stock, one for £2.95 that is sold out; the requested limit is
/// £3.00.
fn recommendation() -> RecommendationGenerated {
    let mut recommendation = RecommendationGenerated::example();
    recommendation.items[0].stock = Some(7);
    let mut second = recommendation.items[0].clone();
    second.title = Text::new("JUMBO BAG PINK VINTAGE PAISLEY").unwrap();
    second.price = second.price.map(|price| jangbogo_events::Money { amount_minor: 295, ..price });
    second.stock = Some(0);
    second.reason = Text::new("often bought with CERAMIC STRAWBERRY MUG, which you bought").unwrap();
    recommendation.items.push(second);
    recommendation
}

const FIRST: &str = "LUNCH BAG RED RETROSPOT";
const SECOND: &str = "JUMBO BAG PINK VINTAGE PAISLEY";

fn checked(text: &str) -> Result<(), Ungrounded> {
    check(&text.replace("[1]", FIRST).replace("[2]", SECOND), &recommendation())
}

#[test]
fn statements_that_the_recommendation_supports_are_accepted() {
    for text in [
        // Prices, limits and stock, in any form.
        "[1] costs £1.65.",
        "[1] (£1.65) and [2] (£2.95) fit.",
        "[1] is 1.65 pounds, or 165 pence; [2] costs GBP 2.95.",
        "[1] is nice. It costs £1.65.",
        "Both are under £3, as you asked.",
        "I found nothing for £3.00 or less. Shall I look above 3 pounds?",
        "[1]: 7 in stock, and [2] is sold out.",
        "3.00파운드 이하로 [1] 어떠세요? 1.65파운드예요.",
        "[1] 상품은 1.65 파운드이고 재고 7개 있습니다. [2] 상품은 품절이에요.",
        "1. [1], £1.65 (red, under 3 pounds, often bought with your lunch box)\n\
         2. [2], £2.95 (often bought with CERAMIC STRAWBERRY MUG, which you bought)",
        // Kinds and colours of the products.
        "You may like [1]: a red bag with a retro pattern for your lunch.",
        "The pink one is [2], and it is a bag too.",
        "[1] 어떠세요? 빨간색 도시락 가방이에요.",
        // Requested products that were not found.
        "I have no teapots, I am afraid.",
        "Sorry, we have nothing like a teapot.",
        "You asked for a ceramic teapot; the closest I found is [1].",
        "Shall I look for a blue mug instead?",
        "Are you looking for a notebook?",
        "I found no teapots, notebooks or clocks.",
        "Noted. You like: teapot, notebook.",
        "I left out everything that is not red.",
        "찻주전자는 찾지 못했어요. 다른 상품을 찾아볼까요?",
        "말씀하신 파란색 머그컵은 없어요.",
        "파란색 말고 [1] 어떠세요?",
        // Places of use, and pleasantries.
        "[1] would look lovely on your kitchen table at Christmas.",
        "Of course! I'm happy to help, feel free to ask for more.",
        "[2] 상품은 책상 위에 두기 좋아요. 도와드릴 수 있어서 기뻐요!",
        "Shall I look for a \"lunch bag\"?",
        "Our shop has [1] for you.",
    ] {
        assert_eq!(checked(text), Ok(()), "{text}");
    }
}

#[test]
fn numbers_that_the_recommendation_does_not_have_are_refused() {
    for text in [
        "[1] costs £0.99.",
        "[1] costs £2.95.",
        "[2] is nice. It costs £1.65.",
        "[1] and [2] cost £1.65 and £1.65.",
        "[1] costs $1.65.",
        "[1] costs €1.65",
        "[1] costs only £3.00.",
        "[1] is under £2.",
        "It is only 2 pounds.",
        "It is only two pounds.",
        "It costs a mere 99p.",
        "[1] is one pound fifty.",
        "[1] costs 1.65.",
        "[1] costs £1.650",
        "[1] is 20% cheaper for you.",
        "[1] is half the price, fifty percent less.",
        "[1] 상품은 990원이에요.",
        "[1] 상품은 만원이에요.",
        "[1] 상품은 만 원에 드려요.",
        "[1] 상품은 3만 5천원입니다.",
        "[1] 상품은 이천오백원입니다.",
        "[1] 상품은 2파운드예요.",
        "[1] 상품은 두 파운드예요.",
        "[1] 상품은 3.00파운드예요.",
        "[1] comes in a set of 12.",
        "[1]: 8 in stock.",
        "[2]: 7 in stock.",
        "[1] 상품은 재고 9개 있습니다.",
        "[1] costs ½ pound",
        "[1] costs £１.65",
    ] {
        assert!(matches!(checked(text), Err(Ungrounded::Number(_))), "{text}: {:?}", checked(text));
    }
}

#[test]
fn false_statements_about_stock_are_refused() {
    for text in [
        "We have plenty in stock.",
        "[2] is in stock.",
        "[1] is sold out.",
        "[2] is available now.",
        "[1] and [2] are in stock.",
        "[2] and [1] are in stock.",
        "[2] is sold out, but so is [1]: sold out.",
        "[1] is not in stock.",
        "Everything else is out of stock.",
        "재고가 많아요.",
        "[2] 상품은 재고가 있어요.",
        "[1] 상품은 재고가 없어요.",
        "[1] 상품은 품절이에요.",
    ] {
        assert!(matches!(checked(text), Err(Ungrounded::Stock(_))), "{text}: {:?}", checked(text));
    }
}

#[test]
fn products_that_were_not_recommended_are_refused() {
    for text in [
        "We also have a lovely ceramic teapot for you.",
        "[1] is nice, and a ceramic teapot would go with it.",
        "No problem, here is a teapot.",
        "Why not try a blue notebook?",
        "Not only [1] but a teapot as well.",
        "[1] is made of leather.",
        "[1] is a blue bag.",
        "[2] is red.",
        "How about a teapot?",
        "Try the notebooks too!",
        "도자기 찻주전자도 있어요.",
        "예쁜 공책도 추천해요.",
        "[1] 상품은 파란색이에요.",
        "찾으시는 찻주전자가 여기 있어요!",
        "유리컵은 어떠세요?",
    ] {
        assert!(
            matches!(checked(text), Err(Ungrounded::Mention(_) | Ungrounded::Claim(_))),
            "{text}: {:?}",
            checked(text)
        );
    }
    for text in [
        "GOLDEN ELEPHANT DELUXE would suit you.",
        "How about our \"golden elephant\"?",
        "How about the Golden Elephant?",
        "Golden Elephant is what you need.",
        "LUNCH BAG RED RETROSPOT DELUXE is new.",
        "You should get a Dyson.",
        "「황금 코끼리」 어떠세요?",
    ] {
        let result = checked(text);
        assert!(
            matches!(result, Err(Ungrounded::Title(_) | Ungrounded::Claim(_) | Ungrounded::Mention(_))),
            "{text}: {result:?}"
        );
    }
}

#[test]
fn unsupported_claims_are_refused() {
    for text in [
        "[1] is on sale today.",
        "[1] is free for you.",
        "There is a discount on [1].",
        "[1] comes with free shipping.",
        "[1] is the cheapest.",
        "Only a few left!",
        "We have many more.",
        "Our flux capacitors are famous.",
        "Visit https://shop.example for more.",
        "[1] 지금 할인 중이에요.",
        "[1] 무료로 드려요.",
        "더 많은 상품을 보유하고 있습니다.",
        "비슷한 상품도 있어요.",
        "내일 배송해 드려요.",
    ] {
        assert!(matches!(checked(text), Err(Ungrounded::Claim(_))), "{text}: {:?}", checked(text));
    }
}

#[test]
fn a_title_is_not_replaced_inside_a_longer_one() {
    let mut recommendation = recommendation();
    recommendation.items[1].title = Text::new(format!("{FIRST} LARGE")).unwrap();
    assert_eq!(check(&format!("{FIRST} LARGE costs £2.95, {FIRST} £1.65."), &recommendation), Ok(()));
    assert!(check(&format!("{FIRST} LARGE costs £1.65."), &recommendation).is_err());
}
