//! Places at which a test may have the process killed, as by `kill -9`. Without the feature `failpoints`, which only
//! tests enable, there are none.

/// Kills the process here if the environment variable `FAILPOINTS` says so, such as
/// `FAILPOINTS="commit-after-rows=3*off->return"` for the fourth time that this place is reached.
#[cfg(feature = "failpoints")]
pub fn fail_point(name: &'static str) {
    use std::sync::Once;

    static SET_UP: Once = Once::new();
    // What the scenario set up stays until the process ends.
    SET_UP.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    fail::fail_point!(name, |_| {
        let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        panic!("the process outlived its own SIGKILL: {killed:?}");
    });
}

/// Nothing: tests alone kill.
#[cfg(not(feature = "failpoints"))]
pub fn fail_point(_: &'static str) {}
