//! Files, when the system has no more to give, or does not want to: no space, no permission, no descriptors, no directory.
//!
//! What changes the whole process happens in one of its own: the program of the tests, started again for a single one, with a word in
//! the environment that says so.

use std::env;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use ropewalk::fs::{self, File, OpenOptions};
use ropewalk::{blocking, task};

use crate::folder::{Folder, with_both};

/// With the name of the test that is to run in this process, and the word of the one that has started it.
const CHILD: &str = "ROPEWALK_TEST_CHILD";

/// Runs `test` again in a process of its own, by way of a shell that does `first` and then that.
#[track_caller]
fn alone(test: &str, first: &str, body: fn()) {
    alone_by(Command::new("sh"), test, first, body);
}

/// As [`alone`], by a shell that is started in this way.
#[track_caller]
fn alone_by(mut shell: Command, test: &str, first: &str, body: fn()) {
    if env::var_os(CHILD).is_some_and(|child| child == test) {
        return body();
    }
    let script = format!("{first}exec \"$0\" --exact \"$1\" --nocapture --test-threads 1");
    shell.arg("-c").arg(script).arg(env::current_exe().unwrap()).arg(format!("fs_faults::{test}"));
    let output = shell.env(CHILD, test).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Whether this is a process that was started for a test alone.
fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Whether this process is root's. Where it must be, it is a failure if it is not.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || env::var_os("ROPEWALK_REQUIRE_ROOT").is_none(), "this is not root's");
    is_root
}

/// Whether a file system can be mounted where nobody else sees it.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    let may = tried.as_ref().is_ok_and(|output| output.status.success());
    assert!(may || env::var_os("ROPEWALK_REQUIRE_TMPFS").is_none(), "{tried:?}");
    may
}

#[test]
fn a_full_disk_is_an_error_and_what_was_written_is_told() {
    if !is_child() && (!is_root() || !may_mount()) {
        return;
    }
    let mut shell = Command::new("unshare");
    shell.args(["-m", "--propagation", "private", "sh"]);
    alone_by(shell, "a_full_disk_is_an_error_and_what_was_written_is_told", "", || {
        let folder = Folder::new();
        let small = folder.join("small");
        std::fs::create_dir(&small).unwrap();
        // Seen by this process alone.
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&small).status();
        assert!(mount.unwrap().success());
        with_both(|_| {
            let path = small.join("file");
            let mut file = File::create(&path).unwrap();
            let bytes = vec![7; 100_000];
            // As much as there is room for, and then nothing.
            let mut written = 0;
            let error = loop {
                match file.write(&bytes[..30_000]) {
                    Ok(0) => panic!("nothing, and no error"),
                    Ok(count) => written += count,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert!(written > 30_000 && written <= 65_536, "{written}");
            file.sync_all().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), written as u64);
            assert!(fs::read(&path).unwrap() == bytes[..written]);
            assert_eq!(fs::write(small.join("other"), &bytes).unwrap_err().kind(), ErrorKind::StorageFull);
            assert_eq!(fs::copy(&path, small.join("third")).unwrap_err().kind(), ErrorKind::StorageFull);
            let mut buffered = io::BufWriter::new(&file);
            buffered.write_all(&bytes[..100]).unwrap();
            assert_eq!(buffered.flush().unwrap_err().kind(), ErrorKind::StorageFull);
            drop(buffered.into_parts());
            // When there is room again it goes on.
            file.set_len(100).unwrap();
            fs::remove_file(small.join("other")).unwrap();
            let _ = fs::remove_file(small.join("third"));
            file.write_all_at(&bytes[..1000], 100).unwrap();
            assert_eq!(fs::read(&path).unwrap().len(), 1100);
            fs::remove_file(&path).unwrap();
        });
        assert!(Command::new("umount").arg(&small).status().unwrap().success());
    });
}

