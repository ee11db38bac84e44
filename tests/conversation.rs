//! The chain from a message to its answer, on real servers: total, once, and the same after whatever happens to those who
//! react.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use jangbogo_events::{
    CategoryId, ConversationCreated, Currency, Data, Envelope, Event, MemberId, MessageCreated, Money, Payload as _,
    ProductId, ProductUpserted, Text, Topic,
};
use jangbogo_test_support::Shop;
use jangbogo_test_support::chat::ChatShop;
use serde_json::{Value, json};
use uuid::Uuid;

/// Whose reactors make the chain.
const REACTING: [&str; 4] = ["embedder", "preference-analysis", "recommendation", "assistant"];
/// Where the chain's events stand.
const OUTPUTS: [Topic; 3] = [Topic::PreferenceEvents, Topic::RecommendationEvents, Topic::ConversationMessageCreated];
const CONVERSATIONS: u64 = 5;
const SAYINGS: [&str; 6] = [
    "I am looking for a red lunch bag under 3 pounds",
    "cheaper",
    "빨간색 도시락 가방 추천해줘, 플라스틱 말고",
    "not red",
    "do you have anything for a birthday?",
    "thanks!",
];
const ANSWERED_WITHIN: Duration = Duration::from_mins(3);
/// How long who reacts lives until it is killed.
const LIFE: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_once_and_stays_answered() {
    let mut chat = ChatShop::open("talk", &[]).await;
    chat.shop.produce(&catalogue()).await;
    chat.shop.settle().await;

    let talks: Vec<Talk> = (0..CONVERSATIONS).map(Talk::new).collect();
    each_is_answered_though_its_reactors_are_killed_and_cut_over(&mut chat, &talks).await;
    what_comes_again_is_not_answered_again(&chat, &talks).await;
    what_is_taken_back_stays_so_when_all_is_folded_anew(&chat).await;
    a_past_moment_says_what_was_shown_and_why(&chat).await;
    chat.close().await;
}

/// A conversation as its events: its opening, and what its member says.
struct Talk {
    number: u64,
    conversation_id: Uuid,
    member_id: MemberId,
    began: DateTime<Utc>,
}

impl Talk {
    fn new(number: u64) -> Self {
        let member_id = MemberId::new(format!("talker-{number}")).unwrap();
        Self { number, conversation_id: Uuid::now_v7(), member_id, began: Utc::now() - TimeDelta::hours(1) }
    }

    fn event(&self, place: u64, data: Data) -> Event {
        let time = self.began + TimeDelta::seconds(place.cast_signed());
        Event { envelope: Envelope::new(format!("talk-{}-{place}", self.number), "test", time), data }
    }

    fn opening(&self) -> Event {
        let (conversation_id, member_id) = (self.conversation_id, self.member_id.clone());
        self.event(0, ConversationCreated { conversation_id, member_id, title: None }.into())
    }

    /// What its member says, the first in place 1.
    fn message(&self, place: u64, saying: &str) -> Event {
        let data = MessageCreated {
            message_id: self.message_id(place),
            conversation_id: self.conversation_id,
            member_id: self.member_id.clone(),
            content: Text::new(saying).unwrap(),
            ..MessageCreated::example()
        };
        self.event(place, data.into())
    }

    fn message_id(&self, place: u64) -> Uuid {
        Uuid::from_u128(self.conversation_id.as_u128() + u128::from(place))
    }

    fn messages(&self) -> BTreeSet<String> {
        (1..=SAYINGS.len() as u64).map(|place| self.message_id(place).to_string()).collect()
    }
}

fn catalogue() -> Vec<Event> {
    let titles = [
        ("LUNCH BAG RED RETROSPOT", "bags", 165),
        ("LUNCH BAG BLACK SKULL", "bags", 165),
        ("LUNCH BAG SPACEBOY DESIGN", "bags", 145),
        ("PLASTIC LUNCH BOX RED", "kitchen", 125),
        ("RED SPOTTY PLASTIC LUNCH BAG", "bags", 250),
        ("JUMBO BAG RED RETROSPOT", "bags", 208),
        ("BIRTHDAY CARD ELEPHANT", "stationery", 42),
        ("SET OF 20 PARTY CANDLES", "party", 85),
        ("BLUE GLASS VASE", "home", 495),
        ("WOODEN PICTURE FRAME WHITE", "home", 295),
    ];
    let product = |(number, (title, category, price)): (usize, (&str, &str, i64))| {
        let data = ProductUpserted {
            product_id: ProductId::new(format!("p-{number}")).unwrap(),
            title: Text::new(title).unwrap(),
            description: None,
            category: Some(CategoryId::new(category).unwrap()),
            brand: None,
            price: Some(Money { amount_minor: price, currency: Currency::new("GBP").unwrap() }),
            stock: Some(9),
            attributes: [].into(),
        };
        Event {
            envelope: Envelope::new(format!("product-{number}"), "test", Utc::now() - TimeDelta::hours(2)),
            data: data.into(),
        }
    };
    titles.into_iter().enumerate().map(product).collect()
}

