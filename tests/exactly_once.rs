//! Every event counts once, whatever is killed and however often it is sent.

mod support;

use std::time::Duration;

use projections::PROCESSORS;
use support::{Shop, demo_lines};

const KILLS: usize = 21;

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
    let mut importing = shop.command(&["events", "import", file]).spawn().unwrap();
    for kill in 0..KILLS {
        let name = PROCESSORS[kill % PROCESSORS.len()].name;
        // Between 50 and 500 ms, differently each time: no moment of a batch is spared.
        tokio::time::sleep(Duration::from_millis(50 + (kill as u64 * 7919) % 450)).await;
        shop.kill(name);
        shop.start_processor(name);
        if kill == KILLS / 2 {
            assert!(importing.wait().unwrap().success());
            importing = shop.command(&["events", "import", file]).spawn().unwrap();
        }
    }
    assert!(importing.wait().unwrap().success());
    shop.settle().await;
    shop.digest().await.assert_equal(&undisturbed);
    shop.close().await;
}
