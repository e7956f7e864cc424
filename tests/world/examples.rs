//! The examples of threads, files and children as their users run them: by what they print and exit with.
//!
//! `cargo test` builds them. With `--test world` alone, build them first.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The example's binary, in the folder next to that of this test's.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(binary.exists(), "build the example first: cargo build --example {name}");
    binary
}

fn run(example: &str, arguments: &[&str]) -> Output {
    Command::new(binary(example)).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn pi_is_the_same_wherever_it_is_computed() {
    for arguments in [&["200000"][..], &["200000", "7"], &["200000", "1000"]] {
        let output = run("pi", arguments);
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let rows: Vec<_> = printed.lines().skip(2).collect();
        let places = ["on one loop", "on the CPU pool", "on shards"];
        assert_eq!(rows.len(), places.len(), "{printed}");
        let estimates = rows.iter().zip(places).map(|(row, place)| {
            let rest = row.strip_prefix(place).unwrap_or_else(|| panic!("{place}: {row}"));
            let numbers: Vec<f64> = rest.split_whitespace().map(|number| number.parse().unwrap()).collect();
            assert_eq!(numbers.len(), 3, "{row}");
            numbers[0]
        });
        let estimates: Vec<_> = estimates.collect();
        assert!((estimates[0] - std::f64::consts::PI).abs() < 0.02, "{printed}");
        assert!(estimates.iter().all(|estimate| *estimate == estimates[0]), "{printed}");
    }
}

#[test]
fn pi_says_how_it_is_called() {
    for arguments in [&["x"][..], &["0"], &["1", "0"], &["1", "2", "3"]] {
        let output = run("pi", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("Usage: pi "));
    }
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
