//! Channels and pipes between processes, with both ends in this one: order, ends, limits, damage,
//! and what a cut-short wait leaves behind. What takes several processes is in `tests/ipc.rs`.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use proptest::prelude::*;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    send, sendmsg, socketpair,
};
use sedge::ipc::{
    self, Bytes, Counter, Event, Pipe, Queue, Receiver, RecvError, Semaphore, SendError, Sender,
};
use sedge::{State, thread};
use serde::{Deserialize, Serialize};

use crate::util::{FOREVER, ms, panic_of, run, until};

const READING: State = State::Parked(sedge::Reason::Read);
const WRITING: State = State::Parked(sedge::Reason::Write);

fn bytes(count: usize) -> Bytes {
    Bytes((0..count).map(|index| index as u8).collect())
}

#[test]
fn what_is_sent_comes_out_in_order() {
    run(|| {
        let (sender, receiver) = ipc::channel::<(u32, String)>().unwrap();
        let sending = thread::spawn(move || {
            for number in 0..2000 {
                sender.send(&(number, number.to_string())).unwrap();
            }
        });
        let received: Vec<u32> = receiver.iter().map(|message| message.unwrap().0).collect();
        assert_eq!(received, (0..2000).collect::<Vec<_>>());
        sending.join().unwrap();
    });
}

#[test]
fn who_waits_parks_its_green_thread_in_both_directions() {
    run(|| {
        let (sender, receiver) = ipc::channel::<u32>().unwrap();
        let waiting = {
            let receiver = receiver.clone();
            thread::spawn(move || receiver.recv().unwrap())
        };
        until(waiting.thread(), READING);
        sender.send(&7).unwrap();
        assert_eq!(waiting.join().unwrap(), 7);

        while sender.try_send(&1).unwrap() {}
        let blocked = thread::spawn(move || sender.send(&2).unwrap());
        until(blocked.thread(), WRITING);
        let all: u32 = receiver
            .iter()
            .map(Result::unwrap)
            .filter(|&n| n == 2)
            .sum();
        assert_eq!(all, 2);
        blocked.join().unwrap();
    });
}

#[test]
fn the_end_is_seen_when_the_last_sender_is_gone() {
    run(|| {
        let (sender, receiver) = ipc::channel::<u8>().unwrap();
        let other = sender.clone();
        let duplicate = Sender::<u8>::from(sender.as_fd().try_clone_to_owned().unwrap());
        let waiting = thread::spawn(move || receiver.iter().count());
        until(waiting.thread(), READING);
        drop(sender);
        other.send(&1).unwrap();
        drop(other);
        duplicate.send(&2).unwrap();
        until(waiting.thread(), READING);
        drop(duplicate);
        assert_eq!(waiting.join().unwrap(), 2);
    });
}

#[test]
fn a_sender_is_told_that_nobody_receives() {
    run(|| {
        let (sender, receiver) = ipc::channel::<u8>().unwrap();
        while sender.try_send(&1).unwrap() {}
        let blocked = {
            let sender = sender.clone();
            thread::spawn(move || sender.send(&2).unwrap_err())
        };
        until(blocked.thread(), WRITING);
        drop(receiver);
        assert!(blocked.join().unwrap().is_closed());
        assert!(sender.send(&3).unwrap_err().is_closed());
        assert!(sender.try_send(&3).unwrap_err().is_closed());
    });
}

#[test]
fn what_was_sent_to_a_pipe_is_received_although_its_sender_has_gone() {
    run(|| {
        let (here, there) = ipc::pipe::<u8>().unwrap();
        here.send(&1).unwrap(); // never read: the kernel reports that as an error at the other end
        there.send(&2).unwrap();
        there.send(&3).unwrap();
        drop(there);
        assert_eq!((here.recv().unwrap(), here.recv().unwrap()), (2, 3));
        assert!(here.recv().unwrap_err().is_closed());
        assert!(here.send(&4).unwrap_err().is_closed());
    });
}

