//! Files: std's words, calls that do not stop the others, and what a cancelled call leaves.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{
    self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write,
};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{CWD, Mode, mkfifoat};
use sedge::fs::{self, File, OpenOptions};
use sedge::os::unix::fs::{
    DirBuilderExt, DirEntryExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt,
    symlink,
};
use sedge::{Reason, State};

use crate::util::{self, OnDrop, ms, until};

/// A directory that goes away with it.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sedge-fs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn make_fifo(path: &Path) {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

/// Has the pages of a file dropped from memory, as far as the system does so.
fn forget_pages(file: &File) {
    file.sync_all().unwrap();
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// Keeps every OS thread of the pool busy until it is dropped.
struct FullPool {
    gates: Vec<std::sync::mpsc::Sender<()>>,
    threads: Vec<sedge::JoinHandle<()>>,
}

impl FullPool {
    fn new() -> FullPool {
        let (gates, threads): (Vec<_>, Vec<_>) = (0..64)
            .map(|_| {
                let (gate, closed) = std::sync::mpsc::channel();
                let job = || {
                    sedge::blocking(move || {
                        let _ = closed.recv();
                    });
                };
                (gate, sedge::spawn(job))
            })
            .unzip();
        sedge::yield_now();
        FullPool { gates, threads }
    }

    fn open(self) {
        drop(self.gates);
        sedge::wait_all(&self.threads);
    }
}

#[test]
fn every_function_does_what_stds_does() {
    let dir = Dir::new();
    util::run(|| {
        let at = |name: &str| dir.join(name);
        fs::write(at("a"), "text").unwrap();
        assert_eq!(fs::read(at("a")).unwrap(), b"text");
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "text");
        assert_eq!(fs::copy(at("a"), at("b")).unwrap(), 4);
        fs::rename(at("b"), at("c")).unwrap();
        assert!(!fs::exists(at("b")).unwrap() && fs::exists(at("c")).unwrap());
        fs::hard_link(at("a"), at("hard")).unwrap();
        assert_eq!(fs::metadata(at("a")).unwrap().nlink(), 2);
        symlink("a", at("soft")).unwrap();
        assert_eq!(fs::read_link(at("soft")).unwrap(), Path::new("a"));
        assert_eq!(fs::metadata(at("soft")).unwrap().len(), 4);
        assert!(fs::symlink_metadata(at("soft")).unwrap().is_symlink());
        let real = fs::canonicalize(at("soft")).unwrap();
        assert_eq!(real, std::fs::canonicalize(at("a")).unwrap());
        fs::set_permissions(at("a"), fs::Permissions::from_mode(0o400)).unwrap();
        assert!(fs::metadata(at("a")).unwrap().permissions().readonly());
        fs::create_dir(at("d")).unwrap();
        assert_eq!(
            fs::create_dir(at("d")).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        fs::create_dir_all(at("d/e/f")).unwrap();
        assert_eq!(
            fs::remove_dir(at("d")).unwrap_err().kind(),
            ErrorKind::DirectoryNotEmpty
        );
        fs::remove_dir(at("d/e/f")).unwrap();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(at("d/g/h"))
            .unwrap();
        assert_eq!(fs::metadata(at("d/g")).unwrap().mode() & 0o777, 0o700);
        fs::remove_dir_all(at("d")).unwrap();
        fs::remove_file(at("a")).unwrap();
        assert_eq!(fs::read(at("a")).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(at("bad"), [0xff]).unwrap();
        assert_eq!(
            fs::read_to_string(at("bad")).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
    });
}

#[test]
fn a_file_reads_writes_and_seeks_as_stds_does() {
    let dir = Dir::new();
    util::run(|| {
        let path = dir.join("a");
        let mut file = File::create_new(&path).unwrap();
        assert_eq!(
            File::create_new(&path).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        file.write_all(b"0123456789").unwrap();
        assert_eq!(file.stream_position().unwrap(), 10);
        file.rewind().unwrap();
        let (mut a, mut b) = ([0; 3], [0; 4]);
        let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(file.read_vectored(&mut bufs).unwrap(), 7);
        assert_eq!((&a, &b), (b"012", b"3456"));
        assert_eq!(file.seek(SeekFrom::End(-2)).unwrap(), 8);
        assert_eq!(
            file.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")])
                .unwrap(),
            4
        );
        let mut at = [0; 4];
        file.read_exact_at(&mut at, 7).unwrap();
        assert_eq!(&at, b"7abc");
        file.write_all_at(b"X", 0).unwrap();
        assert_eq!(file.stream_position().unwrap(), 12);
        assert!(file.read_at(&mut at, u64::MAX).is_err());
        assert_eq!(file.stream_position().unwrap(), 12);
        assert_eq!(file.read(&mut at).unwrap(), 0);
        let mut clone = file.try_clone().unwrap();
        clone.seek(SeekFrom::Start(1)).unwrap();
        let mut text = String::from("> ");
        assert_eq!(file.read_to_string(&mut text).unwrap(), 11);
        assert_eq!(text, "> 1234567abcd");
        file.set_len(4).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 4);
        let time = std::time::SystemTime::UNIX_EPOCH + ms(5000);
        file.set_modified(time).unwrap();
        assert_eq!(file.metadata().unwrap().modified().unwrap(), time);
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .unwrap();
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        let error = File::open(&path).unwrap().write(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(
            File::open(&dir.0)
                .unwrap()
                .read(&mut at)
                .unwrap_err()
                .raw_os_error(),
            Some(libc::EISDIR)
        );
    });
}

#[test]
fn options_are_stds() {
    let dir = Dir::new();
    util::run(|| {
        let path = dir.join("a");
        let mut options = OpenOptions::new();
        let error = options.clone().open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        options.append(true).create(true).mode(0o640);
        for word in ["one ", "two "] {
            options
                .open(&path)
                .unwrap()
                .write_all(word.as_bytes())
                .unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one two ");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777 & !0o640, 0);
        let truncated = File::options().write(true).truncate(true).open(&path);
        assert_eq!(truncated.unwrap().metadata().unwrap().len(), 0);
        let link = dir.join("link");
        symlink(&path, &link).unwrap();
        let no_follow = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&link);
        assert_eq!(no_follow.unwrap_err().raw_os_error(), Some(libc::ELOOP));
    });
}

#[test]
fn large_files_come_back_as_they_were_written() {
    let dir = Dir::new();
    util::run(|| {
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|i| (i * 7 / 3) as u8).collect();
        let mut file = File::create(dir.join("a")).unwrap();
        file.write_all(&bytes).unwrap();
        forget_pages(&file);
        let mut back = vec![1];
        let mut file = File::open(dir.join("a")).unwrap();
        assert_eq!(file.read_to_end(&mut back).unwrap(), bytes.len());
        assert!(back[0] == 1 && back[1..] == bytes);
        file.rewind().unwrap();
        forget_pages(&file);
        let mut exact = vec![0; bytes.len()];
        file.read_exact(&mut exact).unwrap();
        assert!(exact == bytes);
        assert_eq!(file.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn files_whose_size_is_not_known_are_read_to_the_end() {
    util::run(|| {
        let mut text = String::new();
        let mut file = File::open("/proc/self/status").unwrap();
        file.read_to_string(&mut text).unwrap();
        assert!(text.contains("Threads:"));
        assert!(
            fs::read_to_string("/proc/self/maps")
                .unwrap()
                .contains("[stack]")
        );
        let lines = BufReader::new(File::open("/proc/self/limits").unwrap()).lines();
        assert!(lines.count() > 5);
    });
}

#[test]
fn devices_that_never_wait_are_read_and_written() {
    util::run(|| {
        let mut buf = [1; 100];
        File::open("/dev/zero")
            .unwrap()
            .read_exact(&mut buf)
            .unwrap();
        assert_eq!(buf, [0; 100]);
        let mut null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap();
        null.write_all(&buf).unwrap();
        assert_eq!(null.read(&mut buf).unwrap(), 0);
        assert!(!null.is_terminal());
    });
}

#[test]
fn others_run_while_a_call_is_on_the_pool() {
    let dir = Dir::new();
    util::run(|| {
        let path = dir.join("fifo");
        make_fifo(&path);
        let reader = sedge::spawn({
            let path = path.clone();
            move || fs::read_to_string(path).unwrap() // waits for a writer
        });
        until(reader.thread(), State::Parked(Reason::Blocking));
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        sedge::spawn(move || flag.set(true)).join().unwrap();
        assert!(ran.get());
        fs::write(&path, "through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
    });
}

#[test]
fn a_named_pipe_is_waited_for_without_an_os_thread() {
    let dir = Dir::new();
    util::run(|| {
        let path = dir.join("fifo");
        make_fifo(&path);
        let mut both = File::options().read(true).write(true).open(&path).unwrap();
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        let mut clone = both.try_clone().unwrap();
        let mut buf = [0; 5];
        assert!(sedge::timeout(ms(10), || clone.read(&mut buf)).is_err());
        let reader = sedge::spawn(move || {
            let mut buf = [0; 5];
            clone.read_exact(&mut buf).unwrap();
            buf
        });
        until(reader.thread(), State::Parked(Reason::Read));
        both.write_all(b"hello").unwrap();
        assert_eq!(&reader.join().unwrap(), b"hello");
        // Full: the writer waits as well.
        let writer = sedge::spawn(move || both.write_all(&[7; 100_000]).unwrap());
        until(writer.thread(), State::Parked(Reason::Write));
        let mut other = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path);
        let mut rest = vec![0; 100_000];
        let mut count = 0;
        while count < rest.len() {
            match other.as_mut().unwrap().read(&mut rest[count..]) {
                Ok(read) => count += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => sedge::sleep(ms(1)),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(rest, [7; 100_000]);
        writer.join().unwrap();
    });
}

#[test]
fn a_file_may_be_made_of_either_end_of_a_pipe() {
    util::run(|| {
        let (reader, writer) = io::pipe().unwrap();
        let mut reader = File::from(OwnedFd::from(reader));
        let mut writer = File::from(OwnedFd::from(writer));
        let sum = sedge::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes.len()
        });
        writer.write_all(&[1; 300_000]).unwrap();
        drop(writer);
        assert_eq!(sum.join().unwrap(), 300_000);
    });
}

#[test]
fn a_call_that_no_os_thread_has_begun_is_not_made_once_it_is_cancelled() {
    let dir = Dir::new();
    util::run(|| {
        let (kept, written) = (dir.join("kept"), dir.join("written"));
        fs::write(&kept, "").unwrap();
        let full = FullPool::new();
        let threads = [
            sedge::spawn({
                let kept = kept.clone();
                move || fs::remove_file(kept).unwrap()
            }),
            sedge::spawn({
                let written = written.clone();
                move || fs::write(written, "").unwrap()
            }),
        ];
        for thread in threads {
            until(thread.thread(), State::Parked(Reason::Blocking));
            thread.cancel();
            assert!(thread.join().unwrap_err().is_cancelled());
        }
        assert!(sedge::timeout(ms(5), || fs::remove_file(&kept)).is_err());
        full.open();
        assert!(fs::exists(&kept).unwrap());
        assert!(!fs::exists(&written).unwrap());
    });
}

#[test]
fn a_cancelled_write_is_done_wholly_or_not_at_all() {
    let dir = Dir::new();
    util::run(|| {
        for round in 0..200 {
            let path = dir.join(&format!("{round}"));
            let mut file = File::create(&path).unwrap();
            let writer = sedge::spawn(move || file.write(&[9; 5000]).unwrap());
            sedge::yield_now();
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            writer.cancel();
            drop(writer.join());
        }
        // What was under way goes on for a moment.
        let is_whole = |round| {
            let len = std::fs::metadata(dir.join(&format!("{round}")))
                .unwrap()
                .len();
            len == 0 || len == 5000
        };
        while !(0..200).all(is_whole) {
            sedge::sleep(ms(1));
        }
    });
}

#[test]
fn a_timeout_in_a_read_leaves_a_file_that_still_reads() {
    let dir = Dir::new();
    util::run(|| {
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
        fs::write(dir.join("a"), &bytes).unwrap();
        let mut file = File::open(dir.join("a")).unwrap();
        for _ in 0..50 {
            forget_pages(&file);
            let mut partial = Vec::new();
            let _ = sedge::timeout(ms(0), || file.read_to_end(&mut partial));
            assert!(partial.len() <= bytes.len());
            file.rewind().unwrap();
        }
        let full = FullPool::new();
        let mut kept = vec![5];
        // In memory or not: the budget, or the pool, lets the limit pass.
        let _ = sedge::timeout(ms(1), || {
            loop {
                file.rewind()?;
                file.read_to_end(&mut kept)?;
                file.metadata()?;
            }
            #[expect(unreachable_code, reason = "names the type")]
            io::Result::Ok(())
        });
        full.open();
        assert_eq!(
            (kept.len() - 1) % bytes.len(),
            0,
            "nothing of an unwound read is left"
        );
        file.seek(SeekFrom::Start(10)).unwrap();
        let mut ten = [0; 10];
        file.read_exact(&mut ten).unwrap();
        assert_eq!(ten, bytes[10..20]);
    });
}

#[test]
fn a_file_given_back_while_a_cancelled_call_goes_on_is_the_same_open_file() {
    let dir = Dir::new();
    util::run(|| {
        let path = dir.join("fifo");
        make_fifo(&path);
        let full = FullPool::new();
        let file = Rc::new(File::from(std::fs::File::create(dir.join("a")).unwrap()));
        let writer = sedge::spawn({
            let file = Rc::clone(&file);
            move || (&*file).write(b"x")
        });
        until(writer.thread(), State::Parked(Reason::Blocking));
        writer.cancel();
        assert!(writer.join().unwrap_err().is_cancelled());
        let fd = file.as_raw_fd();
        let mut std_file = std::fs::File::from(Rc::into_inner(file).unwrap());
        assert_ne!(std_file.as_raw_fd(), fd);
        full.open();
        std_file.write_all(b"y").unwrap();
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "y");
        let file = File::from(std_file);
        let fd = file.as_raw_fd();
        assert_eq!(file.into_raw_fd(), fd);
        drop(File::from(std::fs::File::open(dir.join("a")).unwrap()));
        close(fd);
    });
}

#[expect(unsafe_code, reason = "takes a bare descriptor back")]
fn close(fd: i32) {
    use std::os::fd::FromRawFd;
    // SAFETY: the descriptor is open, and the caller's own.
    drop(unsafe { File::from_raw_fd(fd) });
}

#[test]
fn a_directory_is_listed_whole() {
    let dir = Dir::new();
    util::run(|| {
        let names: BTreeSet<_> = (0..1000).map(|i| format!("{i}")).collect();
        for name in &names {
            std::fs::write(dir.join(name), "").unwrap();
        }
        std::fs::create_dir(dir.join("0d")).unwrap();
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&dir.0).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            assert_eq!(entry.ino(), metadata.ino());
            assert_eq!(entry.path(), dir.0.join(entry.file_name()));
            if entry.file_type().unwrap().is_file() {
                found.insert(entry.file_name().into_string().unwrap());
            } else {
                assert!(metadata.is_dir() && entry.file_name() == "0d");
            }
        }
        assert_eq!(found, names);
        assert_eq!(
            fs::read_dir(dir.join("none")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let mut empty = fs::read_dir(dir.join("0d")).unwrap();
        assert!(empty.next().is_none() && empty.next().is_none());
        assert!(format!("{empty:?}").starts_with("ReadDir(\""));
    });
}

#[test]
fn a_listing_that_is_cancelled_half_way_loses_no_entry() {
    let dir = Dir::new();
    util::run(|| {
        for i in 0..2000 {
            std::fs::write(dir.join(&format!("{i}")), "").unwrap();
        }
        let mut entries = fs::read_dir(&dir.0).unwrap();
        let mut full = Some(FullPool::new());
        let mut count = 0;
        loop {
            match sedge::timeout(ms(5), || entries.next()) {
                Ok(None) => break,
                Ok(Some(entry)) => count += usize::from(entry.is_ok()),
                Err(_) => full.take().into_iter().for_each(FullPool::open),
            }
        }
        assert!(full.is_none(), "it has not been cancelled");
        assert_eq!(count, 2000);
    });
}

#[test]
fn a_lock_parks_who_wants_it_and_leaves_the_pool_alone() {
    let dir = Dir::new();
    util::run(|| {
        let path = dir.join("lock");
        let open = || {
            File::options()
                .write(true)
                .create(true)
                .open(&path)
                .unwrap()
        };
        let holder = open();
        holder.lock().unwrap();
        assert!(matches!(
            open().try_lock(),
            Err(fs::TryLockError::WouldBlock)
        ));
        assert!(open().try_lock_shared().is_err());
        let threads: Vec<_> = (0..100)
            .map(|_| {
                let file = open();
                sedge::spawn(move || {
                    file.lock().unwrap();
                    (&file).write_all(b"x").unwrap();
                })
            })
            .collect();
        sedge::yield_now();
        threads[0].cancel();
        fs::metadata(&path).unwrap();
        holder.unlock().unwrap();
        sedge::wait_all(&threads);
        let shared = (open(), open());
        shared.0.lock_shared().unwrap();
        shared.1.lock_shared().unwrap();
        assert!(open().try_lock().is_err());
    });
}

#[test]
fn outside_run_and_while_unwinding_it_is_done_in_place() {
    let dir = Dir::new();
    let path = dir.join("a");
    fs::write(&path, "outside").unwrap();
    let mut file = File::open(&path).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "outside");
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1);
    util::run(|| {
        let path = path.clone();
        let thread = sedge::spawn(move || {
            let _guard = OnDrop(move || {
                fs::write(&path, "farewell").unwrap();
                let mut text = String::new();
                File::open(&path)
                    .unwrap()
                    .read_to_string(&mut text)
                    .unwrap();
                assert_eq!(text, "farewell");
            });
            panic!("unwinds");
        });
        assert_eq!(thread.join().unwrap_err().message(), Some("unwinds"));
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), "farewell");
}

#[test]
fn files_may_go_to_other_os_threads() {
    fn needs_send_and_sync<T: Send + Sync>(_: &T) {}
    util::run(|| {
        let mut file = File::open("Cargo.toml").unwrap();
        needs_send_and_sync(&file);
        needs_send_and_sync(&fs::read_dir(".").unwrap());
        let text = sedge::blocking(move || {
            let mut text = String::new();
            file.read_to_string(&mut text).map(|_| text)
        });
        assert!(text.unwrap().starts_with("[package]"));
    });
}

#[test]
fn green_threads_that_share_a_file_read_every_byte_once() {
    let dir = Dir::new();
    util::run(|| {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
        fs::write(dir.join("a"), &bytes).unwrap();
        let file = Rc::new(File::open(dir.join("a")).unwrap());
        forget_pages(&file);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let file = Rc::clone(&file);
                sedge::spawn(move || {
                    let mut count = 0;
                    let mut buf = [0; 1000];
                    loop {
                        match (&*file).read(&mut buf).unwrap() {
                            0 => return count,
                            read => count += read,
                        }
                    }
                })
            })
            .collect();
        let total: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(total, bytes.len());
    });
}
