//! How much of the suite is run: a short form by default, as CI does, or all of it with `JANGBOGO_FAULTS=full`.

use std::sync::LazyLock;

use tokio::sync::{Mutex, MutexGuard};

static FULL: LazyLock<bool> = LazyLock::new(|| match std::env::var("JANGBOGO_FAULTS").as_deref() {
    Ok("full") => true,
    Ok("short") | Err(_) => false,
    Ok(other) => panic!("JANGBOGO_FAULTS is short or full, not {other:?}"),
});

/// One of two values of the same thing.
pub fn scale<T>(short: T, full: T) -> T {
    if *FULL { full } else { short }
}

/// Each test loads the whole machine: they take turns.
pub async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
