//! A few rounds of kill -9; `cargo run --release -p cordee-integration --bin kills` does two hundred.

use std::process::Command;

#[test]
fn whoever_is_killed_or_has_no_room_recovers_with_what_was_acknowledged() {
    // W25.1, E8. Where nothing can be mounted, disks of a size of their own are left out, and it says so.
    let seed = rand::random::<u64>().to_string();
    let args = [
        "--rounds",
        "6",
        "--ops",
        "20000",
        "--apply-ms",
        "400",
        "--seed",
        &seed,
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_kills"))
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for part in [
        "sync   rounds 6",
        "apply  rounds 6",
        "wrong roots 0",
        "lost 0",
        "full   ",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
