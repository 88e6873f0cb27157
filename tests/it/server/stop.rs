//! How a server ends: asked to, cancelled, dropped.

use std::cell::{Cell, OnceCell};
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use sedge::net::{SocketAddr, TcpListener, TcpStream};
use sedge::server::{Listener, Server, ServerHandle};
use sedge::{Config, Policy};

use super::{ask, connect, echo, listener, read_all, until};
use crate::util::{self, FOREVER, Log, ms};

#[test]
fn run_returns_when_the_last_handler_has_ended() {
    util::run(|| {
        let log = Log::default();
        let ended = log.clone();
        let server = Server::new(listener(), move |stream| {
            echo(stream)?;
            ended.add("handler");
            io::Result::Ok(())
        });
        let handle = server.handle();
        let run = sedge::spawn(move || server.run());
        let mut client = connect(&handle);
        assert_eq!(ask(&mut client, "x"), "x");
        handle.stop();
        assert_eq!(ask(&mut client, "y"), "y", "it is served on");
        let late = TcpStream::connect(handle.local_addr().unwrap());
        assert_eq!(late.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(!run.is_finished());
        drop(client);
        run.join().unwrap().unwrap();
        log.add("run");
        assert_eq!(log.take(), ["handler", "run"]);
    });
}

#[test]
fn a_server_that_was_stopped_before_it_runs_ends_at_once() {
    util::run(|| {
        let server = Server::new(listener(), echo);
        let handle = server.handle();
        handle.stop();
        assert!(handle.shutdown(ms(0)));
        server.run().unwrap();
        handle.wait();
    });
}

#[test]
fn a_handler_may_stop_its_server_more_than_once() {
    util::run(|| {
        let server = Server::with_connection(listener(), |mut stream, connection| {
            stream.read_exact(&mut [0])?;
            connection.server().stop();
            connection.server().stop();
            stream.write_all(b"stopped")
        });
        let handle = server.handle();
        let client = sedge::spawn(move || {
            let mut client = connect(&handle);
            client.write_all(b"x").unwrap();
            read_all(&mut client)
        });
        server.run().unwrap();
        assert_eq!(client.join().unwrap(), "stopped");
    });
}

#[test]
fn a_handler_that_shuts_down_waits_for_the_others_only() {
    util::run(|| {
        let log = Log::default();
        let events = log.clone();
        let server = Server::with_connection(listener(), move |mut stream, connection| {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            if byte == *b"!" {
                assert!(connection.server().shutdown(FOREVER));
                connection.server().wait();
                events.add("shut down");
            } else {
                connection.stopping().wait();
                sedge::sleep(ms(2));
                events.add("other");
            }
            stream.write_all(b".")
        });
        let server = server.start().unwrap();
        let (mut other, mut quitter) = (connect(&server), connect(&server));
        other.write_all(b"x").unwrap();
        until(|| server.connections() == 2);
        quitter.write_all(b"!").unwrap();
        assert_eq!(read_all(&mut quitter), ".");
        server.wait();
        assert_eq!(log.take(), ["other", "shut down"]);
    });
}

#[test]
fn handlers_that_all_shut_down_do_not_wait_for_each_other() {
    util::run(|| {
        let server = Server::with_connection(listener(), |_stream, connection| {
            assert!(connection.server().shutdown(FOREVER));
        });
        let handle = server.handle();
        let clients = [connect(&handle), connect(&handle), connect(&handle)];
        server.run().unwrap();
        drop(clients);
    });
}

#[test]
fn shutdown_cancels_who_is_late() {
    util::run(|| {
        let log = Log::default();
        let events = log.clone();
        let server = Server::with_connection(listener(), move |mut stream, connection| {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            if byte == *b"s" {
                let _dropped = events.on_drop("late");
                sedge::sleep(FOREVER);
            }
            connection.stopping().wait();
            events.add("in time");
            io::Result::Ok(())
        });
        let server = server.start().unwrap();
        let (mut slow, mut quick) = (connect(&server), connect(&server));
        slow.write_all(b"s").unwrap();
        quick.write_all(b"q").unwrap();
        sedge::sleep(ms(5));
        assert!(!server.shutdown(ms(10)), "one had to be cancelled");
        assert_eq!(log.take(), ["in time", "late"]);
        assert_eq!(server.connections(), 0);
        assert_eq!(read_all(&mut slow), "");
        assert!(server.shutdown(ms(0)), "nobody is left");
    });
}

#[test]
fn shutdown_waits_for_a_shield_unless_that_is_limited() {
    util::run(|| {
        let release = sedge::server::Shutdown::new();
        let word = release.clone();
        let server = Server::new(listener(), move |_stream| {
            let word = word.clone();
            sedge::shield(move || word.wait());
        });
        let server = server.start().unwrap();
        let _client = connect(&server);
        until(|| server.connections() == 1);
        assert!(sedge::timeout(ms(5), || server.shutdown(ms(0))).is_err());
        assert_eq!(server.connections(), 1);
        release.set();
        server.wait();
    });
}

#[test]
fn a_full_server_can_be_shut_down() {
    util::run(|| {
        let server = Server::new(listener(), echo)
            .max_connections(1)
            .start()
            .unwrap();
        let mut client = connect(&server);
        assert_eq!(ask(&mut client, "x"), "x");
        let queued = connect(&server);
        sedge::sleep(ms(2));
        assert!(!server.shutdown(ms(1)));
        assert_eq!(read_all(&mut client), "");
        drop(queued);
    });
}

#[test]
fn who_was_connected_when_the_server_was_stopped_is_served() {
    util::run(|| {
        let server = Server::new(listener(), |mut stream| stream.write_all(b"hello"));
        let handle = server.handle();
        let mut clients: Vec<_> = (0..20).map(|_| connect(&handle)).collect();
        handle.stop();
        server.run().unwrap();
        for client in &mut clients {
            assert_eq!(read_all(client), "hello");
        }
    });
}

#[test]
fn cancelling_run_closes_the_listener_and_cancels_the_handlers() {
    util::run(|| {
        let log = Log::default();
        let events = log.clone();
        let server = Server::new(listener(), move |stream| {
            let _dropped = events.on_drop("handler");
            echo(stream)
        });
        let handle = server.handle();
        let run = sedge::spawn(move || server.run());
        let mut client = connect(&handle);
        assert_eq!(ask(&mut client, "x"), "x");
        run.cancel();
        assert!(run.join().unwrap_err().is_cancelled());
        handle.wait();
        assert_eq!(log.take(), ["handler"]);
        assert!(TcpStream::connect(handle.local_addr().unwrap()).is_err());
    });
}

#[test]
fn cancelling_run_while_it_waits_for_handlers_cancels_them() {
    util::run(|| {
        let server = Server::new(listener(), echo);
        let handle = server.handle();
        let run = sedge::spawn(move || server.run());
        let mut client = connect(&handle);
        assert_eq!(ask(&mut client, "x"), "x");
        handle.stop();
        sedge::yield_now();
        run.cancel();
        handle.wait();
        assert_eq!(read_all(&mut client), "");
    });
}

#[test]
fn a_time_limit_around_run_ends_the_server() {
    util::run(|| {
        let server = Server::new(listener(), echo);
        let handle = server.handle();
        let mut client = connect(&handle);
        assert!(sedge::timeout(ms(20), || server.run()).is_err());
        handle.wait();
        assert_eq!(read_all(&mut client), "");
    });
}

/// A listener that accepts one connection and panics when it is asked for another.
struct OnlyOne(TcpListener, Cell<bool>);

impl Listener for OnlyOne {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        assert!(!self.1.replace(true), "this panic is part of a test");
        self.0.accept()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[test]
fn a_panic_of_the_listener_comes_out_of_run_and_closes_what_was_accepted() {
    util::run(|| {
        let listener = OnlyOne(listener(), Cell::new(false));
        let server = Server::new(listener, |_stream| -> () {
            unreachable!("it has not begun")
        });
        let handle = server.handle();
        let mut client = connect(&handle);
        let message = util::panic_of(|| server.run());
        assert_eq!(message, "this panic is part of a test");
        assert_eq!(handle.connections(), 1);
        handle.wait();
        assert_eq!(read_all(&mut client), "");
    });
}

#[test]
fn a_server_whose_handlers_cannot_be_spawned_says_why() {
    util::run(|| {
        let server = Server::new(listener(), echo).stack_size(usize::MAX);
        let mut client = connect(&server.handle());
        assert_eq!(server.run().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(read_all(&mut client), "");
    });
}

#[test]
fn a_server_that_is_dropped_has_ended() {
    util::run(|| {
        let server = Server::new(listener(), echo);
        let handle = server.handle();
        drop(server);
        handle.wait();
        assert!(handle.stopping().is_set());
        assert!(TcpStream::connect(handle.local_addr().unwrap()).is_err());
    });
}

#[test]
fn a_server_goes_on_without_handles() {
    util::run(|| {
        let server = Server::with_connection(listener(), |mut stream, connection| {
            stream.write_all(b"x")?;
            connection.server().stop();
            io::Result::Ok(())
        });
        let handle = server.start().unwrap();
        let addr = *handle.local_addr().unwrap();
        drop(handle);
        sedge::sleep(ms(2));
        assert_eq!(read_all(&mut TcpStream::connect(addr).unwrap()), "x");
    });
}

#[test]
fn run_of_the_scheduler_ends_with_the_server() {
    let log = Log::default();
    util::run(|| {
        let server = Server::new(listener(), echo).start().unwrap();
        let log = log.clone();
        sedge::spawn(move || {
            sedge::sleep(ms(5));
            log.add("stop");
            server.stop();
        });
    });
    log.add("end");
    assert_eq!(log.take(), ["stop", "end"]);
}

/// Asks until it is refused or cut off, and counts the answers; each must be whole.
fn load(addr: sedge::net::SocketAddr, answers: &Cell<u32>) {
    const ANSWER: &[u8] = &[b'a'; 300];
    loop {
        let Ok(mut stream) = TcpStream::connect(addr) else {
            return;
        };
        if stream.write_all(b"?").is_err() {
            return;
        }
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(0) => return,
            Ok(_) => assert_eq!(answer, ANSWER),
            // Not accepted yet when the listener was closed.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                assert!(answer.is_empty(), "cut off in the middle of an answer");
                return;
            }
            Err(error) => panic!("{error}"),
        }
        answers.set(answers.get() + 1);
    }
}

/// A shutdown while so many clients ask, after that many answers.
fn shutdown_under_load(config: Config, clients: usize, after: u32) {
    util::run_with(config, || {
        let (begun, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (begin, finish) = (Rc::clone(&begun), Rc::clone(&done));
        let server = Server::new(listener(), move |mut stream| {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            begin.set(begin.get() + 1);
            for _ in 0..3 {
                sedge::yield_now();
                stream.write_all(&[b'a'; 100])?;
            }
            finish.set(finish.get() + 1);
            io::Result::Ok(())
        });
        let server = server.max_connections(clients / 2).start().unwrap();
        let addr = *server.local_addr().unwrap();
        let answers = Rc::new(Cell::new(0));
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                let answers = Rc::clone(&answers);
                sedge::spawn(move || load(addr, &answers))
            })
            .collect();
        until(|| answers.get() >= after);
        assert!(server.shutdown(FOREVER));
        for client in clients {
            client.join().unwrap();
        }
        assert_eq!(begun.get(), done.get());
        assert_eq!(done.get(), answers.get(), "each answer has arrived");
    });
}

