//! Documents and schemas that are generated from the program are current.

use std::process::Command;

#[test]
fn the_graph_in_the_architecture_is_current() {
    let printed = Command::new(env!("CARGO_BIN_EXE_jangbogo")).args(["topology", "graph"]).output().unwrap();
    let picture = String::from_utf8(printed.stdout).unwrap();
    assert!(picture.starts_with("flowchart"), "{picture}");
    let page = include_str!("../ARCHITECTURE.md");
    assert!(page.contains(picture.trim_end()), "put this into ARCHITECTURE.md:\n{picture}");
}

#[test]
fn schemas_and_topology_match_the_code() {
    for arguments in [&["events", "schemas", "--check"][..], &["topology", "check"]] {
        let checked = Command::new(env!("CARGO_BIN_EXE_jangbogo"))
            .args(arguments)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .unwrap();
        assert!(checked.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}
