//! The examples of this part as their users run them: by what they print.
//!
//! `cargo test` builds them. With `--test world` alone, build them first.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The example's binary, in the folder next to that of this test's.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(binary.exists(), "build the example first: cargo build --example {name}");
    binary
}

#[track_caller]
fn succeeds(example: &str, arguments: &[&str]) -> String {
    let output = Command::new(binary(example)).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn chess_takes_twelve_hours_one_by_one_and_one_from_board_to_board() {
    let printed = succeeds("chess", &[]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "24 games, 720 moves of hers in 5 s each, 720 of her opponents in 55 s each");
    let table = [("one by one", "11:59:05", "12:00:00"), ("from board to board", "1:00:00", "1:00:55")];
    for (line, (how, hers, all)) in lines[3..].iter().zip(table) {
        let words: Vec<&str> = line.strip_prefix(how).expect(&printed).split_whitespace().collect();
        assert_eq!(words[..2], [hers, all], "{printed}");
        assert!(words[2].parse::<f64>().is_ok() && words[3..] == ["ms"], "{printed}");
    }
    assert_eq!(lines.len(), 5, "{printed}");
}
