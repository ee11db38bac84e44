//! Fault class E: cut-overs and rollbacks under load. Every query is answered, and no answer mixes generations: the
//! rows of one generation are marked, so that the content of an answer shows its generation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::{
    CategoryId, Currency, Data, Envelope, Event, MemberId, OrderCompleted, OrderId, OrderItem, ProductId,
    ProductUpserted, ProductViewed, Quantity, Text,
};
use jangbogo_fold::Processor;
use jangbogo_processors::PROCESSORS;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_store::State;
use jangbogo_test_support::Shop;
use jangbogo_test_support::random::Random;

use crate::answers::{CATEGORIES, DECOY, MARK, MARKED_COUNT, MEMBERS, Origin, PRODUCTS, QueryLoad, Service};
use crate::replaying::{live, refused, stored, succeed};
use crate::scale::scale;

/// The full form requires at least this rate.
const MIN_QUERIES_PER_SECOND: f64 = 500.0;
const PAUSE_BETWEEN_EVENTS: Duration = Duration::from_millis(40);
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn answers_under_load_come_from_one_generation_through_cut_overs_and_rollbacks() {
    let mut shop = Shop::open("cut_over").await;
    shop.start_processors();
    let mut shopping = Shopping::new(5);
    shop.produce(&shopping.catalogue()).await;
    shop.produce(&shopping.events(scale(1_500, 6_000))).await;
    shop.settle().await;

    let marked = mark(&shop).await;
    let service = Service::start(&mut shop, marked).await;
    service.wait_for(Origin::Marked, Duration::from_mins(1)).await;
    a_rebuild_with_other_rows_is_not_cut_over(&shop).await;

    let started = Instant::now();
    let queries = QueryLoad::start(&service, scale(60, 600));
    let is_done = AtomicBool::new(false);
    let switching = async {
        let (mut switches, mut slowest) = (0, Duration::ZERO);
        let is_enough =
            |switches| switches >= scale(4, 20) && started.elapsed() >= scale(Duration::ZERO, Duration::from_mins(1));
        // Alternating, so that the marked generation is served in the end.
        while !(is_enough(switches) && switches % 2 == 0) {
            let command = if switches % 2 == 0 { rebuild(&shop, switches > 0).await } else { rollback(&shop).await };
            switches += 1;
            let visible = wait_until_visible(&shop, &service, switches).await;
            eprintln!("{switches}: {command:?}; a new order is visible after {visible:?}");
            slowest = slowest.max(visible);
        }
        is_done.store(true, Ordering::Relaxed);
        (switches, slowest)
    };
    let ((switches, slowest), appended) = tokio::join!(switching, append_until(&shop, shopping, &is_done));
    let (mut tally, rate) = queries.stop().await;
    tally.assert_clean();
    assert!(rate >= scale(0.0, MIN_QUERIES_PER_SECOND), "only {rate:.0} queries a second");

    // The unmarked generation, which was folded live while the marked one was served, equals the log.
    succeed(&shop, &["rollback", "--all"]).await;
    service.wait_for(Origin::Fresh, Duration::from_mins(1)).await;
    succeed(&shop, &["verify", "--all"]).await;
    let (p99, slowest_answer) = (tally.quantile(0.99), tally.quantile(1.0));
    println!(
        "E cut-over: {} cut-overs and {} rollbacks of {} processors under {rate:.0} queries a second and {appended} \
         events; {} answers, {} errors, {} of mixed generations; p99 {p99} ms, slowest {slowest_answer} ms; a new \
         order visible within {} ms of each; {:.0} s",
        switches - switches / 2,
        switches / 2,
        PROCESSORS.len(),
        tally.total(),
        tally.errors,
        tally.mixed,
        slowest.as_millis(),
        started.elapsed().as_secs_f64(),
    );
    shop.close().await;
}

/// Rebuilds all processors and cuts over. Returns the duration.
async fn rebuild(shop: &Shop, is_again: bool) -> Duration {
    if is_again {
        // The generations of the previous round, which are not read any more.
        for processor in PROCESSORS {
            let frozen = stored(shop, processor).await.into_iter().filter(|stored| stored.state == State::Frozen);
            for stored in frozen {
                succeed(shop, &["drop", processor.name, &stored.generation.id.to_string()]).await;
            }
        }
    }
    let began = Instant::now();
    succeed(shop, &["rebuild", "--all", "--no-verify"]).await;
    began.elapsed()
}

