//! Upgrade test: a log that an earlier version exported is imported, folded, rebuilt and verified, and importing its
//! source file again changes nothing. See `fixtures/upgrade/README.md`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_test_support::Shop;
use jangbogo_test_support::chat::ChatShop;
use jangbogo_test_support::log::{Kind, read};
use serde_json::Value;

/// Messages of each conversation in the fixture.
const MESSAGES: [&str; 3] =
    ["I am looking for a Christmas gift under 5 pounds", "not red", "플라스틱 말고 하트 모양으로 추천해줘"];
const CONVERSATIONS: [&str; 3] = ["member-a", "member-b", "member-c"];
const REPLY_TIMEOUT: Duration = Duration::from_mins(2);

/// Distinct events of the log, or what the rows say of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    orders: i64,
    sold_units: i64,
    sold_minor: i64,
    cancelled_units: i64,
    cancelled_minor: i64,
    /// Messages of members, not replies.
    messages: i64,
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "tests", "fixtures", "upgrade", name].iter().collect()
}

/// Computed from the log by code that the programs under test do not share.
fn totals_of_log(shop: &Shop) -> Totals {
    let (mut totals, mut seen) = (Totals::default(), HashSet::new());
    let namespace = shop.connections.namespace.to_string();
    let count = |record: &jangbogo_test_support::log::Record| {
        if !seen.insert((record.source.clone(), record.id.clone())) {
            return;
        }
        let items = || record.data["items"].as_array().unwrap().iter();
        let sum = |field: &str| items().map(|item| item[field].as_i64().unwrap()).sum::<i64>();
        match record.kind {
            Kind::OrderCompleted => {
                totals.orders += i64::from(record.data["member_id"].is_string());
                totals.sold_units += sum("quantity");
                totals.sold_minor += sum("total_minor");
            }
            Kind::OrderCancelled => {
                totals.cancelled_units += sum("quantity");
                totals.cancelled_minor += sum("total_minor");
            }
            Kind::MessageCreated => totals.messages += i64::from(record.data["role"] == "user"),
            _ => {}
        }
    };
    tokio::task::block_in_place(|| read(&shop.connections.kafka, &namespace, count));
    totals
}

async fn totals_of_rows(shop: &Shop) -> Totals {
    let schema = shop.live(&ANALYTICS).await.unwrap().generation.schema;
    let sql = format!(
        "SELECT (SELECT count(*) FROM {schema}.member_order), coalesce(sum(sold_units), 0)::bigint,
                coalesce(sum(sold_minor), 0)::bigint, coalesce(sum(cancelled_units), 0)::bigint,
                coalesce(sum(cancelled_minor), 0)::bigint, (SELECT count(asked_on) FROM {schema}.turn)
         FROM {schema}.product_sales"
    );
    let row: (i64, i64, i64, i64, i64, i64) = sqlx::query_as(&sql).fetch_one(&mut shop.database().await).await.unwrap();
    let (orders, sold_units, sold_minor, cancelled_units, cancelled_minor, messages) = row;
    Totals { orders, sold_units, sold_minor, cancelled_units, cancelled_minor, messages }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_an_earlier_version_folds_to_its_totals() {
    let mut shop = Shop::open("upgrade").await;
    let imported = shop.run(&["replay", "import", "--json", "--from", fixture("log").to_str().unwrap()]);
    let summary: Value = serde_json::from_str(&imported).unwrap();
    assert_eq!((&summary["produced"], &summary["offsets_kept"]), (&summary["records"], &true.into()));
    let expected = totals_of_log(&shop);
    assert!(expected.orders > 0 && expected.cancelled_units > 0, "{expected:?}");
    assert_eq!(expected.messages, i64::try_from(CONVERSATIONS.len() * MESSAGES.len()).unwrap());

    shop.start_processors();
    shop.settle().await;
    assert_eq!(totals_of_rows(&shop).await, expected, "folded live");
    let folded = shop.digest().await.tables;
    shop.run(&["replay", "rebuild", "--all"]);
    shop.run(&["replay", "verify", "--all"]);
    shop.settle().await;
    assert_eq!(totals_of_rows(&shop).await, expected, "rebuilt");
    assert_eq!(shop.digest().await.tables, folded);

    // Event ids are derived from the file: all of its events are in the log already.
    shop.import(fixture("orders.csv").to_str().unwrap());
    shop.settle().await;
    assert_eq!(totals_of_log(&shop), expected, "an imported event has another id than before");
    assert_eq!(totals_of_rows(&shop).await, expected, "imported again");
    assert_eq!(shop.digest().await.tables, folded);
    shop.close().await;
}

/// Exports a small shop to `fixtures/upgrade/log`, where no export may be yet.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the fixture, once for each released version"]
async fn make_the_fixture() {
    let chat = ChatShop::open("fixture", &[]).await;
    chat.import(&fixture("orders.csv")).await;
    for member in CONVERSATIONS {
        let conversation = chat.open_conversation(member).await;
        for content in MESSAGES {
            let message = chat.say(conversation, content).await;
            chat.wait_for_reply(conversation, message, REPLY_TIMEOUT).await;
        }
    }
    chat.shop.settle().await;
    chat.shop.run(&["replay", "export", "--all", "--to", fixture("log").to_str().unwrap()]);
    chat.close().await;
}