#[test]
fn large_messages_arrive_whole() {
    run(|| {
        let (sender, receiver) = ipc::channel::<Bytes>().unwrap();
        let sizes = [0, 1, 65_530, 65_536, 65_537, 1_000_000, 10_000_000];
        let sending = thread::spawn(move || {
            for size in sizes {
                sender.send(&bytes(size)).unwrap();
            }
        });
        for size in sizes {
            assert!(receiver.recv().unwrap() == bytes(size), "{size} bytes");
        }
        sending.join().unwrap();
        assert!(receiver.recv().unwrap_err().is_closed());
    });
}

#[test]
fn a_message_beyond_the_limit_is_an_error_for_itself() {
    run(|| {
        let (sender, receiver) = ipc::channel::<Bytes>().unwrap();
        let limit = sender.limit();
        assert_eq!(limit, 16 << 20);
        let refused = sender.send(&bytes(limit)).unwrap_err();
        assert!(matches!(refused, SendError::TooLarge { limit } if limit == 16 << 20));

        receiver.set_limit(100_000);
        for size in [100_001, 1, 16_000_000, 2] {
            sender.send(&bytes(size)).unwrap();
        }
        receiver.set_limit(100_000);
        for _ in 0..2 {
            let refused = receiver.recv().unwrap_err();
            assert!(matches!(
                refused,
                RecvError::TooLarge { limit: 100_000, .. }
            ));
            assert!(receiver.recv().unwrap().len() < 3);
        }
        receiver.set_limit(10);
        sender.send(&bytes(10)).unwrap();
        sender.send(&bytes(9)).unwrap();
        assert!(matches!(
            receiver.recv().unwrap_err(),
            RecvError::TooLarge {
                bytes: 11,
                limit: 10
            }
        ));
        assert_eq!(receiver.recv().unwrap().len(), 9);
    });
}

#[test]
fn what_is_no_message_of_the_type_is_an_error_for_itself() {
    run(|| {
        let (sender, receiver) = ipc::channel::<String>().unwrap();
        let texts = Receiver::<String>::from(receiver.into_fd().unwrap());
        let numbers = Sender::<(u8, u8, u8)>::from(sender.into_fd().unwrap());
        let good = Sender::<String>::from(numbers.as_fd().try_clone_to_owned().unwrap());
        numbers.send(&(9, 0, 0)).unwrap(); // nine bytes are said to follow
        numbers.send(&(1, b'x', b'y')).unwrap(); // one too many
        numbers.send(&(2, 0xff, 0xff)).unwrap(); // no UTF-8
        good.send(&"good".to_owned()).unwrap();
        for _ in 0..3 {
            let error = texts.recv().unwrap_err();
            assert!(matches!(error, RecvError::Decode(_)), "{error}");
        }
        assert_eq!(texts.recv().unwrap(), "good");
    });
}

#[test]
fn a_value_that_cannot_be_encoded_is_an_error_for_itself() {
    struct Refuses;

    impl Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }

    run(|| {
        let (sender, receiver) = ipc::channel::<Option<Refuses>>().unwrap();
        let error = sender.send(&Some(Refuses)).unwrap_err();
        assert!(matches!(error, SendError::Encode(_)), "{error}");
        sender.send(&None).unwrap();
        let receiver = Receiver::<Option<u8>>::from(receiver.into_fd().unwrap());
        assert_eq!(receiver.recv().unwrap(), None);
    });
}

#[test]
fn a_panic_of_the_message_s_own_code_leaves_the_channel_as_it_was() {
    #[derive(Debug)]
    struct Panics;

    impl Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("while encoding")
        }
    }

    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Panics, D::Error> {
            panic!("while decoding")
        }
    }

    run(|| {
        let (sender, receiver) = ipc::channel::<Option<Panics>>().unwrap();
        let text = panic_of(|| sender.send(&Some(Panics)).unwrap());
        assert_eq!(text, "while encoding");
        let raw = Sender::<Option<u8>>::from(sender.as_fd().try_clone_to_owned().unwrap());
        raw.send(&Some(1)).unwrap();
        let text = panic_of(|| receiver.recv().unwrap());
        assert_eq!(text, "while decoding");
        sender.send(&None).unwrap();
        assert!(receiver.recv().unwrap().is_none());
    });
}