#[test]
fn who_may_not_is_told_so() {
    if !is_child() && !is_root() {
        return;
    }
    alone("who_may_not_is_told_so", "", || {
        let folder = Folder::new();
        let secret = folder.join("secret");
        std::fs::write(&secret, "rope").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let open_before = std::fs::File::open(&secret).unwrap();
        std::thread::scope(|s| {
            s.spawn(|| {
                // This thread, and those that are started for it, are nobody's from now on.
                const NOBODY: u32 = 65_534;
                rustix::thread::set_thread_groups(&[]).unwrap();
                let nobody = rustix::process::Gid::from_raw(NOBODY);
                rustix::thread::set_thread_res_gid(nobody, nobody, nobody).unwrap();
                let nobody = rustix::process::Uid::from_raw(NOBODY);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
                for driver in [ropewalk::Driver::Epoll, ropewalk::Driver::Uring] {
                    ropewalk::Runtime::builder().driver(driver).build().run(|| {
                        let denied = |done: io::Result<()>| {
                            assert_eq!(done.unwrap_err().kind(), ErrorKind::PermissionDenied);
                        };
                        denied(File::open(&secret).map(drop));
                        denied(OpenOptions::new().append(true).open(&secret).map(drop));
                        denied(fs::read(&secret).map(drop));
                        denied(fs::write(&secret, "x"));
                        denied(fs::copy(&secret, folder.join("copy")).map(drop));
                        denied(File::create_new(folder.join("new")).map(drop));
                        denied(fs::write(folder.join("new"), "x"));
                        denied(fs::create_dir(folder.join("new")));
                        denied(fs::create_dir_all(folder.join("new/below")));
                        denied(fs::symlink("x", folder.join("new")));
                        denied(fs::rename(&secret, folder.join("new")));
                        denied(fs::remove_file(&secret));
                        denied(fs::remove_dir_all(&folder));
                        let other = std::fs::Permissions::from_mode(0o777);
                        assert_eq!(
                            fs::set_permissions(&secret, other).unwrap_err().raw_os_error(),
                            Some(rustix::io::Errno::PERM.raw_os_error())
                        );
                        // Who had it open has it open.
                        let mut bytes = [0; 4];
                        let file = File::from(open_before.try_clone().unwrap());
                        file.read_exact_at(&mut bytes, 0).unwrap();
                        assert_eq!(&bytes, b"rope");
                        assert_eq!(
                            file.write_at(b"x", 0).unwrap_err().raw_os_error(),
                            Some(rustix::io::Errno::BADF.raw_os_error())
                        );
                        assert_eq!(file.set_len(0).unwrap_err().kind(), ErrorKind::InvalidInput);
                    });
                }
            });
        });
        assert_eq!(std::fs::read(&secret).unwrap(), b"rope");
    });
}

#[test]
fn a_process_without_descriptors_is_told_so_and_goes_on_when_there_are_some() {
    alone(
        "a_process_without_descriptors_is_told_so_and_goes_on_when_there_are_some",
        "ulimit -n 64 && ",
        || {
            with_both(|folder| {
                let path = folder.join("file");
                fs::write(&path, "rope").unwrap();
                let mut open = Vec::new();
                let error = loop {
                    match File::open(&path) {
                        Ok(file) => open.push(file),
                        Err(error) => break error,
                    }
                };
                let none_left = Some(rustix::io::Errno::MFILE.raw_os_error());
                assert_eq!(error.raw_os_error(), none_left);
                assert!(open.len() > 30, "{}", open.len());
                assert_eq!(fs::read(&path).unwrap_err().raw_os_error(), none_left);
                assert_eq!(fs::read_dir(folder).unwrap_err().raw_os_error(), none_left);
                assert_eq!(open[0].try_clone().unwrap_err().raw_os_error(), none_left);
                // What is open is used, and what needs no descriptor is done.
                let mut bytes = [0; 4];
                open[0].read_exact_at(&mut bytes, 0).unwrap();
                assert_eq!(&bytes, b"rope");
                fs::rename(&path, folder.join("other")).unwrap();
                assert_eq!(fs::metadata(folder.join("other")).unwrap().len(), 4);
                open.pop();
                assert_eq!(fs::read(folder.join("other")).unwrap(), b"rope");
            });
        },
    );
}

#[test]
fn a_runtime_that_finds_no_descriptors_uses_files_by_threads() {
    alone("a_runtime_that_finds_no_descriptors_uses_files_by_threads", "ulimit -n 64 && ", || {
        let folder = Folder::new();
        let path = folder.join("file");
        std::fs::write(&path, "rope").unwrap();
        let mut files: Vec<_> = std::iter::from_fn(|| std::fs::File::open(&path).ok()).collect();
        assert!(files.len() > 30);
        let file = File::from(files.pop().unwrap());
        // The number of the last one is taken again, so that there is none for a ring.
        let _taken = file.try_clone().err();
        for driver in [ropewalk::Driver::Epoll, ropewalk::Driver::Uring] {
            ropewalk::Runtime::builder().driver(driver).build().run(|| {
                let mut bytes = [0; 4];
                file.read_exact_at(&mut bytes, 0).unwrap();
                assert_eq!(&bytes, b"rope");
                fs::rename(&path, folder.join("other")).unwrap();
                fs::rename(folder.join("other"), &path).unwrap();
            });
        }
        drop(files);
    });
}

