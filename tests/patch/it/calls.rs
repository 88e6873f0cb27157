//! What the counters say.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use sedge_patch_tests::run;

#[test]
fn calls_are_counted_by_what_became_of_them() {
    run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let counts = || sedge::patch::calls().of("recv").unwrap();
        let before = counts();
        let reads = sedge::spawn(move || {
            near.read_exact(&mut [0; 2]).unwrap(); // parks, then finds the second byte or parks
            near.set_nonblocking(true).unwrap();
            near.read(&mut [0]).unwrap_err();
        });
        sedge::yield_now();
        far.write_all(b"xy").unwrap();
        reads.join().unwrap();
        let after = counts();
        assert_eq!(after.parked - before.parked, 1);
        assert_eq!(after.passed - before.passed, 1);
        assert!(sedge::patch::calls().iter().any(|(name, _)| name == "recv"));
        assert_eq!(sedge::patch::calls().of("fork"), None);
    });
}