/// A socket for packets that no sender would send.
fn forged<T>() -> (OwnedFd, Receiver<T>) {
    let (one, other) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    (one, Receiver::from(other))
}

fn send_with_fds(socket: &OwnedFd, packet: &[u8], fds: &[impl AsFd]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(
        socket,
        &[IoSlice::new(packet)],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
}

fn memory(content: &[u8], seals: SealFlags) -> OwnedFd {
    let memory = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::io::write(&memory, content).unwrap();
    fcntl_add_seals(&memory, seals).unwrap();
    memory
}

#[test]
fn a_damaged_packet_is_an_error_for_itself() {
    let large = |bytes: u64| [&b"L"[..], &bytes.to_le_bytes()].concat();
    let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    run(|| {
        let (socket, receiver) = forged::<Bytes>();
        let plain = |packet: &[u8]| {
            send(&socket, packet, SendFlags::empty()).unwrap();
        };
        plain(b""); // looks like the end
        plain(b"x"); // no kind of ours
        plain(&vec![b'm'; 100_000]); // more than fits into the buffer
        plain(b"L12"); // half a length
        plain(&large(100)); // no memory came along
        send_with_fds(
            &socket,
            &large(4),
            &[memory(b"\x03abc", SealFlags::empty())],
        );
        send_with_fds(&socket, &large(4), &[memory(b"\x03abc", SealFlags::SHRINK)]);
        send_with_fds(&socket, &large(5), &[memory(b"\x03abc", all)]);
        send_with_fds(&socket, &large(3), &[memory(b"\x03abc", all)]);
        send_with_fds(&socket, &large(4), &[&socket]); // no memory at all
        for index in 0..10 {
            let error = receiver.recv().unwrap_err();
            assert!(matches!(error, RecvError::Truncated), "{index}: {error}");
        }
        plain(&large(u64::MAX));
        send_with_fds(&socket, &large(u64::MAX), &[memory(b"", all)]);
        assert!(matches!(receiver.recv(), Err(RecvError::Truncated)));
        assert!(matches!(receiver.recv(), Err(RecvError::TooLarge { .. })));
        send_with_fds(&socket, &large(4), &[memory(b"\x03abc", all)]);
        plain(b"m\x03abc");
        assert_eq!(receiver.recv().unwrap().0, b"abc");
        assert_eq!(receiver.recv().unwrap().0, b"abc");
        plain(b"");
        drop(socket);
        assert!(receiver.recv().unwrap_err().is_closed());
    });
}

#[test]
fn an_end_goes_through_another_one() {
    run(|| {
        let (ends, receiver) =
            ipc::channel::<(u8, Sender<u8>, Option<Pipe<u8, String>>)>().unwrap();
        let (first, firsts) = ipc::channel::<u8>().unwrap();
        let (pipe, other) = Pipe::<u8, String>::pair().unwrap();
        first.set_limit(1234);
        ends.send(&(1, first, Some(pipe))).unwrap();
        let (one, first, pipe) = receiver.recv().unwrap();
        assert_eq!((one, first.limit()), (1, 1234));
        first.send(&2).unwrap();
        assert_eq!(firsts.recv().unwrap(), 2);
        let pipe = pipe.unwrap();
        pipe.send(&3).unwrap();
        assert_eq!(other.recv().unwrap(), 3);
        other.send(&"four".to_owned()).unwrap();
        assert_eq!(pipe.recv().unwrap(), "four");
        // What was sent is a duplicate, and that one is gone.
        drop(first);
        assert!(firsts.recv().unwrap_err().is_closed());
    });
}

#[test]
fn an_end_goes_along_with_a_large_message_too() {
    run(|| {
        let (ends, receiver) = ipc::channel::<(Bytes, Vec<Sender<u8>>)>().unwrap();
        let (sender, small) = ipc::channel::<u8>().unwrap();
        let senders = vec![sender.clone(), sender.clone()];
        ends.send(&(bytes(300_000), senders)).unwrap();
        drop(sender);
        let (large, senders) = receiver.recv().unwrap();
        assert_eq!(large.len(), 300_000);
        for sender in &senders {
            sender.send(&9).unwrap();
        }
        drop(senders);
        assert_eq!(small.iter().map(Result::unwrap).collect::<Vec<_>>(), [9, 9]);
    });
}

#[test]
fn a_receiver_that_is_sent_is_out_of_the_world_with_its_message() {
    run(|| {
        let (ends, receiver) = ipc::channel::<Receiver<u8>>().unwrap();
        let (sender, inner) = ipc::channel::<u8>().unwrap();
        ends.send(&inner).unwrap();
        drop(inner);
        sender.send(&1).unwrap(); // somebody may receive that end yet
        drop(receiver);
        assert!(sender.send(&2).unwrap_err().is_closed());
    });
}

#[test]
fn too_many_ends_for_one_message_are_refused() {
    run(|| {
        let (ends, receiver) = ipc::channel::<Vec<Sender<u8>>>().unwrap();
        let (sender, _receiver) = ipc::channel::<u8>().unwrap();
        let error = ends.send(&vec![sender.clone(); 254]).unwrap_err();
        assert!(
            matches!(&error, SendError::Io(error) if error.kind() == io::ErrorKind::InvalidInput),
            "{error}"
        );
        ends.send(&vec![sender.clone(); 100]).unwrap();
        assert_eq!(receiver.recv().unwrap().len(), 100);
    });
}

#[test]
fn an_end_in_another_encoding_is_an_error() {
    run(|| {
        let (sender, _receiver) = ipc::channel::<u8>().unwrap();
        let mut buffer = [0; 64];
        assert!(postcard::to_slice(&sender, &mut buffer).is_err());
        assert!(postcard::from_bytes::<Sender<u8>>(&[0, 0]).is_err());
    });
}

#[test]
fn a_message_that_names_an_end_that_did_not_come_is_an_error() {
    run(|| {
        let (sender, receiver) = ipc::channel::<(u32, u64)>().unwrap();
        let ends = Receiver::<Sender<u8>>::from(receiver.into_fd().unwrap());
        sender.send(&(0, 100)).unwrap();
        assert!(matches!(ends.recv(), Err(RecvError::Decode(_))));
    });
}

#[test]
fn messages_may_be_sent_while_another_is_encoded() {
    /// Sends an end of its own, and waits, in the middle of being encoded.
    struct Nested(Sender<Sender<u8>>, Sender<u8>);

    impl Serialize for Nested {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.send(&self.1).unwrap();
            thread::yield_now();
            let encoded = self.1.serialize(serializer);
            thread::yield_now();
            encoded
        }
    }

    run(|| {
        let (inner, inners) = ipc::channel().unwrap();
        let jobs: Vec<_> = (0..4)
            .map(|_| {
                let inner = inner.clone();
                thread::spawn(move || {
                    let (outer, outers) = ipc::channel::<Nested>().unwrap();
                    let (sender, receiver) = ipc::channel::<u8>().unwrap();
                    outer.send(&Nested(inner, sender)).unwrap();
                    let outers = Receiver::<Sender<u8>>::from(outers.into_fd().unwrap());
                    outers.recv().unwrap().send(&5).unwrap();
                    receiver.recv().unwrap()
                })
            })
            .collect();
        for job in jobs {
            assert_eq!(job.join().unwrap(), 5);
        }
        drop(inner);
        assert_eq!(inners.iter().filter(Result::is_ok).count(), 4);
    });
}

