//! The servers come up by themselves, answer real requests, and are found warm by the next call.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context;
use jangbogo_stack::{Addresses, Options, Progress, ServerState, Stack};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

#[tokio::test]
async fn every_server_comes_up_and_answers() -> anyhow::Result<()> {
    let options = Options::from_environment()?;
    let (progress, silence) = (Progress::on_standard_error(), Progress::silent());
    let (stack, same) = tokio::join!(Stack::up(&options, &progress), Stack::up(&options, &silence));
    let (stack, same) = (stack?, same?);
    assert_eq!(stack.addresses(), same.addresses(), "two callers at once");
    let addresses = stack.addresses();

    kafka_knows_its_broker(addresses.clone()).await?;
    postgres_has_pgvector(addresses).await?;
    redis_has_sixteen_databases(addresses).await?;
    elasticsearch_understands_korean(addresses).await?;

    let began = Instant::now();
    let warm = Stack::up(&options, &silence).await?;
    assert_eq!(warm.addresses(), addresses);
    let elapsed = began.elapsed();
    assert!(elapsed < Duration::from_secs(1), "a warm start took {elapsed:?}");

    for status in Stack::status(&options).await? {
        assert_eq!(status.state, ServerState::Up, "{status:?}");
    }
    Ok(())
}

async fn kafka_knows_its_broker(addresses: Addresses) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || {
        let mut configuration = ClientConfig::new();
        configuration.set("bootstrap.servers", &addresses.kafka);
        let consumer: BaseConsumer = configuration.create()?;
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(5))?;
        assert!(!metadata.brokers().is_empty());
        Ok(())
    })
    .await?
}

async fn postgres_has_pgvector(addresses: &Addresses) -> anyhow::Result<()> {
    let options = PgConnectOptions::from_str(&addresses.postgres)?;
    let mut server = options.clone().database("postgres").connect().await?;
    let scratch = format!("stack_test_{}", std::process::id());
    server.execute(format!("CREATE DATABASE {scratch}").as_str()).await?;
    let mut connection = options.database(&scratch).connect().await?;
    connection.execute("CREATE EXTENSION vector").await?;
    let query = sqlx::query_scalar("SELECT '[0,3]'::vector <-> '[4,0]'::vector");
    let distance: f64 = query.fetch_one(&mut connection).await?;
    connection.close().await?;
    server.execute(format!("DROP DATABASE {scratch}").as_str()).await?;
    assert!((distance - 5.0).abs() < f64::EPSILON);
    Ok(())
}

async fn redis_has_sixteen_databases(addresses: &Addresses) -> anyhow::Result<()> {
    let client = redis::Client::open(addresses.redis.as_str())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let () = redis::cmd("SELECT").arg(15).exec_async(&mut connection).await?;
    Ok(())
}

async fn elasticsearch_understands_korean(addresses: &Addresses) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer: Value = client
        .post(format!("{}/_analyze", addresses.elasticsearch))
        .json(&json!({"analyzer": "nori", "text": "여름에 입을 시원한 린넨 원피스를 추천해주세요"}))
        .send()
        .await?
        .json()
        .await?;
    let tokens = answer["tokens"].as_array().with_context(|| answer.to_string())?;
    let words: Vec<&str> = tokens.iter().filter_map(|token| token["token"].as_str()).collect();
    for word in ["여름", "시원", "원피스", "추천"] {
        assert!(words.contains(&word), "{words:?}");
    }
    Ok(())
}
