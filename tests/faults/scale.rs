//! Size of the suite: the short form by default, as in CI, or the full one with `JANGBOGO_FAULTS=full`.

use std::sync::LazyLock;

static FULL: LazyLock<bool> = LazyLock::new(|| match std::env::var("JANGBOGO_FAULTS").as_deref() {
    Ok("full") => true,
    Ok("short") | Err(_) => false,
    Ok(other) => panic!("JANGBOGO_FAULTS is short or full, not {other:?}"),
});

/// The value for the size of the suite.
pub fn scale<T>(short: T, full: T) -> T {
    if *FULL { full } else { short }
}
