//! Latency of replies: from the gateway's 202 to the push over the conversation's WebSocket.
//!
//! The load is open-loop (no coordinated omission): a shop that lags shows as late replies. Latencies are reported from
//! the acceptance and from the due time.

mod hop;
mod ledger;
mod lists;
mod load;
mod messages;
mod report;
mod services;
mod slow_model;
mod socket;

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use jangbogo_log::tail::{Tail, TailEvent};

use self::ledger::{Ledger, Stage};
use self::load::Load;

pub use self::report::Report;
use self::report::{ListRow, RateReport, SlowReport};
use self::services::Services;
use self::slow_model::SlowModel;
use self::socket::Conversations;
use crate::shop::{Shop, build_programs};

/// Default rates in messages a second, without and with a slow model.
const RATES: &[u32] = &[1, 30, 100];
const SLOW_RATES: &[u32] = &[30];
/// Warm-up messages: the vocabulary is loaded, connections are opened.
const WARM_UP: (u32, Duration) = (10, Duration::from_secs(10));
/// Messages a second while members' lists are measured.
const LISTS_RATE: u32 = 10;
/// Timeout of the last replies, without a slow model's calls.
const REPLY_TIMEOUT: Duration = Duration::from_mins(2);
/// Duration of each trial of the highest rate.
const TRIAL: Duration = Duration::from_secs(20);
/// Wait for duplicate replies.
const SECOND_ANSWER: Duration = Duration::from_secs(2);

#[derive(Args, Clone, Debug)]
pub struct ChatArguments {
    /// Number of open conversations, each with a WebSocket
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=4_000))]
    conversations: u16,
    /// Rates in messages a second, measured in turn [default: 1,30,100; with --slow-model 30]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rates: Vec<u32>,
    /// Duration of each rate's measurement in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..=3_600))]
    seconds: u32,
    /// Also search for the highest sustained rate
    #[arg(long)]
    highest: bool,
    /// Limit of the 95th percentile at that rate, in milliseconds from the due time
    #[arg(long, default_value_t = 500, requires = "highest")]
    limit_ms: u32,
    /// Use a language model that takes 20 s and fails one request in five
    #[arg(long, conflicts_with = "highest")]
    slow_model: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Measures, and removes the shop afterwards.
pub async fn run(arguments: &ChatArguments) -> anyhow::Result<Report> {
    build_programs(&["jangbogo"]).await?;
    Shop::with(async |shop| measure(shop, arguments).await).await
}

async fn measure(shop: &Shop, arguments: &ChatArguments) -> anyhow::Result<Report> {
    shop.empty_database().await?;
    let hop_ms = hop::measure(shop).await?.as_secs_f64() * 1_000.0;
    eprintln!("a single hop takes {hop_ms:.2} ms");
    shop.import().await?;
    let model = if arguments.slow_model { Some(SlowModel::start().await?) } else { None };
    let variables = model.as_ref().map(SlowModel::variables).unwrap_or_default();
    let mut services = Services::start(shop, &variables).await?;
    services.settle(shop).await?;
    eprintln!("the demo shop is folded and embedded");

    let ledger = Ledger::default();
    let following = follow(shop, ledger.clone())?;
    let conversations = Conversations::open(&services, arguments.conversations.into(), &ledger).await?;
    eprintln!("{} conversations are open", conversations.ids.len());
    let mut report = measure_rates(shop, arguments, &services, &conversations, &ledger, hop_ms, model.as_ref()).await?;

    tokio::time::sleep(SECOND_ANSWER).await;
    report.messages = ledger.ensure_each_once()?;
    services::ensure_rows_each_once(shop, report.messages).await?;
    conversations.ensure_open()?;
    services.ensure_running()?;
    following.abort();
    drop(conversations);
    services.stop().await?;
    Ok(report)
}

async fn measure_rates(
    shop: &Shop,
    arguments: &ChatArguments,
    services: &Services,
    conversations: &Conversations,
    ledger: &Ledger,
    hop_ms: f64,
    model: Option<&SlowModel>,
) -> anyhow::Result<Report> {
    let load = Load::new(services, &conversations.ids, ledger);
    let time = Duration::from_secs(arguments.seconds.into());
    let timeout = REPLY_TIMEOUT + if model.is_some() { 2 * slow_model::CALL_LIMIT } else { Duration::ZERO };
    load.at(WARM_UP.0, WARM_UP.1, timeout).await?;
    let rebalances = services.rebalances().await?;

    let by_default = if model.is_some() { SLOW_RATES } else { RATES };
    let rates = if arguments.rates.is_empty() { by_default } else { &arguments.rates };
    let (mut reports, mut by_model) = (Vec::new(), 0);
    for rate in rates {
        let result = load.at(*rate, time, timeout).await?;
        by_model += result.messages.iter().filter(|message| message.by_model).count();
        reports.push(RateReport::new(*rate, &result, hop_ms));
        eprintln!("measured {rate} messages a second");
    }
    let slow_model = match model {
        Some(model) => {
            let rebalances = services.rebalances().await? - rebalances;
            ensure!(rebalances == 0, "a slow model caused {rebalances} rebalances");
            Some(SlowReport { asked: model.requests(), by_model, rebalances })
        }
        None => None,
    };
    let mut lists = Vec::new();
    if model.is_none() {
        let (acts, _) = tokio::try_join!(lists::measure(shop, services, time), load.at(LISTS_RATE, time, timeout))?;
        lists = ListRow::all(acts);
    }
    let mut highest_rate = None;
    if arguments.highest {
        let limit = Duration::from_millis(arguments.limit_ms.into());
        highest_rate = Some(highest(&load, rates.iter().copied().max().unwrap_or(1), limit, hop_ms).await?);
    }
    let conversations = conversations.ids.len();
    Ok(Report { conversations, hop_ms, rates: reports, highest_rate, lists, slow_model, messages: 0 })
}

/// The highest sustained rate, to a tenth: exponential search from a first rate, then bisection.
async fn highest(load: &Load<'_>, first: u32, limit: Duration, hop_ms: f64) -> anyhow::Result<u32> {
    let (mut best, mut too_much, mut rate) = (0, u32::MAX, first);
    while rate > best && rate < too_much && (too_much == u32::MAX || too_much - best > (best / 10).max(1)) {
        let report = RateReport::new(rate, &load.at(rate, TRIAL, REPLY_TIMEOUT).await?, hop_ms);
        let sustained = report.is_sustained(limit);
        eprintln!("{rate} messages a second: {}", if sustained { "sustained" } else { "not sustained" });
        *if sustained { &mut best } else { &mut too_much } = rate;
        rate = if too_much == u32::MAX { rate.saturating_add(rate.div_ceil(2)) } else { best.midpoint(too_much) };
    }
    Ok(best)
}

/// Records when each stage of a message is appended to the log.
fn follow(shop: &Shop, ledger: Ledger) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    use jangbogo_events::Topic::{ConversationMessageCreated, PreferenceEvents, RecommendationEvents};
    let topics = [ConversationMessageCreated, PreferenceEvents, RecommendationEvents].into();
    let mut tail = Tail::start(&shop.connections, "bench-tail", topics, Stage::from_event)?;
    Ok(tokio::spawn(async move {
        while let Some(event) = tail.next().await {
            if let TailEvent::Appended(record) = event {
                let (message_id, stage) = record.value;
                ledger.appended(message_id, stage, record.at);
            }
        }
    }))
}
