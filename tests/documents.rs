//! Documents say what the program says.

use std::process::Command;

#[test]
fn the_picture_in_the_architecture_is_the_topology() {
    let printed = Command::new(env!("CARGO_BIN_EXE_jangbogo")).args(["topology", "graph"]).output().unwrap();
    let picture = String::from_utf8(printed.stdout).unwrap();
    assert!(picture.starts_with("flowchart"), "{picture}");
    let page = include_str!("../ARCHITECTURE.md");
    assert!(page.contains(picture.trim_end()), "put this into ARCHITECTURE.md:\n{picture}");
}
