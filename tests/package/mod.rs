//! A package that uses this one, as a user's would: programs put into it are built by cargo and can be run.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Warnings are errors. The empty workspace keeps the package out of any other.
const MANIFEST: &str = "
[package]
name = 'NAME'
edition = '2024'
[dependencies]
ropewalk.path = 'ROOT'
[lints.rust]
warnings = 'deny'
[workspace]
";

/// Builds `programs`, each a name and its source, in a package called `name`; returns the folder of the binaries.
/// `profile` is the rest of the manifest.
pub(crate) fn build<'a>(
    name: &str,
    programs: impl IntoIterator<Item = (String, &'a str)>,
    profile: &str,
) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let sources = package.join("src/bin");
    // Programs of an earlier run would be built too.
    match fs::remove_dir_all(package.join("src")) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", package.display()),
        _ => fs::create_dir_all(&sources).unwrap(),
    }
    for (program, source) in programs {
        fs::write(sources.join(program).with_extension("rs"), source).unwrap();
    }
    let manifest = MANIFEST.replace("NAME", name).replace("ROOT", &root.display().to_string());
    fs::write(package.join("Cargo.toml"), manifest + profile).unwrap();
    // The versions that are there already: nothing needs to be fetched.
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();

    let target = package.join("target");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = run(Command::new(cargo)
        .args(["build", "--quiet", "--offline", "--target-dir"])
        .arg(&target)
        .current_dir(&package)
        // What this test is built with, say for a sanitizer, may not do for a build without `--target`.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET"));
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug")
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
