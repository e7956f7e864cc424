//! Paths and directories, with both drivers.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ropewalk::fs::{self, DirBuilder, File, OpenOptions};
use ropewalk::{Cancelled, blocking, task, time};

use crate::folder::with_both;

#[test]
fn names_are_made_moved_and_removed() {
    with_both(|folder| {
        let (path, other) = (folder.join("file"), folder.join("other"));
        fs::write(&path, "rope").unwrap();
        fs::hard_link(&path, &other).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!fs::exists(&path).unwrap());
        fs::symlink("other", &path).unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("other"));
        assert_eq!(fs::canonicalize(&path).unwrap(), std::fs::canonicalize(&other).unwrap());
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert!(fs::metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&path).unwrap(), b"rope");
        fs::write(folder.join("third"), "walk").unwrap();
        // What was there is replaced.
        fs::rename(folder.join("third"), &other).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"walk");
        fs::remove_file(&other).unwrap();
        assert!(!fs::exists(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap_err().kind(), ErrorKind::NotFound);
        fs::set_permissions(folder, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o750);
    });
}

#[test]
fn directories_are_made_and_removed() {
    with_both(|folder| {
        let inner = folder.join("a/b/c");
        assert_eq!(fs::create_dir(&inner).unwrap_err().kind(), ErrorKind::NotFound);
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir_all(&inner).unwrap();
        DirBuilder::new().mode(0o700).create(inner.join("d")).unwrap();
        assert_eq!(fs::metadata(inner.join("d")).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::DirBuilder::new().mode(0o777).create(inner.join("std")).unwrap();
        fs::create_dir(inner.join("ours")).unwrap();
        let mode = |name| std::fs::metadata(inner.join(name)).unwrap().permissions().mode();
        assert_eq!(mode("ours"), mode("std"));
        assert_eq!(fs::remove_dir(&inner).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        fs::remove_dir(inner.join("d")).unwrap();
        fs::symlink("/", folder.join("a/root")).unwrap();
        fs::remove_dir_all(folder.join("a")).unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        assert!(fs::exists("/").unwrap());
    });
}

#[test]
fn what_fails_fails_as_std_s_does() {
    with_both(|folder| {
        let at = |name: &str| folder.join(name);
        fs::create_dir_all(at("full/inner")).unwrap();
        fs::write(at("file"), "rope").unwrap();
        fs::symlink(at("loop"), at("loop")).unwrap();
        let long = "x".repeat(300);
        type Calls<'a> = [&'a dyn Fn(&Path) -> io::Result<()>; 2];
        let calls: [(&str, Calls<'_>); 16] = [
            ("open", [&|p| File::open(p).map(drop), &|p| std::fs::File::open(p).map(drop)]),
            ("create_new", [&|p| File::create_new(p).map(drop), &|p| std::fs::File::create_new(p).map(drop)]),
            ("read", [&|p| fs::read(p).map(drop), &|p| std::fs::read(p).map(drop)]),
            ("write", [&|p| fs::write(p, ""), &|p| std::fs::write(p, "")]),
            ("metadata", [&|p| fs::metadata(p).map(drop), &|p| std::fs::metadata(p).map(drop)]),
            ("link", [&|p| fs::hard_link(p, p), &|p| std::fs::hard_link(p, p)]),
            ("symlink", [&|p| fs::symlink(p, p), &|p| std::os::unix::fs::symlink(p, p)]),
            ("rename", [&|p| fs::rename(p, at("no/such")), &|p| std::fs::rename(p, at("no/such"))]),
            ("unlink", [&|p| fs::remove_file(p.join("x")), &|p| std::fs::remove_file(p.join("x"))]),
            ("rmdir", [&|p| fs::remove_dir(p), &|p| std::fs::remove_dir(p)]),
            ("mkdir", [&|p| fs::create_dir(p), &|p| std::fs::create_dir(p)]),
            (
                "mkdirs",
                [&|p| fs::create_dir_all(p.join("x/y")).and(Err(ErrorKind::Other.into())), &|p| {
                    std::fs::create_dir_all(p.join("x/y")).and(Err(ErrorKind::Other.into()))
                }],
            ),
            ("read_dir", [&|p| fs::read_dir(p).map(drop), &|p| std::fs::read_dir(p).map(drop)]),
            ("read_link", [&|p| fs::read_link(p).map(drop), &|p| std::fs::read_link(p).map(drop)]),
            ("canonicalize", [&|p| fs::canonicalize(p).map(drop), &|p| std::fs::canonicalize(p).map(drop)]),
            ("copy", [&|p| fs::copy(p, at("full")).map(drop), &|p| std::fs::copy(p, at("full")).map(drop)]),
        ];
        let paths = [
            at("none"),
            at("file/below"),
            at("loop"),
            at("loop/x"),
            at(&long),
            at("full"),
            "".into(),
            "a\0b".into(),
        ];
        let mut failed = 0;
        for path in &paths {
            for (name, [ours, std]) in &calls {
                // What one of them makes the other finds, and what succeeds is no error to compare.
                let undo = || {
                    let _ = std::fs::remove_file(at("none"));
                    let _ = std::fs::remove_dir_all(at("none"));
                };
                let ours = ours(path).map_err(|error| (error.kind(), error.raw_os_error()));
                undo();
                let std = std(path).map_err(|error| (error.kind(), error.raw_os_error()));
                undo();
                assert_eq!(ours, std, "{name} {}", path.display());
                failed += usize::from(ours.is_err());
            }
        }
        assert!(failed > 90, "{failed}");
        // A directory is opened, and cannot be read; a path that ends like one is none.
        let mut directory = File::open(folder).unwrap();
        assert_eq!(io::Read::read(&mut directory, &mut [0]).unwrap_err().kind(), ErrorKind::IsADirectory);
        directory.sync_all().unwrap();
        assert_eq!(File::create(folder).unwrap_err().kind(), ErrorKind::IsADirectory);
    });
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    with_both(|folder| {
        let path = folder.join("file");
        let refused = |options: &mut OpenOptions| {
            assert_eq!(options.open(&path).unwrap_err().kind(), ErrorKind::InvalidInput, "{options:?}");
        };
        refused(&mut OpenOptions::new());
        refused(OpenOptions::new().read(true).create(true));
        refused(OpenOptions::new().read(true).truncate(true));
        refused(OpenOptions::new().append(true).truncate(true));
        assert!(!fs::exists(&path).unwrap());
        // What std takes is taken.
        OpenOptions::new().append(true).truncate(true).create_new(true).open(&path).unwrap();
        OpenOptions::new().write(true).create(true).open(&path).unwrap();
        // Flags besides: not through a link, and whether it is read or written is said otherwise.
        fs::symlink(&path, folder.join("link")).unwrap();
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::RDWR).bits() as i32;
        let failed = OpenOptions::new().read(true).custom_flags(flags).open(folder.join("link")).unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).unwrap();
        assert!(io::Write::write(&mut &file, b"x").is_err());
    });
}