async fn rollback(shop: &Shop) -> Duration {
    let began = Instant::now();
    succeed(shop, &["rollback", "--all"]).await;
    began.elapsed()
}

/// A rebuild verifies before it cuts over: it names the tables that differ, and the live generation stays.
async fn a_rebuild_with_other_rows_is_not_cut_over(shop: &Shop) {
    let before = live(shop).await;
    for (processor, tables) in [
        (&RECOMMENDATION, ["product: ", "product_day: ", "product_pair: "].as_slice()),
        (&ES_SYNC, ["product: "].as_slice()),
        (&ANALYTICS, ["order_line: ", "product_sales: "].as_slice()),
    ] {
        let message = refused(shop, &["rebuild", processor.name]).await;
        for table in tables {
            assert!(message.contains(table), "{table} is not named: {message}");
        }
        assert!(message.contains("of the live generation differ from a fresh fold of the log"), "{message}");
    }
    assert_eq!(live(shop).await, before);
}

/// Marks the rows of all live generations, present and future ones, and has them published again. Returns the
/// generations' ids by processor.
async fn mark(shop: &Shop) -> BTreeMap<String, String> {
    let mut database = shop.database().await;
    let mut marked = BTreeMap::new();
    for processor in PROCESSORS {
        let generation = shop.live(processor).await.unwrap().generation;
        let sql = marking_sql(processor).replace("$MARK", MARK).replace("$COUNT", &MARKED_COUNT.to_string());
        let sql = format!("SET search_path = {}; {}", generation.schema, sql.replace("$DECOY", DECOY));
        sqlx::raw_sql(&sql).execute(&mut database).await.unwrap();
        marked.insert(processor.name.to_owned(), generation.id.to_string());
    }
    marked
}

/// SQL that marks rows; triggers mark the rows that are folded later.
fn marking_sql(processor: &Processor) -> String {
    let titles = "
        CREATE FUNCTION mark_title() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NOT starts_with(NEW.title, '$MARK') THEN NEW.title := '$MARK' || NEW.title; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER mark BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION mark_title();
        UPDATE product SET title = title;";
    let count = |table: &str, column: &str| {
        format!(
            "CREATE FUNCTION mark_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 NEW.{column} := coalesce(NEW.{column}, 0) + $COUNT;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER mark BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION mark_{table}();
             UPDATE {table} SET {column} = coalesce({column}, 0) + $COUNT;"
        )
    };
    let (counts, dirty_marks) = match processor.name {
        "recommendation" => (
            count("product_pair", "orders")
                + &count("product_day", "orders")
                + "INSERT INTO product_orders VALUES ('$DECOY', 0);
                   INSERT INTO product_pair
                   SELECT least(product_id, '$DECOY'), greatest(product_id, '$DECOY'), 1000::bigint * $COUNT
                   FROM product_orders WHERE product_id <> '$DECOY';",
            "INSERT INTO dirty SELECT 'rec:similar', product_id FROM product_orders;
             INSERT INTO dirty SELECT 'rec:popular:category', product_id FROM product;
             INSERT INTO dirty VALUES ('rec:trending', 'all');",
        ),
        "analytics" => (count("order_line", "total_minor") + &count("product_sales", "sold_minor"), ""),
        "es-sync" => (String::new(), "INSERT INTO dirty SELECT 'products', product_id FROM product;"),
        _ => return String::new(),
    };
    format!("{titles} {counts} {dirty_marks}")
}

