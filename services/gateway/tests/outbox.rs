//! The outbox's SQL contract, on a real Postgres.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shop;

use std::time::Duration;

use shop::{Shop, answer, post, with_shop};
use sqlx::{Connection as _, PgConnection};

const INSERT: &str = "INSERT INTO outbox (topic, key, type, data, source)
    VALUES ('catalog-events', $1, 'product-retired', json_build_object('product_id', $1), 'test') RETURNING sequence";

async fn connect(shop: &Shop) -> PgConnection {
    PgConnection::connect_with(&jangbogo_platform::database::options(&shop.connections, "test").unwrap()).await.unwrap()
}

async fn insert(connection: &mut PgConnection, key: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(INSERT).bind(key).fetch_one(connection).await
}

async fn bucket(connection: &mut PgConnection, key: &str) -> i32 {
    sqlx::query_scalar("SELECT outbox_bucket('catalog-events', $1)").bind(key).fetch_one(connection).await.unwrap()
}

/// Two keys, the first in a lower bucket.
async fn two_keys(connection: &mut PgConnection) -> (String, String) {
    let (first, second) = ("a".to_owned(), "b".to_owned());
    if bucket(connection, &first).await < bucket(connection, &second).await { (first, second) } else { (second, first) }
}

#[tokio::test]
async fn the_order_of_a_key_s_numbers_is_that_of_its_commits() {
    with_shop(false, async |shop| {
        let (mut one, mut two, mut three) = (connect(&shop).await, connect(&shop).await, connect(&shop).await);
        let (key, other) = two_keys(&mut one).await;
        let mut late = one.begin().await.unwrap();
        let first = insert(&mut late, &key).await.unwrap();

        // A second transaction of this key waits for the first, so it cannot commit a greater number before it.
        let same = key.clone();
        let mut waiting = tokio::spawn(async move { insert(&mut two, &same).await.unwrap() });
        assert!(tokio::time::timeout(Duration::from_millis(500), &mut waiting).await.is_err(), "it did not wait");

        // One of another key does not wait, and commits a greater number first: across keys, sequence numbers are not
        // in commit order, which is why the dispatcher keeps no cursor.
        let between = insert(&mut three, &other).await.unwrap();
        assert!(first < between);
        let visible: Vec<i64> = sqlx::query_scalar("SELECT sequence FROM outbox").fetch_all(&shop.pool).await.unwrap();
        assert_eq!(visible, [between]);

        late.commit().await.unwrap();
        let second = waiting.await.unwrap();
        assert!(between < second, "the number was drawn before the lock was held: {between} {second}");
    })
    .await;
}

