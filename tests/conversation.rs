//! The chain from a message to its reply, on real servers: every message is answered exactly once, also when reactors
//! are killed and processors are rebuilt.

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

/// Processors with reactors of the chain.
const REACTOR_HOSTS: [&str; 4] = ["embedder", "preference-analysis", "recommendation", "assistant"];
/// Topics of the chain's events.
const OUTPUTS: [Topic; 3] = [Topic::PreferenceEvents, Topic::RecommendationEvents, Topic::ConversationMessageCreated];
const CONVERSATIONS: u64 = 5;
const CONTENTS: [&str; 6] = [
    "I am looking for a red lunch bag under 3 pounds",
    "cheaper",
    "빨간색 도시락 가방 추천해줘, 플라스틱 말고",
    "not red",
    "do you have anything for a birthday?",
    "thanks!",
];
const ANSWERED_WITHIN: Duration = Duration::from_mins(3);
/// Time between two kills of reactors. The time itself is tested: reactors are killed at work.
const KILL_INTERVAL: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread")]
async fn every_message_gets_one_reply_despite_kills_repetitions_and_rebuilds() {
    let mut chat = ChatShop::open("conversation", &[]).await;
    chat.shop.produce(&catalogue()).await;
    chat.shop.settle().await;

    let conversations: Vec<Conversation> = (0..CONVERSATIONS).map(Conversation::new).collect();
    replies_survive_kills_and_cut_overs(&mut chat, &conversations).await;
    repeated_messages_have_no_effect(&chat, &conversations).await;
    retractions_survive_a_rebuild(&chat).await;
    as_of_reads_return_earlier_recommendations_with_their_causes(&chat).await;
    chat.close().await;
}

/// The events of one conversation: its opening and its messages.
struct Conversation {
    number: u64,
    id: Uuid,
    member_id: MemberId,
    began: DateTime<Utc>,
}

impl Conversation {
    fn new(number: u64) -> Self {
        let member_id = MemberId::new(format!("talker-{number}")).unwrap();
        Self { number, id: Uuid::now_v7(), member_id, began: Utc::now() - TimeDelta::hours(1) }
    }

    fn event(&self, position: u64, data: Data) -> Event {
        let time = self.began + TimeDelta::seconds(position.cast_signed());
        Event { envelope: Envelope::new(format!("talk-{}-{position}", self.number), "test", time), data }
    }

    fn opening(&self) -> Event {
        let (conversation_id, member_id) = (self.id, self.member_id.clone());
        self.event(0, ConversationCreated { conversation_id, member_id, title: None }.into())
    }

    /// The message at a position, counted from 1.
    fn message(&self, position: u64, content: &str) -> Event {
        let data = MessageCreated {
            message_id: self.message_id(position),
            conversation_id: self.id,
            member_id: self.member_id.clone(),
            content: Text::new(content).unwrap(),
            ..MessageCreated::example()
        };
        self.event(position, data.into())
    }

    fn message_id(&self, position: u64) -> Uuid {
        Uuid::from_u128(self.id.as_u128() + u128::from(position))
    }

