//! Grounding without servers: analysis, ranking and replies are pure functions.

use std::collections::BTreeMap;

use jangbogo_assistant::reply::{grounded, write_locally};
use jangbogo_events::{
    Currency, Intent, Money, Payload as _, ProductId, RecommendationGenerated, RecommendedProduct, SubScores, Text,
};
use jangbogo_nlu::{Analysis, Answered, Context, ProductText, ShownProduct, Vocabulary, analyse, request_so_far};
use jangbogo_ranking::{Candidate, Language, Product, RankedItem, RankingInput, Scored, Weights};
use jangbogo_test_support::hostile::{HONEST, LIES};

use crate::catalogue::{Catalogue, changes, from_orders};
use crate::generator::{Expected, conversation};
use crate::judge::{Judge, Reply};
use crate::report::Report;
use crate::scale;
use crate::words::words;

/// Number of order lines that make the catalogue.
const LINES: usize = 3000;

fn catalogue() -> Catalogue {
    let directory = tempfile::tempdir().unwrap();
    let mut catalogue = from_orders(&jangbogo_test_support::demo_lines(directory.path(), LINES));
    for product in changes(&catalogue) {
        catalogue.insert(product.product_id.to_string(), product);
    }
    catalogue
}

/// The inputs of the pure functions.
struct Shop {
    vocabulary: Vocabulary,
    snapshot: RankingInput,
}

impl Shop {
    fn from_catalogue(catalogue: &Catalogue) -> Self {
        let vocabulary = Vocabulary::learn(catalogue.values().map(|product| ProductText {
            product_id: product.product_id.as_str(),
            title: &product.title,
            description: product.description.as_deref(),
            ..ProductText::default()
        }));
        let candidates: BTreeMap<String, Candidate> = catalogue
            .iter()
            .map(|(product_id, product)| {
                let facets = jangbogo_lexicon::facets(&product.title, product.description.as_deref(), []);
                let mut by_slot: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for (slot, value) in facets.iter() {
                    by_slot.entry(slot.name().to_owned()).or_default().push(value.to_owned());
                }
                let product = Product {
                    title: product.title.to_string(),
                    text: product.description.as_deref().unwrap_or_default().to_owned(),
                    price: product.price.map(|price| (price.amount_minor, price.currency.as_str().to_owned())),
                    stock: product.stock.map(i64::from),
                    facets: by_slot,
                    ..Product::default()
                };
                (product_id.clone(), Candidate::new(product))
            })
            .collect();
        let trending = candidates.keys().map(|id| Scored { product_id: id.clone(), score: 1.0 }).collect();
        let mut snapshot = RankingInput { candidates, ..RankingInput::default() };
        snapshot.known.trending = trending;
        Self { vocabulary, snapshot }
    }

    /// The recommendation for an analysed message.
    fn recommend(&mut self, analysis: Analysis) -> RecommendationGenerated {
        let Analysis { understanding, request } = analysis;
        let mut given = RecommendationGenerated::example();
        given.items.clear();
        if !matches!(understanding.intent, Intent::SmallTalk | Intent::Other) {
            let wanted = words(&request.words);
            let is_found = |candidate: &Candidate| wanted.iter().any(|word| candidate.words.contains(word));
            let found = self.snapshot.candidates.iter().filter(|(_, candidate)| is_found(candidate));
            self.snapshot.found = found.map(|(id, _)| id.clone()).take(40).collect();
            let ranking = jangbogo_ranking::rank(&self.snapshot, Some(&request), Weights::default(), 10);
            let language = Language::from_tag(&understanding.language);
            given.lacking = ranking.lacking;
            given.items = ranking.items.iter().map(|item| self.recommended(item, language, &request)).collect();
        }
        (given.understood, given.request) = (Box::new(understanding), Box::new(request));
        given
    }

    fn recommended(
        &self,
        item: &RankedItem,
        language: Language,
        request: &jangbogo_events::Request,
    ) -> RecommendedProduct {
        let product = &self.snapshot.candidates[&item.product_id].product;
        let price = product.price.as_ref();
        RecommendedProduct {
            product_id: ProductId::new(item.product_id.as_str()).unwrap(),
            title: Text::new(product.title.as_str()).unwrap(),
            category: None,
            price: price.map(|(amount_minor, currency)| Money {
                amount_minor: *amount_minor,
                currency: Currency::new(currency).unwrap(),
            }),
            stock: product.stock.map(|stock| u32::try_from(stock).unwrap()),
            score: item.score,
            sub_scores: SubScores { content: item.content, collaborative: item.collaborative, intent: item.intent },
            reason: Text::new(jangbogo_ranking::reason(language, Some(request), item, |id| id)).unwrap(),
            caused_by: Vec::new(),
        }
    }
}

fn answered(given: &RecommendationGenerated) -> Answered<'_> {
    Answered { understood: &given.understood, request: &given.request, found_nothing: given.items.is_empty() }
}

fn shown(items: &[RecommendedProduct]) -> Vec<ShownProduct> {
    let product = |item: &RecommendedProduct| ShownProduct {
        product_id: item.product_id.clone(),
        title: item.title.to_string(),
        category: None,
        price: item.price,
    };
    items.iter().map(product).collect()
}

#[test]
fn what_the_shop_says_without_servers_is_so() {
    let (conversations, seed) = scale(60);
    let catalogue = catalogue();
    let (mut shop, judge) = (Shop::from_catalogue(&catalogue), Judge::new(&catalogue));
    let mut report = Report::new();
    let mut lies = Lies::default();
    for number in 0..conversations {
        let mut context = Context::new(Currency::new("GBP").unwrap());
        let mut expected = Expected::default();
        let mut turns: Vec<RecommendationGenerated> = Vec::new();
        for said in conversation(seed, number) {
            let lists: Vec<_> = turns.iter().map(|given| &*given.items).collect();
            expected.after(&said.meaning, &lists);
            context.shown = shown(lists.iter().rfind(|list| !list.is_empty()).copied().unwrap_or_default());
            context.request = request_so_far(turns.iter().map(answered));
            let given = shop.recommend(analyse(&shop.vocabulary, &context, &said.text));
            let (text, named) = write_locally(&given);
            let reply = Reply { text: &text, names: named.iter().map(ProductId::as_str).collect() };
            report.add(&judge, (&said, &expected), &given, &reply);
            // Many lists are similar: one conversation in ten is enough.
            if report.conversations.is_multiple_of(10) {
                lies.check(&given);
            }
            turns.push(given);
        }
        report.conversations += 1;
    }
    println!("without servers: {report}; {} lies of a model refused, {} honest answers sent", lies.refused, lies.sent);
    report.assert_no_faults();
}

/// Counts of a model's answers that were rejected and accepted.
#[derive(Default)]
struct Lies {
    refused: usize,
    sent: usize,
}

impl Lies {
    fn check(&mut self, given: &RecommendationGenerated) {
        if given.items.is_empty() {
            return;
        }
        for lie in LIES {
            // Also after a true sentence.
            for answer in [(*lie).to_owned(), format!("I would take [1]. {lie}")] {
                assert!(grounded(&answer, given).is_err(), "{answer:?} is sent about {:?}", given.items[0]);
                self.refused += 1;
            }
        }
        for answer in HONEST {
            let sent = grounded(answer, given).map(|(text, _)| text);
            assert!(sent.is_ok(), "{answer:?} is not sent about {:?}: {sent:?}", given.items[0]);
            self.sent += 1;
        }
    }
}
