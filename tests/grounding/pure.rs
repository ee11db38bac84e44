//! Grounding without servers: analysis, ranking and replies are pure functions.

use std::collections::BTreeMap;

use jangbogo_assistant::{ground_reply, template_reply};
use jangbogo_events::{
    Currency, Intent, Money, Payload as _, ProductId, RecommendationGenerated, RecommendedProduct, SubScores, Text,
};
use jangbogo_nlu::{
    AnalysedMessage, Analysis, Context, ProductText, ShownProduct, Vocabulary, analyse, request_so_far,
};
use jangbogo_ranking::{Candidate, Language, Product, RankedItem, RankingInput, Scored, Weights};
use jangbogo_test_support::hostile::{GROUNDED, UNGROUNDED};

use super::catalogue::{Catalogue, changes, from_orders};
use super::generator::{Expected, conversation};
use super::judge::{Judge, Reply};
use super::report::Report;
use super::scale;
use super::words::words;

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
        let mut recommendation = RecommendationGenerated::example();
        recommendation.items.clear();
        if !matches!(understanding.intent, Intent::SmallTalk | Intent::Other) {
            let request_words = words(&request.words);
            let is_match = |candidate: &Candidate| request_words.iter().any(|word| candidate.words.contains(word));
            let matches = self.snapshot.candidates.iter().filter(|(_, candidate)| is_match(candidate));
            self.snapshot.found = matches.map(|(id, _)| id.clone()).take(40).collect();
            let ranking = jangbogo_ranking::rank(&self.snapshot, Some(&request), Weights::default(), 10);
            let language = Language::from_tag(&understanding.language);
            recommendation.lacking = ranking.unmet;
            recommendation.items =
                ranking.items.iter().map(|item| self.recommended(item, language, &request)).collect();
        }
        (recommendation.understood, recommendation.request) = (Box::new(understanding), Box::new(request));
        recommendation
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

fn analysed(recommendation: &RecommendationGenerated) -> AnalysedMessage<'_> {
    AnalysedMessage {
        analysis: &recommendation.understood,
        request: &recommendation.request,
        found_nothing: recommendation.items.is_empty(),
    }
}

fn shown_products(items: &[RecommendedProduct]) -> Vec<ShownProduct> {
    let product = |item: &RecommendedProduct| ShownProduct {
        product_id: item.product_id.clone(),
        title: item.title.to_string(),
        category: None,
        price: item.price,
    };
    items.iter().map(product).collect()
}

#[test]
fn replies_of_pure_functions_are_grounded() {
    let (conversations, seed) = scale(60);
    let catalogue = catalogue();
    let (mut shop, judge) = (Shop::from_catalogue(&catalogue), Judge::new(&catalogue));
    let mut report = Report::new();
    let mut model_replies = ModelReplies::default();
    for number in 0..conversations {
        let mut context = Context::new(Currency::new("GBP").unwrap());
        let mut expected = Expected::default();
        let mut turns: Vec<RecommendationGenerated> = Vec::new();
        for utterance in conversation(seed, number) {
            let lists: Vec<_> = turns.iter().map(|recommendation| &*recommendation.items).collect();
            expected.apply(&utterance.meaning, &lists);
            context.shown = shown_products(lists.iter().rfind(|list| !list.is_empty()).copied().unwrap_or_default());
            context.request = request_so_far(turns.iter().map(analysed));
            let recommendation = shop.recommend(analyse(&shop.vocabulary, &context, &utterance.text));
            let (text, product_ids) = template_reply(&recommendation);
            let product_ids = product_ids.iter().map(ProductId::as_str).collect();
            let reply = Reply { text: &text, product_ids };
            report.add(&judge, (&utterance, &expected), &recommendation, &reply);
            // Many lists are similar: one conversation in ten is enough.
            if report.conversations.is_multiple_of(10) {
                model_replies.check(&recommendation);
            }
            turns.push(recommendation);
        }
        report.conversations += 1;
    }
    let ModelReplies { refused, accepted } = model_replies;
    println!("without servers: {report}; {refused} false replies of a model refused, {accepted} true ones accepted");
    report.assert_no_faults();
}

/// Numbers of a model's replies that the grounding check refused and accepted.
#[derive(Default)]
struct ModelReplies {
    refused: usize,
    accepted: usize,
}

impl ModelReplies {
    fn check(&mut self, recommendation: &RecommendationGenerated) {
        if recommendation.items.is_empty() {
            return;
        }
        for ungrounded in UNGROUNDED {
            // Alone, and after a true sentence.
            for text in [(*ungrounded).to_owned(), format!("I would take [1]. {ungrounded}")] {
                assert!(
                    ground_reply(&text, recommendation).is_err(),
                    "{text:?} is accepted about {:?}",
                    recommendation.items[0]
                );
                self.refused += 1;
            }
        }
        for text in GROUNDED {
            let result = ground_reply(text, recommendation).map(|(text, _)| text);
            assert!(result.is_ok(), "{text:?} is refused about {:?}: {result:?}", recommendation.items[0]);
            self.accepted += 1;
        }
    }
}