#[test]
fn a_current_directory_that_is_gone_is_no_place_for_files() {
    alone("a_current_directory_that_is_gone_is_no_place_for_files", "", || {
        let folder = Folder::new();
        let gone = folder.join("gone");
        std::fs::create_dir(&gone).unwrap();
        env::set_current_dir(&gone).unwrap();
        std::fs::remove_dir(&gone).unwrap();
        with_both(|other| {
            let is_missing = |done: io::Result<()>| {
                assert_eq!(done.unwrap_err().kind(), ErrorKind::NotFound);
            };
            is_missing(File::create("file").map(drop));
            is_missing(fs::write("file", "x"));
            is_missing(fs::read("file").map(drop));
            is_missing(fs::create_dir("below"));
            is_missing(fs::create_dir_all("below/that"));
            is_missing(fs::canonicalize(".").map(drop));
            is_missing(fs::rename("file", "other"));
            // It is still what it is, and it is empty.
            assert_eq!(fs::read_dir(".").unwrap().count(), 0);
            assert!(fs::metadata(".").unwrap().is_dir());
            // And others are still where they are.
            fs::write(other.join("file"), "rope").unwrap();
            assert_eq!(fs::read(other.join("file")).unwrap(), b"rope");
        });
        env::set_current_dir("/").unwrap();
    });
}

#[test]
fn a_current_directory_that_changes_is_that_of_calls_that_come_after() {
    alone("a_current_directory_that_changes_is_that_of_calls_that_come_after", "", || {
        with_both(|folder| {
            for name in ["one", "two"] {
                fs::create_dir(folder.join(name)).unwrap();
                env::set_current_dir(folder.join(name)).unwrap();
                fs::write("file", name).unwrap();
                let mut file = OpenOptions::new().append(true).open("file").unwrap();
                file.write_all(b"!").unwrap();
                fs::rename("file", "other").unwrap();
            }
            for name in ["one", "two"] {
                assert_eq!(fs::read_to_string(folder.join(name).join("other")).unwrap(), format!("{name}!"));
            }
            env::set_current_dir("/").unwrap();
        });
    });
}

#[test]
fn what_is_made_is_masked_as_std_s_is() {
    alone("what_is_made_is_masked_as_std_s_is", "umask 027 && ", || {
        with_both(|folder| {
            fs::write(folder.join("file"), "").unwrap();
            File::create_new(folder.join("other")).unwrap();
            fs::create_dir(folder.join("directory")).unwrap();
            let mode = |name| std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!([mode("file"), mode("other"), mode("directory")], [0o640, 0o640, 0o750]);
        });
    });
}

#[test]
fn a_file_that_is_longer_than_it_may_be_is_an_error_and_no_signal() {
    // Where it is not ignored the signal ends the process.
    alone(
        "a_file_that_is_longer_than_it_may_be_is_an_error_and_no_signal",
        "trap '' XFSZ; ulimit -f 8 && ",
        || {
            with_both(|folder| {
                let mut file = File::create(folder.join("file")).unwrap();
                let written = file.write(&[1; 100_000]).unwrap();
                assert!(written < 100_000, "{written}");
                assert_eq!(file.write(&[1; 10]).unwrap_err().kind(), ErrorKind::FileTooLarge);
                assert_eq!(fs::metadata(folder.join("file")).unwrap().len(), written as u64);
            });
        },
    );
}

#[test]
fn calls_wait_in_line_for_threads_and_all_are_made() {
    with_both(|folder| {
        blocking::limiter().set_limit(2);
        task::scope(|s| {
            for number in 0..100 {
                s.spawn(move || {
                    let path = folder.join(number.to_string());
                    fs::write(&path, number.to_string()).unwrap();
                    assert_eq!(fs::metadata(&path).unwrap().len(), number.to_string().len() as u64);
                    let file = File::options().write(true).open(&path).unwrap();
                    file.set_len(1).unwrap();
                });
            }
        });
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        assert_eq!(entries.sum::<u64>(), 100);
    });
}