#[test]
fn names_that_are_no_text_are_names() {
    with_both(|folder| {
        let name = OsStr::from_bytes(b"h\xffmp");
        fs::write(folder.join(name), "rope").unwrap();
        let entry = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
        assert_eq!(entry.file_name(), name);
        assert_eq!(fs::read(entry.path()).unwrap(), b"rope");
    });
}

#[test]
fn all_entries_of_a_directory_are_given_once() {
    with_both(|folder| {
        let names: BTreeSet<_> = (0..300).map(|number| number.to_string()).collect();
        for name in &names {
            match name.ends_with('7') {
                true => std::fs::create_dir(folder.join(name)).unwrap(),
                false => std::fs::write(folder.join(name), name).unwrap(),
            }
        }
        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            assert_eq!(entry.file_type().unwrap().is_dir(), name.ends_with('7'));
            assert_eq!(entry.path(), folder.join(&name));
            if name.ends_with('3') {
                let known = entry.metadata().unwrap();
                assert_eq!(known.len(), name.len() as u64);
                assert_eq!(std::os::unix::fs::MetadataExt::ino(&known), entry.ino());
            }
            assert!(seen.insert(name));
        }
        assert_eq!(seen, names);
    });
}

#[test]
fn a_directory_that_is_removed_while_it_is_read_ends() {
    with_both(|folder| {
        let directory = folder.join("directory");
        fs::create_dir(&directory).unwrap();
        for number in 0..300 {
            std::fs::write(directory.join(number.to_string()), "").unwrap();
        }
        let mut entries = fs::read_dir(&directory).unwrap();
        let first = entries.next().unwrap().unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(first.metadata().unwrap_err().kind(), ErrorKind::NotFound);
        // What had been read is given; what was not is not made up.
        let rest = entries.by_ref().take(1_000).map(|entry| entry.map(drop)).collect::<Vec<_>>();
        assert!(rest.len() < 300, "{}", rest.len());
        assert!(entries.next().is_none());
        assert_eq!(fs::read_dir(&directory).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::write(directory.join("x"), "").unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_that_is_removed_while_it_is_open_goes_on() {
    with_both(|folder| {
        fs::create_dir(folder.join("directory")).unwrap();
        let path = folder.join("directory/file");
        let file = File::create_new(&path).unwrap();
        fs::remove_dir_all(folder.join("directory")).unwrap();
        file.write_all_at(b"rope", 0).unwrap();
        file.sync_all().unwrap();
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"rope");
    });
}

#[test]
fn whole_trees_are_removed_while_somebody_makes_more() {
    with_both(|folder| {
        let tree = folder.join("tree");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut number = 0;
                while !is_over.load(Ordering::Relaxed) {
                    number += 1;
                    let _ = std::fs::create_dir_all(tree.join((number % 7).to_string()));
                    let _ = std::fs::write(tree.join((number % 7).to_string()).join("file"), "");
                }
            });
            for _ in 0..30 {
                // It fails with what it has found, or has removed it.
                match fs::remove_dir_all(&tree) {
                    Ok(()) => {}
                    Err(error) => assert!(
                        matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound),
                        "{error}"
                    ),
                }
                let made = fs::create_dir_all(tree.join("a/b/c"));
                assert!(made.is_ok() || made.is_err_and(|error| error.kind() == ErrorKind::NotFound));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        fs::remove_dir_all(&tree).unwrap();
        assert!(!fs::exists(&tree).unwrap());
    });
}

#[test]
fn reading_a_directory_loses_no_entry_to_a_cancellation_and_ends_loops_that_ignore_it() {
    with_both(|folder| {
        for number in 0..200 {
            std::fs::write(folder.join(number.to_string()), "").unwrap();
        }
        let mut entries = fs::read_dir(folder).unwrap();
        let mut seen = task::cancel_scope(|scope| {
            scope.cancel();
            // A loop that passes over errors.
            let seen = entries.by_ref().flatten().count();
            assert!(entries.next().is_none());
            seen
        });
        assert!((1..200).contains(&seen), "{seen}");
        for entry in entries {
            entry.unwrap();
            seen += 1;
        }
        assert_eq!(seen, 200);
        let mut entries = fs::read_dir(folder).unwrap();
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(Cancelled::is(&entries.find_map(|entry| entry.err()).unwrap()));
        });
    });
}

#[test]
fn entries_are_read_while_others_run() {
    with_both(|folder| {
        for number in 0..200 {
            std::fs::write(folder.join(number.to_string()), "").unwrap();
        }
        let mut entries = fs::read_dir(folder).unwrap();
        // Without a thread the first ones are there, and then it waits.
        blocking::limiter().set_limit(1);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        task::scope(|s| {
            s.spawn(|| blocking::unblock(move || wait.recv().unwrap()).unwrap());
            task::yield_now();
            let late =
                time::timeout(Duration::from_millis(1), || entries.by_ref().map_while(Result::ok).count());
            assert!((1..200).contains(&late.unwrap_err().0));
            go.send(()).unwrap();
        });
        assert!(entries.count() > 100);
    });
}
