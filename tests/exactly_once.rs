//! Every event counts once, whatever is killed and however often it is sent.

mod support;

use std::time::Duration;

use projections::PROCESSORS;
use support::{Shop, demo_lines};

/// Kills of a processor that had work in hand; one that waits has nothing to lose.
const KILLS_AT_WORK: usize = 20;
/// On a machine so fast that it mostly waits, the test ends all the same.
const MAX_KILLS: usize = 200;

/// An import while processors are killed at random moments, part of it sent twice, ends as an undisturbed one does.
#[tokio::test(flavor = "multi_thread")]
async fn killed_processors_and_repeated_events_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = demo_lines(directory.path(), 40_000);
    let file = file.to_str().unwrap();
    let undisturbed = {
        let mut shop = Shop::open("calm").await;
        shop.import(file);
        shop.start_processors();
        shop.settle().await;
        let digest = shop.digest().await;
        shop.close().await;
        digest
    };
    assert!(undisturbed.tables["analytics.order_line"].rows > 30_000, "{:?}", undisturbed.tables);
    assert!(undisturbed.redis.len() > 2_000, "{} values in Redis", undisturbed.redis.len());
    assert!(undisturbed.documents.len() > 2_000, "{} documents", undisturbed.documents.len());

    let mut shop = Shop::open("wild").await;
    shop.start_processors();
    let mut importing = shop.start_import(file);
    let mut kills = 0;
    let mut killed_at_work = 0;
    while killed_at_work < KILLS_AT_WORK {
        assert!(kills < MAX_KILLS, "only {killed_at_work} of {kills} kills met a processor at work");
        let processor = PROCESSORS[kills % PROCESSORS.len()];
        // Between 100 and 700 ms, differently each time: no moment of a batch is spared.
        tokio::time::sleep(Duration::from_millis(100 + (kills as u64 * 7919) % 600)).await;
        if let Some(status) = importing.try_wait().unwrap() {
            assert!(status.success());
            // All of it once more: what was folded is skipped, and the next kills find work.
            importing = shop.start_import(file);
        }
        killed_at_work += usize::from(shop.why_unsettled(processor).await.is_some());
        shop.kill(processor.name);
        shop.start_processor(processor.name);
        kills += 1;
    }
    assert!(importing.wait().unwrap().success());
    shop.settle().await;
    shop.digest().await.assert_equal(&undisturbed);
    shop.close().await;
}