    fn messages(&self) -> BTreeSet<String> {
        (1..=CONTENTS.len() as u64).map(|position| self.message_id(position).to_string()).collect()
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

/// The entries of a conversation by message and kind.
async fn turns(chat: &ChatShop, conversation: &Conversation) -> BTreeMap<String, BTreeMap<String, Vec<Value>>> {
    let mut turns: BTreeMap<String, BTreeMap<String, Vec<Value>>> = BTreeMap::new();
    for entry in chat.entries(conversation.id).await {
        let kind = match (entry["kind"].as_str().unwrap(), entry["data"]["role"].as_str()) {
            ("message", Some(role)) => role,
            (kind, _) => kind,
        };
        let turn = turns.entry(entry["message_id"].as_str().unwrap().to_owned()).or_default();
        turn.entry(kind.to_owned()).or_default().push(entry.clone());
    }
    turns
}

/// Waits until every message of these conversations is answered. Asserts that each has one intent, one recommendation
/// from that intent, and one reply with that recommendation.
async fn wait_until_answered_once(chat: &ChatShop, conversations: &[Conversation]) {
    let began = Instant::now();
    for conversation in conversations {
        let turns = loop {
            let turns = turns(chat, conversation).await;
            let is_answered = |message: &String| turns.get(message).is_some_and(|turn| turn.contains_key("ai"));
            if conversation.messages().iter().all(is_answered) {
                break turns;
            }
            assert!(began.elapsed() < ANSWERED_WITHIN, "not answered: {turns:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        for (message, turn) in turns {
            let only = |kind: &str| match turn.get(kind).map(Vec::as_slice) {
                Some([one]) => one,
                other => panic!("{message} has {other:?} as its {kind}"),
            };
            let (intent, recommendation, reply) = (only("intent"), only("recommendation"), only("ai"));
            assert_eq!(only("user")["data"]["message_id"], message.as_str());
            assert_eq!(recommendation["data"]["intent_event_id"], intent["event_id"]);
            assert_eq!(reply["data"]["recommendation_id"], recommendation["data"]["recommendation_id"]);
            assert_eq!(reply["data"]["in_reply_to"], message.as_str());
        }
    }
}

/// Sends every event twice, kills reactors repeatedly, and rebuilds all processors meanwhile.
async fn replies_survive_kills_and_cut_overs(chat: &mut ChatShop, conversations: &[Conversation]) {
    let mut rebuild = tokio::process::Command::from(chat.shop.command(&["replay", "rebuild", "--all"]));
    let mut rebuilding = None;
    for conversation in conversations {
        chat.shop.produce(&[conversation.opening(), conversation.opening()]).await;
    }
    for (round, content) in CONTENTS.into_iter().enumerate() {
        // Not every message before it is answered yet.
        for conversation in conversations {
            let message = conversation.message(round as u64 + 1, content);
            chat.shop.produce(&[message.clone(), message]).await;
        }
        tokio::time::sleep(KILL_INTERVAL).await;
        let victim = REACTOR_HOSTS[round % REACTOR_HOSTS.len()];
        chat.shop.kill(victim);
        chat.start_processor(victim);
        if round == 2 {
            rebuilding = Some(rebuild.kill_on_drop(true).spawn().unwrap());
        }
    }
    let status = rebuilding.unwrap().wait().await.unwrap();
    assert!(status.success(), "replay rebuild: {status}");
    wait_until_answered_once(chat, conversations).await;
    chat.shop.settle().await;
    chat.shop.run(&["replay", "verify", "--all"]);
}

fn end_offsets_of_outputs(shop: &Shop) -> Vec<i64> {
    OUTPUTS.map(|topic| shop.end_offsets(&shop.connections.namespace.topic(topic)).iter().sum()).into()
}

/// A message that is sent again after its reply has no effect.
async fn repeated_messages_have_no_effect(chat: &ChatShop, conversations: &[Conversation]) {
    let before = end_offsets_of_outputs(&chat.shop);
    let again = |conversation: &Conversation| {
        (1..).zip(CONTENTS).map(|(position, content)| conversation.message(position, content)).collect()
    };
    let again: Vec<Event> = conversations.iter().flat_map::<Vec<Event>, _>(again).collect();
    chat.shop.produce(&again).await;
    // Messages of a conversation are answered in order: when the next one is, the repetitions have been handled.
    let position = CONTENTS.len() as u64 + 1;
    let next: Vec<Event> =
        conversations.iter().map(|conversation| conversation.message(position, "a birthday card, please")).collect();
    chat.shop.produce(&next).await;
    for conversation in conversations {
        chat.wait_for_reply(conversation.id, conversation.message_id(position), ANSWERED_WITHIN).await;
    }
    let conversations = i64::try_from(conversations.len()).unwrap();
    let messages = i64::try_from(again.len()).unwrap();
    let grown: Vec<i64> =
        end_offsets_of_outputs(&chat.shop).iter().zip(&before).map(|(now, before)| now - before).collect();
    assert_eq!(
        grown,
        [conversations, conversations, messages + 2 * conversations],
        "intents, recommendations, messages"
    );
}

/// A member's likes, as `slot value`.
async fn likes(chat: &ChatShop, member: &str) -> BTreeSet<String> {
    let Some(preferences) = chat.get(&format!("/v1/members/{member}/preferences")).await else {
        return BTreeSet::new();
    };
    let name = |like: &Value| format!("{} {}", like["slot"].as_str().unwrap(), like["value"].as_str().unwrap());
    preferences["likes"].as_array().unwrap().iter().map(name).collect()
}

/// Retracts one like by message and one over HTTP. After a rebuild both stay retracted and the others are there.
async fn retractions_survive_a_rebuild(chat: &ChatShop) {
    let member = "fickle";
    let conversation = chat.open_conversation(member).await;
    for content in ["I like plastic", "I like red", "I like wood", "forget that I like plastic"] {
        let message = chat.say(conversation, content).await;
        chat.wait_for_reply(conversation, message, ANSWERED_WITHIN).await;
    }
    chat.shop.settle().await;
    assert_eq!(likes(chat, member).await, ["color red", "material wood"].map(str::to_owned).into());
    let retraction = json!({ "slot": "color", "value": "red" });
    chat.post(&format!("/v1/members/{member}/preferences/retractions"), &retraction).await;
    let began = Instant::now();
    while likes(chat, member).await.contains("color red") {
        assert!(began.elapsed() < Duration::from_secs(30), "the like is not retracted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    chat.shop.settle().await;
    let before = chat.get(&format!("/v1/members/{member}/preferences")).await;
    let ends_before = end_offsets_of_outputs(&chat.shop);
    chat.shop.run(&["replay", "rebuild", "--all"]);
    assert_eq!(likes(chat, member).await, ["material wood".to_owned()].into());
    assert_eq!(chat.get(&format!("/v1/members/{member}/preferences")).await, before);
    assert_eq!(end_offsets_of_outputs(&chat.shop), ends_before, "a rebuild reacts to nothing");
}

/// As of a time between two messages only the first recommendation was shown, and each part of its scores names events
/// of the log.
async fn as_of_reads_return_earlier_recommendations_with_their_causes(chat: &ChatShop) {
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
    // Event times are in milliseconds: the time lies between the two messages.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let time = Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = chat.say(conversation, "a glass vase").await;
    chat.wait_for_reply(conversation, second, ANSWERED_WITHIN).await;
    chat.shop.settle().await;

    let past = chat.shop.command(&["replay", "at", &time, "recommendation"]).output().unwrap();
    let output = String::from_utf8([past.stdout, past.stderr].concat()).unwrap();
    assert!(past.status.success(), "{output}");
    let as_of =
        output.split("?as_of=").nth(1).unwrap().split(|end: char| !end.is_ascii_hexdigit() && end != '-').next();
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
            let causes_of_part: Vec<&Value> =
                item["caused_by"].as_array().unwrap().iter().filter(|cause| cause["sub_score"] == part).collect();
            // Trending products have no cause of their own: they score 0.2 at most.
            let least = if part == "collaborative" { 0.2 } else { 0.0 };
            assert!(
                item["sub_scores"][part].as_f64().unwrap() <= least || !causes_of_part.is_empty(),
                "{part} of {item}"
            );
            causes.extend(causes_of_part.iter().map(|cause| cause["event_id"].as_str().unwrap().to_owned()));
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
        assert!(is_folded, "{cause} is not a folded event");
    }
}