#[test]
fn clients_that_meet_a_shutdown_get_a_whole_answer_or_none() {
    shutdown_under_load(Config::new(), 16, 100);
}

#[test]
fn clients_that_meet_a_shutdown_do_so_in_any_order() {
    for seed in 0..30 {
        let config = Config::new().policy(Policy::Random(seed));
        shutdown_under_load(config, 4, seed as u32 / 5);
    }
}

#[test]
fn whoever_shuts_down_may_be_cancelled_at_any_moment() {
    for moment in 0..12 {
        util::run(|| {
            let caller = Rc::new(Cell::new(None));
            let inside = Rc::clone(&caller);
            let server = Server::with_connection(listener(), move |_stream, connection| {
                inside.set(Some(sedge::thread::current()));
                connection.server().shutdown(ms(1));
            });
            let handle = server.handle();
            let clients = [connect(&handle), connect(&handle)];
            let server = server.start().unwrap();
            let outside = {
                let server = server.clone();
                sedge::spawn(move || server.shutdown(ms(1)))
            };
            for _ in 0..moment {
                sedge::yield_now();
            }
            outside.cancel();
            if let Some(caller) = caller.take() {
                caller.cancel();
            }
            server.shutdown(FOREVER);
            assert_eq!(server.connections(), 0);
            drop(clients);
        });
    }
}