#[tokio::test]
async fn event_times_strictly_increase_within_a_key_and_given_ones_are_kept() {
    with_shop(false, async |shop| {
        let mut connection = connect(&shop).await;
        // As if the clock were set back by an hour after an event.
        let bucket = bucket(&mut connection, "a").await;
        let ahead = "(extract(epoch FROM clock_timestamp() + interval '1 hour') * 1000000)::bigint";
        let set = format!("SELECT setval('outbox_clock.bucket_{bucket}', {ahead})");
        sqlx::query(&set).execute(&mut connection).await.unwrap();
        let insert = "INSERT INTO outbox (topic, key, type, data, source)
            SELECT 'catalog-events', 'a', 'product-retired', '{}', 'test' FROM generate_series(1, 200)";
        sqlx::query(insert).execute(&mut connection).await.unwrap();
        let steps = "SELECT count(*), bool_and(step = interval '1 microsecond')
            FROM (SELECT event_time - lag(event_time) OVER (ORDER BY sequence) AS step FROM outbox) WHERE step IS NOT NULL";
        let (count, each): (i64, bool) = sqlx::query_as(steps).fetch_one(&mut connection).await.unwrap();
        assert_eq!((count, each), (199, true));

        let insert_with_time = "INSERT INTO outbox (topic, key, type, data, source, event_time, event_id)
            VALUES ('catalog-events', 'a', 'product-retired', '{}', 'test', '2009-12-01 07:45:00.123456+00', 'mine')";
        sqlx::query(insert_with_time).execute(&mut connection).await.unwrap();
        let kept = "SELECT event_time = '2009-12-01 07:45:00.123456+00' FROM outbox WHERE event_id = 'mine'";
        assert!(sqlx::query_scalar::<_, bool>(kept).fetch_one(&mut connection).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_shop_needs_the_right_to_insert_only_at_any_isolation_level() {
    with_shop(false, async |shop| {
        let mut owner = connect(&shop).await;
        let role = format!("role_{}", shop.connections.namespace);
        for statement in [format!("CREATE ROLE {role}"), format!("GRANT INSERT ON outbox TO {role}")] {
            sqlx::query(&statement).execute(&mut owner).await.unwrap();
        }
        let mut before = connect(&shop).await;
        for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
            let mut transaction = before.begin().await.unwrap();
            let set = format!("SET TRANSACTION ISOLATION LEVEL {level}");
            sqlx::query(&set).execute(&mut *transaction).await.unwrap();
            // Takes the snapshot; another transaction of the same key then commits.
            sqlx::query("SELECT count(*) FROM outbox").execute(&mut *transaction).await.unwrap();
            let first = insert(&mut owner, "a").await.unwrap();
            sqlx::query(&format!("SET LOCAL ROLE {role}")).execute(&mut *transaction).await.unwrap();
            let bare = "INSERT INTO outbox (topic, key, type, data, source)
                VALUES ('catalog-events', 'a', 'product-retired', '{\"product_id\": \"a\"}', 'test')";
            sqlx::query(bare).execute(&mut *transaction).await.unwrap();
            assert!(sqlx::query("SELECT FROM outbox").execute(&mut *transaction).await.is_err(), "it may read");
            transaction.rollback().await.unwrap();
            let mut again = before.begin().await.unwrap();
            sqlx::query(&format!("SET TRANSACTION ISOLATION LEVEL {level}")).execute(&mut *again).await.unwrap();
            sqlx::query("SELECT count(*) FROM lease").execute(&mut *again).await.unwrap();
            let second = insert(&mut owner, "a").await.unwrap();
            let third = insert(&mut again, "a").await.unwrap();
            again.commit().await.unwrap();
            assert!(first < second && second < third, "{level}");
        }
        sqlx::query(&format!("REVOKE ALL ON outbox FROM {role}")).execute(&mut owner).await.unwrap();
        sqlx::query(&format!("DROP ROLE {role}")).execute(&mut owner).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn bulk_commands_go_in_bucket_order_and_a_deadlock_is_tried_again() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        // Two bulk commands with the same keys in opposite orders do not deadlock.
        let keys: Vec<String> = (0..300).map(|number| format!("p{number}")).collect();
        let body = |keys: Vec<&String>| {
            let items: Vec<String> = keys.iter().map(|key| format!(r#"{{"product_id":"{key}"}}"#)).collect();
            format!("[{}]", items.join(","))
        };
        let (forward, backward) = (body(keys.iter().collect()), body(keys.iter().rev().collect()));
        let requests = (0..20).map(|turn| {
            let body = if turn % 2 == 0 { forward.clone() } else { backward.clone() };
            tokio::spawn(post(format!("{url}/v1/products/retirements"), body))
        });
        for request in requests.collect::<Vec<_>>() {
            assert_eq!(request.await.unwrap().status(), 202);
        }
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(sqlx::query_scalar::<_, i64>(deadlocks).fetch_one(&shop.pool).await.unwrap(), 0);

        // The shop breaks the ordering rule and Postgres ends the gateway's transaction, which is retried.
        let mut unordered = connect(&shop).await;
        let (low, high) = two_keys(&mut unordered).await;
        sqlx::query("SET deadlock_timeout = '60s'").execute(&mut unordered).await.unwrap();
        let mut transaction = unordered.begin().await.unwrap();
        insert(&mut transaction, &high).await.unwrap();
        let both = format!(r#"[{{"product_id":"{low}"}},{{"product_id":"{high}"}}]"#);
        let command = tokio::spawn(post(format!("{url}/v1/products/retirements"), both));
        // The command blocks, which cannot be observed.
        tokio::time::sleep(Duration::from_millis(300)).await;
        insert(&mut transaction, &low).await.unwrap();
        transaction.commit().await.unwrap();
        let (status, body) = answer(command.await.unwrap()).await;
        assert_eq!((status, body["event_ids"].as_array().unwrap().len()), (202, 2));
        // Nothing more is inserted by a retry.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(shop.count("outbox").await, 20 * 300 + 4);
    })
    .await;
}