#[test]
fn a_wait_that_is_cut_short_takes_no_message_with_it() {
    run(|| {
        let (sender, receiver) = ipc::channel::<u32>().unwrap();
        for number in 0..200 {
            let waiting = {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.recv().unwrap())
            };
            until(waiting.thread(), READING);
            // The event and the cancel come in the same turn of the loop.
            sender.send(&number).unwrap();
            if number % 2 == 0 {
                waiting.cancel();
            }
            match waiting.join() {
                Ok(received) => assert_eq!(received, number),
                Err(error) => {
                    assert!(error.is_cancelled());
                    assert_eq!(receiver.recv().unwrap(), number);
                }
            }
        }
        assert!(sedge::timeout(ms(5), || receiver.recv()).is_err());
        sender.send(&1).unwrap();
        assert_eq!(receiver.recv().unwrap(), 1);
    });
}

#[test]
fn a_send_that_is_cut_short_sends_nothing() {
    run(|| {
        let (sender, receiver) = ipc::channel::<u32>().unwrap();
        let mut sent = 0;
        while sender.try_send(&sent).unwrap() {
            sent += 1;
        }
        let cancelled = {
            let sender = sender.clone();
            thread::spawn(move || sender.send(&u32::MAX))
        };
        until(cancelled.thread(), WRITING);
        cancelled.cancel();
        assert!(cancelled.join().unwrap_err().is_cancelled());
        assert!(sedge::timeout(ms(5), || sender.send(&u32::MAX)).is_err());
        drop(sender);
        let received: Vec<_> = receiver.iter().map(Result::unwrap).collect();
        assert_eq!(received, (0..sent).collect::<Vec<_>>());
    });
}

