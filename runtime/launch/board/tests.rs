//! Tests of the board.

use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::*;

#[test]
fn what_one_mapping_writes_another_reads() {
    let board = Board::create(SLOTS).unwrap();
    let other = Board::open(board.fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!(other.len(), SLOTS);
    board.slot(SLOTS - 1).requests.store(7, Relaxed);
    board.slot(0).set_state(State::Draining);
    assert_eq!(other.slot(SLOTS - 1).requests.load(Relaxed), 7);
    assert_eq!(other.slot(0).state(), State::Draining);
    assert_eq!(other.slot(1).state(), State::Empty);
    drop(board);
    assert_eq!(other.slot(SLOTS - 1).requests.load(Relaxed), 7);
}

#[test]
fn nobody_can_shorten_it() {
    let board = Board::create(2).unwrap();
    assert!(ftruncate(board.fd(), 0).is_err());
    assert!(ftruncate(board.fd(), 1 << 20).is_err());
}

/// Bytes of a board.
fn len(slots: usize) -> usize {
    size_of::<Head>() + slots * size_of::<Slot>()
}

#[test]
fn what_is_no_board_is_refused() {
    const SEALS: SealFlags = SealFlags::SHRINK
        .union(SealFlags::GROW)
        .union(SealFlags::SEAL);
    let open = |fd| Board::open(fd).unwrap_err().kind();
    let memory = || memfd_create("x", MemfdFlags::ALLOW_SEALING).unwrap();
    assert_eq!(open(memory()), io::ErrorKind::InvalidData);

    let unsealed = memory();
    ftruncate(&unsealed, len(2) as u64).unwrap();
    assert_eq!(open(unsealed), io::ErrorKind::InvalidData);

    let odd = memory();
    ftruncate(&odd, len(2) as u64 + 1).unwrap();
    fcntl_add_seals(&odd, SEALS).unwrap();
    assert_eq!(open(odd), io::ErrorKind::InvalidData);

    let blank = memory();
    ftruncate(&blank, len(2) as u64).unwrap();
    fcntl_add_seals(&blank, SEALS).unwrap();
    assert_eq!(open(blank), io::ErrorKind::InvalidData);
}

#[test]
#[should_panic(expected = "slot 2 of a board of 2")]
fn there_is_no_slot_past_the_end() {
    let board = Board::create(2).unwrap();
    let _ = board.slot(2).state();
}

#[test]
fn words_about_a_hog_are_cut_and_cleared() {
    let board = Board::create(1).unwrap();
    let slot = board.slot(0);
    assert_eq!(slot.hog(), None);
    slot.write_hog(b"");
    assert_eq!(slot.hog().unwrap(), "");
    slot.write_hog(&[b'x'; HOG_BYTES + 1]);
    assert_eq!(slot.hog().unwrap().len(), HOG_BYTES);
    slot.clear_hog();
    assert_eq!(slot.hog(), None);
}

#[test]
fn a_cleared_slot_keeps_only_the_restarts() {
    let board = Board::create(1).unwrap();
    let slot = board.slot(0);
    slot.pid.store(1, Relaxed);
    slot.set_state(State::Ready);
    slot.restarts.store(3, Relaxed);
    slot.clear();
    assert_eq!(slot.pid.load(Relaxed), 0);
    assert_eq!(slot.state(), State::Empty);
    assert_eq!(slot.restarts.load(Relaxed), 3);
}

#[test]
fn a_state_that_nobody_knows_is_none() {
    let board = Board::create(1).unwrap();
    board.slot(0).state.store(99, Relaxed);
    assert_eq!(board.slot(0).state(), State::Empty);
    for state in State::ALL {
        board.slot(0).set_state(state);
        assert_eq!(board.slot(0).state(), state);
    }
}
