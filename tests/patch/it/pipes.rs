//! `std::io::pipe`, and other descriptors that are read and written.

use std::fs::File;
use std::io::{Read, Write, pipe};
use std::os::fd::FromRawFd;
use std::time::Duration;

use sedge_patch_tests::{parks, run};

#[test]
fn a_megabyte_goes_through_a_pipe_of_std() {
    run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let writes = sedge::spawn(move || {
            // As without a patch, one call writes it all.
            assert_eq!(writer.write(&vec![7; 1_000_000]).unwrap(), 1_000_000);
        });
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() == 1_000_000 && bytes.iter().all(|byte| *byte == 7));
        writes.join().unwrap();
    });
}

#[test]
fn a_pipe_whose_reader_is_gone_is_broken() {
    run(|| {
        let (reader, mut writer) = pipe().unwrap();
        drop(reader);
        let error = writer.write(b"x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn an_event_counter_wakes_who_reads_it() {
    run(|| {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::eventfd(0, 0) };
        // SAFETY: it was just made, and is nobody else's.
        let mut counter = unsafe { File::from_raw_fd(fd) };
        let mut same = counter.try_clone().unwrap();
        let reads = sedge::spawn(move || {
            let mut bytes = [0; 8];
            counter.read_exact(&mut bytes).unwrap();
            u64::from_ne_bytes(bytes)
        });
        sedge::sleep(Duration::from_millis(1));
        same.write_all(&5u64.to_ne_bytes()).unwrap();
        assert_eq!(reads.join().unwrap(), 5);
    });
}

#[test]
fn a_file_goes_straight_to_libc() {
    run(|| {
        let before = sedge::patch::calls().of("read").unwrap().passed;
        let parked = parks(&["read"], || {
            let mut text = String::new();
            File::open("/proc/self/stat")
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert!(!text.is_empty());
        });
        assert_eq!(parked, 0);
        assert!(sedge::patch::calls().of("read").unwrap().passed > before);
    });
}