#[test]
fn several_receivers_share_what_comes() {
    run(|| {
        let (sender, receiver) = ipc::channel::<u64>().unwrap();
        let jobs: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || {
                    let numbers = receiver.iter().map(Result::unwrap);
                    numbers.fold((0, 0), |(count, sum), n| (count + 1, sum + n))
                })
            })
            .collect();
        for number in 0..1000 {
            sender.send(&number).unwrap();
        }
        drop(sender);
        let shares: Vec<(u64, u64)> = jobs.into_iter().map(|job| job.join().unwrap()).collect();
        assert_eq!(shares.iter().map(|share| share.0).sum::<u64>(), 1000);
        assert_eq!(shares.iter().map(|share| share.1).sum::<u64>(), 499_500);
    });
}

#[test]
fn a_flood_lets_others_run() {
    run(|| {
        let (sender, receiver) = ipc::channel::<u8>().unwrap();
        let other = thread::spawn(|| {
            let mut turns = 0;
            for _ in 0..10 {
                thread::yield_now();
                turns += 1;
            }
            turns
        });
        for _ in 0..20_000 {
            sender.send(&1).unwrap();
            receiver.recv().unwrap();
        }
        assert!(other.is_finished());
    });
}

#[test]
fn outside_of_run_what_need_not_wait_is_done() {
    let (sender, receiver) = ipc::channel::<(u8, Sender<u8>)>().unwrap();
    let (inner, inners) = ipc::channel::<u8>().unwrap();
    sender.send(&(1, inner)).unwrap();
    let (one, inner) = receiver.recv().unwrap();
    inner.send(&one).unwrap();
    assert_eq!(inners.recv().unwrap(), 1);
    assert!(inners.try_recv().unwrap().is_none());
    assert!(panic_of(|| inners.recv()).contains("no sedge scheduler runs"));
    while inner.try_send(&0).unwrap() {}
    assert!(panic_of(|| inner.send(&0)).contains("no sedge scheduler runs"));
    let all = inners.as_fd().try_clone_to_owned().unwrap();
    drop((inner, inners));
    // And with another scheduler it goes on.
    let zeroes = run(|| {
        Receiver::<u8>::from(all)
            .iter()
            .map(Result::unwrap)
            .sum::<u8>()
    });
    assert_eq!(zeroes, 0);
}

