//! Points at which a test may kill the process, as by `kill -9`. Only with the feature `failpoints`, which tests
//! enable.

/// Kills the process as the environment variable `FAILPOINTS` sets, such as by
/// `FAILPOINTS="commit-after-rows=3*off->return"` when this point is reached for the fourth time.
#[cfg(feature = "failpoints")]
pub(crate) fn fail_point(name: &'static str) {
    use std::sync::Once;

    static SET_UP: Once = Once::new();
    // The scenario must live until the process ends.
    SET_UP.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    fail::fail_point!(name, |_| {
        let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        panic!("the process outlived its own SIGKILL: {killed:?}");
    });
}

/// Does nothing without the feature `failpoints`.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn fail_point(_: &'static str) {}
