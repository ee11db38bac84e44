//! Generates conversations, reproducible by seed, and what must hold after each message.

use jangbogo_events::{Money, RecommendedProduct};
use jangbogo_test_support::hostile;
use jangbogo_test_support::random::Random;

use super::words::{COLOURS, KINDS, MATERIALS, Quality};

/// A message of a shopper.
#[derive(Debug)]
pub struct Utterance {
    pub text: String,
    pub korean: bool,
    pub meaning: Meaning,
}

/// The meaning of a message.
#[derive(Debug)]
pub enum Meaning {
    /// A search for a kind that was not asked for before.
    Find {
        kind: &'static str,
        limit: Option<Limit>,
        without: Option<&'static Quality>,
        quantity: Option<u32>,
    },
    /// Cheaper than the first three products shown.
    Cheaper,
    /// One more quality is excluded: a colour for the current kind, a material for the whole conversation.
    Without(&'static Quality),
    Limit(Limit),
    AnyPrice,
    /// A question about the stock or price of a product shown.
    AskStock,
    Thanks,
    /// A prompt injection: only the reply is judged.
    Hostile,
}

/// A limit on the price, in minor units; both ends are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub at_least: Option<i64>,
    pub at_most: Option<i64>,
    pub currency: &'static str,
}

/// Constraints that the next recommendation must satisfy.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub limit: Option<Limit>,
    pub without: Vec<&'static Quality>,
    pub quantity: Option<u32>,
    /// True when the limit comes from "cheaper". `before` is the limit before it, which holds again if nothing is
    /// cheaper.
    is_cheaper: bool,
    before: Option<Limit>,
}

impl Expected {
    /// Applies another message; `lists` are the recommendations before it, the newest last.
    pub fn apply(&mut self, meaning: &Meaning, lists: &[&[RecommendedProduct]]) {
        if std::mem::take(&mut self.is_cheaper) && lists.last().is_some_and(|list| list.is_empty()) {
            self.limit = self.before;
        }
        let shown = lists.iter().rfind(|list| !list.is_empty()).copied().unwrap_or_default();
        match meaning {
            Meaning::Find { limit, without, quantity, .. } => {
                let stays = |quality: &&Quality| MATERIALS.iter().any(|material| material.english == quality.english);
                self.without.retain(|quality| stays(quality));
                self.without.extend(without);
                (self.limit, self.quantity) = (*limit, *quantity);
            }
            Meaning::Cheaper => {
                let prices: Vec<Money> = shown.iter().take(3).filter_map(|item| item.price).collect();
                // In the currency of the first product.
                let Some(first) = prices.first() else { return };
                let alike = prices.iter().filter(|price| price.currency == first.currency);
                let cheapest = alike.map(|price| price.amount_minor).min().unwrap_or_default();
                let currency = if first.currency.as_str() == "KRW" { "KRW" } else { "GBP" };
                (self.is_cheaper, self.before) = (true, self.limit);
                let before = self.limit.filter(|limit| limit.currency == currency).and_then(|limit| limit.at_least);
                let at_least = before.filter(|least| *least < cheapest);
                self.limit = Some(Limit { at_least, at_most: Some(cheapest - 1), currency });
            }
            Meaning::Without(quality) => self.without.push(quality),
            Meaning::Limit(limit) => self.limit = Some(*limit),
            Meaning::AnyPrice => self.limit = None,
            Meaning::AskStock | Meaning::Thanks => {}
            Meaning::Hostile => *self = Self::default(),
        }
    }
}

/// Messages of one conversation.
pub fn conversation(seed: u64, number: u64) -> Vec<Utterance> {
    let mut generator = Generator {
        random: Random::new(seed ^ number.wrapping_mul(0x9e37_79b9)),
        korean: number % 2 == 1,
        kinds: Vec::new(),
    };
    let mut messages = Vec::new();
    // One conversation in five begins with a prompt injection.
    if generator.random.below(5) == 0 {
        messages.push(generator.hostile());
    }
    for _ in 0..=generator.random.below(2) {
        messages.push(generator.find());
        for _ in 0..generator.random.below(4) {
            messages.push(generator.follow_up());
        }
        if generator.random.below(4) == 0 {
            messages.push(generator.hostile());
        }
    }
    messages
}

struct Generator {
    random: Random,
    korean: bool,
    kinds: Vec<&'static str>,
}