#[test]
fn a_green_thread_that_unwinds_gets_an_error_for_a_wait() {
    struct Last(Receiver<u8>, Sender<Option<u8>>);

    impl Drop for Last {
        fn drop(&mut self) {
            let refused = matches!(self.0.recv(), Err(RecvError::Io(_)));
            self.1.send(&Some(u8::from(refused))).unwrap();
        }
    }

    run(|| {
        let (_sender, receiver) = ipc::channel::<u8>().unwrap();
        let (told, tell) = ipc::channel::<Option<u8>>().unwrap();
        let last = Last(receiver, told);
        let sleeping = thread::spawn(move || {
            let _last = last;
            sedge::sleep(FOREVER);
        });
        thread::yield_now();
        sleeping.cancel();
        let _ = sleeping.join();
        assert_eq!(tell.recv().unwrap(), Some(1));
    });
}

#[test]
fn descriptors_do_not_leak_into_programs_and_memory_not_into_tables() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    run(|| {
        let (sender, receiver) = ipc::channel::<Bytes>().unwrap();
        let flags = rustix::io::fcntl_getfd(sender.as_fd()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        // Others in this process open and close descriptors meanwhile, but not so many.
        let before = open();
        for _ in 0..500 {
            sender.send(&bytes(70_000)).unwrap();
            receiver.recv().unwrap();
        }
        assert!(open() < before + 200);
    });
}

#[test]
fn a_queue_is_both_ends_of_a_channel() {
    run(|| {
        let queue = Queue::<u8>::new().unwrap();
        assert!(queue.try_get().unwrap().is_none());
        queue.put(&1).unwrap();
        assert!(queue.try_put(&2).unwrap());
        let (sender, receiver) = (queue.sender(), queue.receiver());
        assert_eq!((queue.get().unwrap(), receiver.recv().unwrap()), (1, 2));
        sender.send(&3).unwrap();
        let (sender_too, receiver_too) = queue.split();
        drop((sender, sender_too, receiver));
        let rest: Vec<_> = receiver_too.iter().map(Result::unwrap).collect();
        assert_eq!(rest, [3]);
    });
}

#[test]
fn a_queue_goes_to_others_with_its_limit() {
    run(|| {
        let (queues, receiver) = ipc::channel::<Queue<String>>().unwrap();
        let queue = Queue::new().unwrap();
        queue.set_limit(5);
        queues.send(&queue).unwrap();
        let other = receiver.recv().unwrap();
        other.put(&"four".to_owned()).unwrap();
        assert!(other.put(&"fives".to_owned()).is_err());
        assert_eq!(queue.get().unwrap(), "four");
    });
}

#[test]
fn an_event_wakes_all_who_wait() {
    run(|| {
        let event = Event::new().unwrap();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let event = event.clone();
                thread::spawn(move || event.wait().unwrap())
            })
            .collect();
        for waiting in &waiting {
            until(waiting.thread(), READING);
        }
        assert!(!event.is_set().unwrap());
        event.set().unwrap();
        event.set().unwrap();
        for waiting in waiting {
            waiting.join().unwrap();
        }
        event.wait().unwrap();
        assert!(event.is_set().unwrap());
        event.clear().unwrap();
        event.clear().unwrap();
        assert!(!event.is_set().unwrap());
        assert!(sedge::timeout(ms(5), || event.wait()).is_err());
    });
}

#[test]
fn a_semaphore_lets_so_many_in() {
    run(|| {
        let seats = Semaphore::new(1).unwrap();
        let seat = seats.acquire().unwrap();
        let waiting = {
            let seats = seats.clone();
            thread::spawn(move || seats.acquire().unwrap().forget())
        };
        until(waiting.thread(), READING);
        assert!(seats.try_acquire().unwrap().is_none());
        assert!(sedge::timeout(ms(5), || seats.acquire().map(drop)).is_err());
        drop(seat);
        waiting.join().unwrap();
        // That one was forgotten.
        assert!(seats.try_acquire().unwrap().is_none());
        seats.release(2).unwrap();
        let both = (seats.try_acquire().unwrap(), seats.try_acquire().unwrap());
        assert!(both.0.is_some() && both.1.is_some());
        assert!(seats.try_acquire().unwrap().is_none());
    });
}