/// Appends an order of a new member for new products and waits until every projection shows it. Returns the duration.
async fn wait_until_visible(shop: &Shop, service: &Service, number: usize) -> Duration {
    let [first, second] = ["a", "b"].map(|name| format!("new-{number}-{name}"));
    let word = format!("novelty{number}");
    let mut shopping = Shopping::new(1_000 + number as u64);
    let events = [
        shopping.event(description(&first, &format!("A {word}"), "news")),
        shopping.event(description(&second, &format!("Another {word}"), "news")),
        shopping.event(order(&format!("o-{number}"), &format!("new-{number}"), &[(&first, 1), (&second, 1)])),
    ];
    shop.produce(&events).await;
    let began = Instant::now();
    loop {
        let similar = service.get(&format!("products/{first}/similar")).await;
        let search = service.get(&format!("search?q={word}")).await;
        let pattern = service.get(&format!("members/new-{number}/purchase-pattern")).await;
        if similar.is_some_and(|answer| answer["items"][0]["product"]["product_id"] == *second)
            && search.is_some_and(|answer| answer["total"] == 2)
            && pattern.is_some()
        {
            return began.elapsed();
        }
        assert!(began.elapsed() < VISIBLE_WITHIN, "a new order is not visible");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Events of a small number of products, with small amounts.
struct Shopping {
    random: Random,
    seed: u64,
    number: u64,
}

impl Shopping {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), seed, number: 0 }
    }

    fn catalogue(&mut self) -> Vec<Event> {
        let mut events: Vec<Event> = (0..PRODUCTS).map(|number| self.lamp(number)).collect();
        events.push(self.event(description(DECOY, "Decoy", "decoys")));
        events
    }

    /// The next events. Every product, member and category has an order among the first.
    fn events(&mut self, count: u64) -> Vec<Event> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> Event {
        let number = self.number;
        let lamp = |number: u64| format!("lamp-{}", number % PRODUCTS);
        let (first, other) = (lamp(number), lamp(number + 1 + self.random.below(PRODUCTS - 1)));
        let member = format!("member-{}", number % MEMBERS);
        match self.random.below(10) {
            0..6 => {
                let price = self.random.below(9).cast_signed() + 1;
                self.event(order(&format!("o-{}-{number}", self.seed), &member, &[(&first, price), (&other, 1)]))
            }
            6..9 => {
                let (member_id, product_id) = (MemberId::new(member).ok(), ProductId::new(other).unwrap());
                self.event(ProductViewed { member_id, product_id }.into())
            }
            _ => self.lamp(number % PRODUCTS),
        }
    }

    fn lamp(&mut self, number: u64) -> Event {
        let (title, category) =
            (format!("Lamp {number} as of {}", self.number), format!("lights-{}", number % CATEGORIES));
        self.event(description(&format!("lamp-{number}"), &title, &category))
    }

    fn event(&mut self, data: Data) -> Event {
        let begin: DateTime<Utc> = "2011-06-01T00:00:00Z".parse().unwrap();
        let time = begin + TimeDelta::seconds(self.random.below(3 * 86_400).cast_signed());
        self.number += 1;
        Event { envelope: Envelope::new(format!("{}-{}", self.seed, self.number), "shopping", time), data }
    }
}

fn description(product_id: &str, title: &str, category: &str) -> Data {
    let data = ProductUpserted {
        product_id: ProductId::new(product_id).unwrap(),
        title: Text::new(title).unwrap(),
        description: None,
        category: Some(CategoryId::new(category).unwrap()),
        brand: None,
        price: None,
        stock: None,
        attributes: [].into(),
    };
    data.into()
}

fn order(order_id: &str, member_id: &str, items: &[(&str, i64)]) -> Data {
    let item = |&(product_id, total_minor): &(&str, i64)| OrderItem {
        product_id: ProductId::new(product_id).unwrap(),
        quantity: Quantity::new(1).unwrap(),
        total_minor,
    };
    let data = OrderCompleted {
        order_id: OrderId::new(order_id).unwrap(),
        member_id: Some(MemberId::new(member_id).unwrap()),
        currency: Currency::new("GBP").unwrap(),
        items: items.iter().map(item).collect(),
    };
    data.into()
}

/// Appends events until `is_done`. Returns their number.
async fn append_until(shop: &Shop, mut shopping: Shopping, is_done: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !is_done.load(Ordering::Relaxed) {
        shop.produce(&[shopping.next()]).await;
        sent += 1;
        tokio::time::sleep(PAUSE_BETWEEN_EVENTS).await;
    }
    sent
}