/// Fails after its first connection, and notes when it is gone.
struct FailsOnce(TcpListener, Cell<u32>, Rc<Cell<bool>>);

impl Listener for FailsOnce {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.1.replace(self.1.get() + 1) {
            1 => Err(io::Error::other("once")),
            _ => self.0.accept(),
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Drop for FailsOnce {
    fn drop(&mut self) {
        self.2.set(true);
    }
}

#[test]
fn a_hook_that_shuts_down_does_not_end_the_wait_of_others_early() {
    util::run(|| {
        let gone = Rc::new(Cell::new(false));
        let failing = FailsOnce(listener(), Cell::new(0), Rc::clone(&gone));
        let own: Rc<OnceCell<ServerHandle>> = Rc::default();
        let in_hook = Rc::clone(&own);
        let server = Server::new(failing, |_| (0..500).for_each(|_| sedge::yield_now()))
            .on_error(move |_| assert!(in_hook.get().unwrap().shutdown(FOREVER)));
        let handle = server.handle();
        own.set(handle.clone()).unwrap();
        let addr = *handle.local_addr().unwrap();
        let run = sedge::spawn(move || server.run());
        let client = sedge::spawn(move || TcpStream::connect(addr));
        while handle.connections() == 0 {
            sedge::yield_now();
        }
        while handle.connections() > 0 {
            sedge::yield_now();
        }
        // The handler has ended, and the hook, which waited for that, has not gone on yet.
        handle.wait();
        assert!(gone.get(), "the listener is still there");
        run.join().unwrap().unwrap();
        client.join().unwrap().unwrap();
    });
}