#[test]
fn a_wait_for_a_permit_that_is_cut_short_takes_none() {
    run(|| {
        let seats = Semaphore::new(0).unwrap();
        for number in 0..100 {
            let waiting = {
                let seats = seats.clone();
                thread::spawn(move || seats.acquire().unwrap().forget())
            };
            until(waiting.thread(), READING);
            seats.release(1).unwrap();
            if number % 2 == 0 {
                waiting.cancel();
            }
            if waiting.join().is_err() {
                seats.try_acquire().unwrap().unwrap().forget();
            }
            assert!(seats.try_acquire().unwrap().is_none());
        }
    });
}

#[test]
fn what_is_shared_goes_through_a_channel() {
    run(|| {
        let (sender, receiver) = ipc::channel::<(Event, Semaphore, Counter)>().unwrap();
        let things = (
            Event::new().unwrap(),
            Semaphore::new(1).unwrap(),
            Counter::new(-5).unwrap(),
        );
        sender.send(&things).unwrap();
        let (event, seats, counter) = receiver.recv().unwrap();
        things.0.set().unwrap();
        event.wait().unwrap();
        let seat = seats.acquire().unwrap();
        assert!(things.1.try_acquire().unwrap().is_none());
        drop(seat);
        assert_eq!(things.2.add(7), 2);
        assert_eq!(counter.set(9), 2);
        assert_eq!(things.2.get(), 9);
    });
}

#[test]
fn a_counter_of_something_else_is_refused() {
    run(|| {
        let (sender, receiver) = ipc::channel::<Event>().unwrap();
        let counters = Receiver::<Counter>::from(receiver.into_fd().unwrap());
        sender.send(&Event::new().unwrap()).unwrap();
        assert!(matches!(counters.recv(), Err(RecvError::Decode(_))));
    });
}

#[test]
fn outside_of_run_events_and_permits_that_are_there_are_taken() {
    let event = Event::new().unwrap();
    let seats = Semaphore::new(1).unwrap();
    assert!(panic_of(|| event.wait()).contains("no sedge scheduler runs"));
    event.set().unwrap();
    event.wait().unwrap();
    let _seat = seats.acquire().unwrap();
    assert!(panic_of(|| seats.acquire().map(drop)).contains("no sedge scheduler runs"));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf(i64, String),
    Bytes(Vec<u8>),
    Node(Vec<Tree>, Option<Duration>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let text = proptest::collection::vec(any::<char>(), 0..20)
        .prop_map(|chars| chars.into_iter().collect::<String>());
    let leaf = prop_oneof![
        (any::<i64>(), text).prop_map(|(number, text)| Tree::Leaf(number, text)),
        proptest::collection::vec(any::<u8>(), 0..70_000).prop_map(Tree::Bytes),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let pause = any::<Option<u32>>()
            .prop_map(|micros| micros.map(|micros| Duration::from_micros(micros.into())));
        (proptest::collection::vec(inner, 0..3), pause)
            .prop_map(|(nodes, pause)| Tree::Node(nodes, pause))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_value_comes_out_as_it_went_in(trees in proptest::collection::vec(tree(), 1..5)) {
        run(|| {
            let (sender, receiver) = ipc::channel().unwrap();
            let sent = trees.clone();
            thread::spawn(move || sent.iter().for_each(|tree| sender.send(tree).unwrap()));
            let received: Vec<Tree> = receiver.iter().map(Result::unwrap).collect();
            assert!(received == trees);
        });
    }

    #[test]
    fn no_packet_does_harm(packets in proptest::collection::vec(any::<Vec<u8>>(), 1..20)) {
        run(|| {
            let (socket, receiver) = forged::<Tree>();
            for packet in &packets {
                send(&socket, packet, SendFlags::empty()).unwrap();
                if let Ok(tree) = receiver.recv() {
                    assert_eq!(packet[0], b'm', "{tree:?}");
                }
            }
            drop(socket);
            assert!(receiver.recv().unwrap_err().is_closed());
        });
    }
}
