//! Conversations of `demo --once`, and checks of the answers: every product and price is in the catalogue, and
//! constraints are met.

use anyhow::{Context as _, ensure};
use jangbogo_events::Money;
use serde_json::{Value, json};
use uuid::Uuid;

use super::checks::eventually;
use super::conversation::{Conversation, Turn};
use super::log_counts::{LogCounts, Product};
use super::web::Web;

/// Price limit in pence.
const LIMIT_MINOR: i64 = 300;

/// A red lunch bag, then one that is not red, then a cheaper one; and a preference that is stated and retracted.
pub async fn in_english(web: &Web, counts: &LogCounts) -> anyhow::Result<String> {
    let member = new_member();
    let mut conversation = Conversation::open(web, &member).await?;

    let first = conversation.say("I am looking for a red retrospot lunch bag under 3 pounds").await?;
    check_facts(&first, counts)?;
    check_prices(&first, |minor| minor <= LIMIT_MINOR)?;
    check_first(&first, counts)?;

    let other = conversation.say("not red").await?;
    check_facts(&other, counts)?;
    check_prices(&other, |minor| minor <= LIMIT_MINOR)?;
    check_without(&other, "RED")?;

    let dearest = other.items().iter().filter_map(minor).max().context("the list is empty")?;
    let cheaper = conversation.say("cheaper").await?;
    check_facts(&cheaper, counts)?;
    check_prices(&cheaper, |minor| minor < dearest)?;

    let preferences = format!("/v1/members/{member}/preferences");
    let likes_plastic = |preferences: &Value| {
        preferences["likes"].as_array().into_iter().flatten().any(|like| like["value"] == "plastic")
    };
    conversation.say("I like plastic").await?;
    eventually(web, &preferences, likes_plastic).await.context("the preference is not stored")?;
    conversation.say("forget that I like plastic").await?;
    eventually(web, &preferences, |preferences| !likes_plastic(preferences))
        .await
        .context("the retracted preference is still stored")?;

    conversation.check_persisted().await?;
    Ok(summary(&[&first, &other, &cheaper]))
}

/// A red lunch bag that is not of plastic; and a question about the second product of the list.
pub async fn in_korean(web: &Web, counts: &LogCounts) -> anyhow::Result<String> {
    let mut conversation = Conversation::open(web, &new_member()).await?;

    let first = conversation.say("빨간색 도시락 가방 추천해줘, 3파운드 이하로, 플라스틱 말고").await?;
    check_facts(&first, counts)?;
    check_prices(&first, |minor| minor <= LIMIT_MINOR)?;
    check_without(&first, "PLASTIC")?;
    check_first(&first, counts)?;
    ensure!(is_korean(&first.reply), "the reply is not in Korean: {}", first.reply);

    let second = title(first.items().get(1))?;
    let more = conversation.say("두 번째 거 더 있어?").await?;
    check_facts(&more, counts)?;
    ensure!(more.reply.contains(second), "the reply about {second} does not name it: {}", more.reply);
    ensure!(is_korean(&more.reply), "the reply is not in Korean: {}", more.reply);

    conversation.check_persisted().await?;
    Ok(summary(&[&first, &more]))
}

fn new_member() -> String {
    format!("demo-{}", &Uuid::new_v4().simple().to_string()[..12])
}

fn summary(turns: &[&Turn]) -> String {
    let describe = |turn: &&Turn| {
        let first = turn.items().first().and_then(|item| item["title"].as_str()).unwrap_or("nothing");
        format!("{first} ({} ms)", turn.took.as_millis())
    };
    turns.iter().map(describe).collect::<Vec<_>>().join("; ")
}

/// Listed products are as in the catalogue; products that the reply names are listed, at their prices.
fn check_facts(turn: &Turn, counts: &LogCounts) -> anyhow::Result<()> {
    for item in turn.items() {
        let id = item["product_id"].as_str().unwrap_or_default();
        let Product { title, price } = counts.products.get(id).with_context(|| format!("there is no product {id}"))?;
        ensure!(item["title"] == title.as_str(), "{id} is {title}, the list has {}", item["title"]);
        ensure!(item["price"] == json!(price), "{title} costs {price:?}, the list has {}", item["price"]);
    }
    for line in turn.reply.lines() {
        let named = counts.products.iter().filter(|(_, product)| line.contains(&product.title));
        // The title LUNCH BAG is also within LUNCH BAG RED.
        let Some((id, product)) = named.max_by_key(|(_, product)| product.title.len()) else { continue };
        let is_listed = turn.items().iter().any(|item| item["title"] == product.title.as_str());
        ensure!(is_listed, "the reply names {} ({id}), which is not listed: {line}", product.title);
        let rest = line.replace(&product.title, "");
        let price = product.price.map(|Money { amount_minor, .. }| decimal(amount_minor));
        for amount in decimals(&rest) {
            let is_known = Some(&amount) == price.as_ref() || amount == decimal(LIMIT_MINOR);
            ensure!(is_known, "{} costs {price:?}, the reply has {amount}: {line}", product.title);
        }
    }
    Ok(())
}

/// The first product is a lunch bag, and a red one if one is cheap enough.
fn check_first(turn: &Turn, counts: &LogCounts) -> anyhow::Result<()> {
    let is_red = |title: &str| has(title, "RED");
    let is_lunch_bag = |title: &str| has(title, "LUNCH") && has(title, "BAG");
    let is_cheap = |product: &Product| product.price.is_some_and(|price| price.amount_minor <= LIMIT_MINOR);
    let exists = counts
        .products
        .values()
        .any(|product| is_red(&product.title) && is_lunch_bag(&product.title) && is_cheap(product));
    let first = title(turn.items().first())?;
    ensure!(is_lunch_bag(first) && (is_red(first) || !exists), "the first of the list is {first}");
    Ok(())
}

fn check_prices(turn: &Turn, is_right: impl Fn(i64) -> bool) -> anyhow::Result<()> {
    for item in turn.items() {
        let minor = minor(item).with_context(|| format!("{} has no price", item["title"]))?;
        ensure!(is_right(minor), "{} costs {minor} pence", item["title"]);
    }
    Ok(())
}

fn check_without(turn: &Turn, word: &str) -> anyhow::Result<()> {
    for item in turn.items() {
        let title = title(Some(item))?;
        ensure!(!has(title, word), "{title} is listed, but {word} is excluded");
    }
    Ok(())
}

fn minor(item: &Value) -> Option<i64> {
    item["price"]["amount_minor"].as_i64()
}

fn title(item: Option<&Value>) -> anyhow::Result<&str> {
    item.and_then(|item| item["title"].as_str()).context("the list is too short")
}

fn has(title: &str, word: &str) -> bool {
    title.split(|letter: char| !letter.is_alphanumeric()).any(|found| found.eq_ignore_ascii_case(word))
}

fn is_korean(text: &str) -> bool {
    text.chars().any(|letter| ('가'..='힣').contains(&letter))
}

fn decimal(minor: i64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// The numbers in a text that are written with two decimals.
fn decimals(text: &str) -> Vec<String> {
    let numbers = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let is_decimal =
        |number: &&str| number.split_once('.').is_some_and(|(units, cents)| !units.is_empty() && cents.len() == 2);
    numbers.filter(is_decimal).map(str::to_owned).collect()
}