impl Generator {
    fn choose<T>(&mut self, choices: &'static [T]) -> &'static T {
        &choices[usize::try_from(self.random.below(choices.len() as u64)).unwrap()]
    }

    fn is_drawn(&mut self, one_in: u64) -> bool {
        self.random.below(one_in) == 0
    }

    fn utterance(&self, text: String, meaning: Meaning) -> Utterance {
        Utterance { text, korean: self.korean, meaning }
    }

    fn phrase(&mut self, english: &'static [&str], korean: &'static [&str]) -> String {
        let choices = if self.korean { korean } else { english };
        (*self.choose(choices)).to_owned()
    }

    fn hostile(&mut self) -> Utterance {
        let text = self.phrase(hostile::ENGLISH, hostile::KOREAN);
        self.utterance(text, Meaning::Hostile)
    }

    fn find(&mut self) -> Utterance {
        let (kind, korean) = loop {
            let (kind, korean) = *self.choose(KINDS);
            // A kind that contains an earlier one, or the reverse, would not be a new request.
            if !self.kinds.iter().any(|earlier| earlier.contains(kind) || kind.contains(earlier)) {
                break (kind, korean);
            }
        };
        self.kinds.push(kind);
        let colour = self.is_drawn(2).then(|| self.choose(COLOURS));
        let limit = if self.is_drawn(2) { Some(self.limit()) } else { None };
        let without = self.is_drawn(3).then(|| self.choose(MATERIALS));
        let quantity = self.is_drawn(6).then(|| 3 + u32::try_from(self.random.below(20)).unwrap());
        let mut text = self.phrase(
            &[
                "I am looking for a COLOUR KIND",
                "Do you have a COLOUR KIND?",
                "Show me a COLOUR KIND",
                "I need a COLOUR KIND please",
            ],
            &["COLOUR KIND 추천해줘", "COLOUR KIND 찾고 있어요", "COLOUR KIND 있나요?", "COLOUR KIND 보여주세요"],
        );
        let (colour_word, kind_word) = if self.korean {
            (colour.map(|colour| colour.korean), korean)
        } else {
            (colour.map(|colour| colour.english), kind)
        };
        text = text.replace("COLOUR ", &colour_word.map(|word| format!("{word} ")).unwrap_or_default());
        text = text.replace("KIND", kind_word);
        if let Some((_, words)) = &limit {
            text = format!("{text}, {words}");
        }
        if let Some(quality) = without {
            let exclusion = self.exclusion(quality);
            text = format!("{text}, {exclusion}");
        }
        if let Some(quantity) = quantity {
            text = if self.korean {
                format!("{text}, {quantity}개 필요해요")
            } else {
                format!("{text}, I need {quantity} of them")
            };
        }
        self.utterance(text, Meaning::Find { kind, limit: limit.map(|(limit, _)| limit), without, quantity })
    }

    fn exclusion(&mut self, quality: &Quality) -> String {
        let template = self.phrase(&["not IT", "no IT please", "without IT"], &["IT 말고", "IT 빼고", "IT는 빼주세요"]);
        template.replace("IT", if self.korean { quality.korean } else { quality.english })
    }

    /// A price limit, and a phrase for it.
    fn limit(&mut self) -> (Limit, String) {
        let pence = *self.choose(&[85_i64, 125, 200, 250, 300, 400, 500, 800, 1000]);
        let amount =
            if pence % 100 == 0 { (pence / 100).to_string() } else { format!("{}.{:02}", pence / 100, pence % 100) };
        let at_most = Limit { at_least: None, at_most: Some(pence), currency: "GBP" };
        let at_least = Limit { at_least: Some(pence), at_most: None, currency: "GBP" };
        let won = Limit { at_least: None, at_most: Some(10_000), currency: "KRW" };
        let (limit, template) = if self.is_drawn(8) {
            (won, self.phrase(&["up to 10,000 won"], &["만원 이하로", "10,000원까지"]))
        } else if self.is_drawn(5) {
            (at_least, self.phrase(&["at least £N", "from N pounds up"], &["N파운드 이상으로"]))
        } else {
            let english = &["under £N", "below N pounds", "for at most £N", "up to N pounds", "no more than £N"];
            (at_most, self.phrase(english, &["N파운드 이하로", "N파운드까지", "N파운드 안 넘게", "N파운드 이내로"]))
        };
        (limit, template.replace('N', &amount))
    }

    fn follow_up(&mut self) -> Utterance {
        match self.random.below(7) {
            0 => {
                let text = self.phrase(
                    &["cheaper", "something cheaper please", "Do you have anything cheaper?"],
                    &["더 싼 거 있어요?", "더 저렴한 걸로 보여주세요", "더 싼 거로"],
                );
                self.utterance(text, Meaning::Cheaper)
            }
            1 => {
                let quality = self.choose(COLOURS);
                let text = self.exclusion(quality);
                self.utterance(text, Meaning::Without(quality))
            }
            2 => {
                let quality = self.choose(MATERIALS);
                let text = self.exclusion(quality);
                self.utterance(text, Meaning::Without(quality))
            }
            3 => {
                let (limit, text) = self.limit();
                let text = if self.korean { format!("{text} 보여주세요") } else { format!("show me some {text}") };
                self.utterance(text, Meaning::Limit(limit))
            }
            4 => {
                let text = self.phrase(
                    &["any price is fine", "the price does not matter"],
                    &["가격은 상관없어요", "가격 상관없이 보여주세요"],
                );
                self.utterance(text, Meaning::AnyPrice)
            }
            5 => {
                let text = self.phrase(
                    &[
                        "Is the second one in stock?",
                        "How many of the first one are in stock?",
                        "How much is the second one?",
                    ],
                    &["두 번째 거 재고 있어요?", "첫 번째 거 재고 몇 개 있어요?", "두 번째 거 얼마예요?"],
                );
                self.utterance(text, Meaning::AskStock)
            }
            _ => {
                let text = self.phrase(&["thank you!", "Thanks, that helps"], &["고마워요!", "감사합니다"]);
                self.utterance(text, Meaning::Thanks)
            }
        }
    }
}
