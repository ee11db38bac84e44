//! What `demo --once` says to the shop, and what must be so of its answers: every product and price is the catalogue's, and
//! what was asked for is kept to.

use anyhow::{Context as _, ensure};
use jangbogo_events::Money;
use serde_json::{Value, json};
use uuid::Uuid;

use super::checks::eventually;
use super::conversation::{Conversation, Turn};
use super::log_counts::{LogCounts, Product};
use super::web::Web;

/// In pence.
const LIMIT_MINOR: i64 = 300;

/// A red lunch bag, then one that is not red, then a cheaper one; and a taste that is told and taken back.
///
/// # Errors
/// When an answer is not so, or none comes.
pub async fn in_english(web: &Web, counts: &LogCounts) -> anyhow::Result<String> {
    let member = new_member();
    let mut conversation = Conversation::open(web, &member).await?;

    let found = conversation.say("I am looking for a red retrospot lunch bag under 3 pounds").await?;
    is_so(&found, counts)?;
    costs(&found, |minor| minor <= LIMIT_MINOR)?;
    is_best(&found, counts)?;

    let other = conversation.say("not red").await?;
    is_so(&other, counts)?;
    costs(&other, |minor| minor <= LIMIT_MINOR)?;
    has_none(&other, "RED")?;

    let dearest = other.items().iter().filter_map(minor).max().context("nothing is left")?;
    let cheaper = conversation.say("cheaper").await?;
    is_so(&cheaper, counts)?;
    costs(&cheaper, |minor| minor < dearest)?;

    let preferences = format!("/v1/members/{member}/preferences");
    let likes_plastic =
        |known: &Value| known["likes"].as_array().into_iter().flatten().any(|like| like["value"] == "plastic");
    conversation.say("I like plastic").await?;
    eventually(web, &preferences, likes_plastic).await.context("the member's taste is not known")?;
    conversation.say("forget that I like plastic").await?;
    eventually(web, &preferences, |known| !likes_plastic(known)).await.context("what was taken back still counts")?;

    conversation.can_be_read_afterwards().await?;
    Ok(told(&[&found, &other, &cheaper]))
}

/// A red lunch bag that is not of plastic; and a question about the second of the list.
///
/// # Errors
/// When an answer is not so, or none comes.
pub async fn in_korean(web: &Web, counts: &LogCounts) -> anyhow::Result<String> {
    let mut conversation = Conversation::open(web, &new_member()).await?;

    let found = conversation.say("빨간색 도시락 가방 추천해줘, 3파운드 이하로, 플라스틱 말고").await?;
    is_so(&found, counts)?;
    costs(&found, |minor| minor <= LIMIT_MINOR)?;
    has_none(&found, "PLASTIC")?;
    is_best(&found, counts)?;
    ensure!(is_korean(&found.reply), "the reply is not in Korean: {}", found.reply);

    let second = title(found.items().get(1))?;
    let more = conversation.say("두 번째 거 더 있어?").await?;
    is_so(&more, counts)?;
    ensure!(more.reply.contains(second), "asked about {second}, it says {}", more.reply);
    ensure!(is_korean(&more.reply), "the reply is not in Korean: {}", more.reply);

    conversation.can_be_read_afterwards().await?;
    Ok(told(&[&found, &more]))
}

/// A member that nobody knows.
fn new_member() -> String {
    format!("demo-{}", &Uuid::new_v4().simple().to_string()[..12])
}

fn told(turns: &[&Turn]) -> String {
    let said = |turn: &&Turn| {
        let first = turn.items().first().and_then(|item| item["title"].as_str()).unwrap_or("nothing");
        format!("{first} ({} ms)", turn.took.as_millis())
    };
    turns.iter().map(said).collect::<Vec<_>>().join("; ")
}

/// What is listed is as the catalogue has it; what the reply names is listed, at its price.
fn is_so(turn: &Turn, counts: &LogCounts) -> anyhow::Result<()> {
    for item in turn.items() {
        let id = item["product_id"].as_str().unwrap_or_default();
        let Product { title, price } = counts.products.get(id).with_context(|| format!("there is no product {id}"))?;
        ensure!(item["title"] == title.as_str(), "{id} is {title}, the list says {}", item["title"]);
        ensure!(item["price"] == json!(price), "{title} costs {price:?}, the list says {}", item["price"]);
    }
    for line in turn.reply.lines() {
        let named = counts.products.iter().filter(|(_, product)| line.contains(&product.title));
        // LUNCH BAG is named by LUNCH BAG RED too.
        let Some((id, product)) = named.max_by_key(|(_, product)| product.title.len()) else { continue };
        let is_listed = turn.items().iter().any(|item| item["title"] == product.title.as_str());
        ensure!(is_listed, "the reply names {} ({id}), which is not listed: {line}", product.title);
        let rest = line.replace(&product.title, "");
        let price = product.price.map(|Money { amount_minor, .. }| decimal(amount_minor));
        for said in decimals(&rest) {
            let is_so = Some(&said) == price.as_ref() || said == decimal(LIMIT_MINOR);
            ensure!(is_so, "{} costs {price:?}, the reply says {said}: {line}", product.title);
        }
    }
    Ok(())
}

/// The first of the list is a lunch bag, and a red one if there is any that is cheap enough.
fn is_best(turn: &Turn, counts: &LogCounts) -> anyhow::Result<()> {
    let is_red = |title: &str| has(title, "RED");
    let is_lunch_bag = |title: &str| has(title, "LUNCH") && has(title, "BAG");
    let is_cheap = |product: &Product| product.price.is_some_and(|price| price.amount_minor <= LIMIT_MINOR);
    let there_is = counts
        .products
        .values()
        .any(|product| is_red(&product.title) && is_lunch_bag(&product.title) && is_cheap(product));
    let first = title(turn.items().first())?;
    ensure!(is_lunch_bag(first) && (is_red(first) || !there_is), "the first of the list is {first}");
    Ok(())
}

fn costs(turn: &Turn, is_right: impl Fn(i64) -> bool) -> anyhow::Result<()> {
    for item in turn.items() {
        let minor = minor(item).with_context(|| format!("{} has no price", item["title"]))?;
        ensure!(is_right(minor), "{} costs {minor} pence", item["title"]);
    }
    Ok(())
}

fn has_none(turn: &Turn, word: &str) -> anyhow::Result<()> {
    for item in turn.items() {
        let title = title(Some(item))?;
        ensure!(!has(title, word), "{title} is listed, though {word} is not wanted");
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