/// The turns of a conversation: of each message, what came of it, by kind.
async fn turns(chat: &ChatShop, talk: &Talk) -> BTreeMap<String, BTreeMap<String, Vec<Value>>> {
    let mut turns: BTreeMap<String, BTreeMap<String, Vec<Value>>> = BTreeMap::new();
    for entry in chat.entries(talk.conversation_id).await {
        let kind = match (entry["kind"].as_str().unwrap(), entry["data"]["role"].as_str()) {
            ("message", Some(role)) => role,
            (kind, _) => kind,
        };
        let turn = turns.entry(entry["message_id"].as_str().unwrap().to_owned()).or_default();
        turn.entry(kind.to_owned()).or_default().push(entry.clone());
    }
    turns
}

/// Waits until every message of these conversations is answered, and looks at each: one intent, one recommendation made
/// of it, and one reply that speaks of that.
async fn all_are_answered_once(chat: &ChatShop, talks: &[Talk]) {
    let began = Instant::now();
    for talk in talks {
        let turns = loop {
            let turns = turns(chat, talk).await;
            let is_answered = |message: &String| turns.get(message).is_some_and(|turn| turn.contains_key("ai"));
            if talk.messages().iter().all(is_answered) {
                break turns;
            }
            assert!(began.elapsed() < ANSWERED_WITHIN, "not answered: {turns:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        for (message, turn) in turns {
            let of = |kind: &str| match turn.get(kind).map(Vec::as_slice) {
                Some([one]) => one,
                other => panic!("{message} has {other:?} as its {kind}"),
            };
            let (intent, recommendation, reply) = (of("intent"), of("recommendation"), of("ai"));
            assert_eq!(of("user")["data"]["message_id"], message.as_str());
            assert_eq!(recommendation["data"]["intent_event_id"], intent["event_id"]);
            assert_eq!(reply["data"]["recommendation_id"], recommendation["data"]["recommendation_id"]);
            assert_eq!(reply["data"]["in_reply_to"], message.as_str());
        }
    }
}

/// Every event is sent twice; whoever reacts is killed again and again; and all that is served is folded anew meanwhile.
async fn each_is_answered_though_its_reactors_are_killed_and_cut_over(chat: &mut ChatShop, talks: &[Talk]) {
    let mut rebuild = tokio::process::Command::from(chat.shop.command(&["replay", "rebuild", "--all"]));
    let mut rebuilding = None;
    for talk in talks {
        chat.shop.produce(&[talk.opening(), talk.opening()]).await;
    }
    for (round, saying) in SAYINGS.into_iter().enumerate() {
        // Not every message before it is answered yet.
        for talk in talks {
            let message = talk.message(round as u64 + 1, saying);
            chat.shop.produce(&[message.clone(), message]).await;
        }
        tokio::time::sleep(LIFE).await;
        let victim = REACTING[round % REACTING.len()];
        chat.shop.kill(victim);
        chat.start_processor(victim);
        if round == 2 {
            rebuilding = Some(rebuild.kill_on_drop(true).spawn().unwrap());
        }
    }
    let status = rebuilding.unwrap().wait().await.unwrap();
    assert!(status.success(), "replay rebuild: {status}");
    all_are_answered_once(chat, talks).await;
    chat.shop.settle().await;
    let verified = chat.shop.command(&["replay", "verify", "--all"]).status().unwrap();
    assert!(verified.success(), "replay verify: {verified}");
}

fn ends(shop: &Shop) -> Vec<i64> {
    OUTPUTS.map(|topic| shop.end_offsets(&shop.connections.namespace.topic(topic)).iter().sum()).into()
}

/// A message that is sent again after it was answered costs nothing.
async fn what_comes_again_is_not_answered_again(chat: &ChatShop, talks: &[Talk]) {
    let before = ends(&chat.shop);
    let again = |talk: &Talk| (1..).zip(SAYINGS).map(|(place, saying)| talk.message(place, saying)).collect();
    let again: Vec<Event> = talks.iter().flat_map::<Vec<Event>, _>(again).collect();
    chat.shop.produce(&again).await;
    // A conversation's messages are answered in their order: what follows is answered after what came again.
    let place = SAYINGS.len() as u64 + 1;
    let next: Vec<Event> = talks.iter().map(|talk| talk.message(place, "a birthday card, please")).collect();
    chat.shop.produce(&next).await;
    for talk in talks {
        chat.wait_for_reply(talk.conversation_id, talk.message_id(place), ANSWERED_WITHIN).await;
    }
    let talks = i64::try_from(talks.len()).unwrap();
    let messages = i64::try_from(again.len()).unwrap();
    let grown: Vec<i64> = ends(&chat.shop).iter().zip(&before).map(|(now, before)| now - before).collect();
    assert_eq!(grown, [talks, talks, messages + 2 * talks], "intents, recommendations, messages");
}

/// What a member likes, as `slot value`.
async fn likes(chat: &ChatShop, member: &str) -> BTreeSet<String> {
    let Some(known) = chat.get(&format!("/v1/members/{member}/preferences")).await else { return BTreeSet::new() };
    let name = |like: &Value| format!("{} {}", like["slot"].as_str().unwrap(), like["value"].as_str().unwrap());
    known["likes"].as_array().unwrap().iter().map(name).collect()
}

/// One taste is taken back in words, one over HTTP: neither comes back with a fresh fold, and what was not taken back does.
async fn what_is_taken_back_stays_so_when_all_is_folded_anew(chat: &ChatShop) {
    let member = "fickle";
    let conversation = chat.open_conversation(member).await;
    for saying in ["I like plastic", "I like red", "I like wood", "forget that I like plastic"] {
        let message = chat.say(conversation, saying).await;
        chat.wait_for_reply(conversation, message, ANSWERED_WITHIN).await;
    }
    chat.shop.settle().await;
    assert_eq!(likes(chat, member).await, ["color red", "material wood"].map(str::to_owned).into());
    let retraction = json!({ "slot": "color", "value": "red" });
    chat.post(&format!("/v1/members/{member}/preferences/retractions"), &retraction).await;
    let began = Instant::now();
    while likes(chat, member).await.contains("color red") {
        assert!(began.elapsed() < Duration::from_secs(30), "it still counts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    chat.shop.settle().await;
    let before = chat.get(&format!("/v1/members/{member}/preferences")).await;
    let ends_before = ends(&chat.shop);
    let rebuilt = chat.shop.command(&["replay", "rebuild", "--all"]).output().unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert_eq!(likes(chat, member).await, ["material wood".to_owned()].into());
    assert_eq!(chat.get(&format!("/v1/members/{member}/preferences")).await, before);
    assert_eq!(ends(&chat.shop), ends_before, "a fold anew reacts to nothing");
}

/// Between two messages: what was shown then is the first answer, and every part of its scores names events of the log.
async fn a_past_moment_says_what_was_shown_and_why(chat: &ChatShop) {
    let member = "historian";
    let conversation = chat.open_conversation(member).await;
    let order = json!({
        "order_id": "o-historian",
        "member_id": member,
        "currency": "GBP",
        "items": [{ "product_id": "p-1", "quantity": 1, "total_minor": 165 }],
    });
    chat.post("/v1/orders", &order).await;
    chat.shop.settle().await;
    let first = chat.say(conversation, "a red lunch bag").await;
    let shown = chat.wait_for_reply(conversation, first, ANSWERED_WITHIN).await.recommendation;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let moment = Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = chat.say(conversation, "a glass vase").await;
    chat.wait_for_reply(conversation, second, ANSWERED_WITHIN).await;
    chat.shop.settle().await;

    let past = chat.shop.command(&["replay", "at", &moment, "recommendation"]).output().unwrap();
    let said = String::from_utf8([past.stdout, past.stderr].concat()).unwrap();
    assert!(past.status.success(), "{said}");
    let as_of = said.split("?as_of=").nth(1).unwrap().split(|end: char| !end.is_ascii_hexdigit() && end != '-').next();
    let path = format!("/v1/members/{member}/shown?as_of={}", as_of.unwrap());
    let then = chat.get(&path).await.unwrap();
    let [only] = then["shown"].as_array().unwrap().as_slice() else { panic!("not one answer: {then}") };
    assert_eq!(only["items"], shown["items"]);
    let now = chat.get(&format!("/v1/members/{member}/shown")).await.unwrap();
    assert_eq!(now["shown"].as_array().unwrap().len(), 2);

    let items = shown["items"].as_array().unwrap();
    assert!(!items.is_empty());
    let mut causes = BTreeSet::new();
    for item in items {
        for part in ["content", "collaborative", "intent"] {
            let named: Vec<&Value> =
                item["caused_by"].as_array().unwrap().iter().filter(|cause| cause["sub_score"] == part).collect();
            // What is trending is the doing of the whole shop: no more than 0.2.
            let least = if part == "collaborative" { 0.2 } else { 0.0 };
            assert!(item["sub_scores"][part].as_f64().unwrap() <= least || !named.is_empty(), "{part} of {item}");
            causes.extend(named.iter().map(|cause| cause["event_id"].as_str().unwrap().to_owned()));
        }
    }
    let mut database = chat.shop.database().await;
    let schema = chat.shop.live(&jangbogo_recommendation_fold::RECOMMENDATION).await.unwrap().generation.schema;
    assert!(causes.contains(shown["intent_event_id"].as_str().unwrap()));
    let sources = ["test", "gateway", "preference-analysis.intent", "embedder.embed"];
    for cause in causes {
        let hashes: Vec<Uuid> =
            sources.iter().map(|source| Uuid::from_u128(jangbogo_events::event_hash(source, &cause))).collect();
        let sql = format!("SELECT EXISTS (SELECT FROM {schema}.seen WHERE event = ANY ($1))");
        let is_folded: bool = sqlx::query_scalar(&sql).bind(hashes).fetch_one(&mut database).await.unwrap();
        assert!(is_folded, "{cause} is no event");
    }
}
