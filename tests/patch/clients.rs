//! Blocking clients of crates and of C libraries, many at once on one OS thread.
//!
//! Apart from the other tests, and one after the other, for some are measured.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::Commands;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use sedge::thread::Builder;
use sedge_patch_tests::{run, slow_http};

const DELAY: Duration = Duration::from_millis(200);
const AT_MOST: Duration = Duration::from_millis(600);

/// Others wait until this one is done.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `get` in a hundred green threads and says how long that took: the best of five times, for
/// the machine may have something else to do.
fn hundred(get: impl Fn() -> String + Clone + 'static) -> Duration {
    let _alone = alone();
    let time = || {
        run(|| {
            let begun = Instant::now();
            let threads: Vec<_> = (0..100).map(|_| sedge::spawn(get.clone())).collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), "slow");
            }
            begun.elapsed()
        })
    };
    (0..5).map(|_| time()).min().expect("five times")
}

#[test]
fn a_hundred_requests_of_ureq_take_as_long_as_one() {
    let url = format!("http://{}/", slow_http(DELAY));
    let taken = hundred(move || {
        let mut response = ureq::get(&url).call().unwrap();
        response.body_mut().read_to_string().unwrap()
    });
    assert!(DELAY <= taken && taken < AT_MOST, "{taken:?}");
}

/// libcurl is C, and waits with `poll`.
#[test]
fn a_hundred_requests_of_libcurl_take_as_long_as_one() {
    let url = format!("http://{}/", slow_http(DELAY));
    let taken = hundred(move || {
        let mut body = Vec::new();
        let mut request = curl::easy::Easy::new();
        request.url(&url).unwrap();
        {
            let mut transfer = request.transfer();
            transfer
                .write_function(|bytes| {
                    body.extend_from_slice(bytes);
                    Ok(bytes.len())
                })
                .unwrap();
            transfer.perform().unwrap();
        }
        String::from_utf8(body).unwrap()
    });
    assert!(DELAY <= taken && taken < AT_MOST, "{taken:?}");
}

/// A server of Debian's, on a Unix socket of its own.
struct Redis {
    process: Child,
    folder: std::path::PathBuf,
}

impl Redis {
    fn start() -> Option<Redis> {
        let folder = std::env::temp_dir().join(format!("sedge-redis-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no"]);
        command.arg("--unixsocket").arg(folder.join("socket"));
        command.arg("--dir").arg(&folder).stdout(Stdio::null());
        match command.spawn() {
            Ok(process) => Some(Redis { process, folder }),
            Err(error) => {
                std::fs::remove_dir_all(&folder).unwrap();
                println!("skipped: redis-server cannot be started: {error}");
                None
            }
        }
    }

    fn connect(&self) -> redis::Connection {
        let socket = self.folder.join("socket");
        let client = redis::Client::open(format!("unix://{}", socket.display())).unwrap();
        for _ in 0..500 {
            match client.get_connection() {
                Ok(connection) => return connection,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        panic!("redis-server does not answer");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn two_hundred_clients_of_redis_wait_at_the_same_time() {
    let _alone = alone();
    let Some(redis) = Redis::start() else { return };
    run(|| {
        let mut first = redis.connect();
        let begun = Instant::now();
        sedge::scope(|scope| {
            for number in 0..200 {
                let redis = &redis;
                scope.spawn(move || {
                    let mut connection = redis.connect();
                    // Each waits for what the last one pushes.
                    let popped: (String, usize) =
                        connection.blpop(format!("list{number}"), 10.0).unwrap();
                    assert_eq!(popped.1, number);
                });
            }
            sedge::sleep(DELAY);
            for number in 0..200 {
                let _: usize = first.rpush(format!("list{number}"), number).unwrap();
            }
        });
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(2), "{taken:?}");
    });
}

#[test]
fn tungstenite_talks_to_itself_over_std_s_sockets() {
    let _alone = alone();
    run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let serve = move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                sedge::spawn(move || {
                    let mut socket = tungstenite::accept(stream).unwrap();
                    while let Ok(message) = socket.read() {
                        if message.is_text() {
                            std::thread::sleep(Duration::from_millis(10));
                            socket.send(message).unwrap();
                        }
                    }
                });
            }
        };
        Builder::new().daemon(true).spawn(serve).unwrap();
        let begun = Instant::now();
        let clients = (0..50).map(|number| {
            let url = url.clone();
            sedge::spawn(move || {
                let (mut socket, _) = tungstenite::connect(&url).unwrap();
                for turn in 0..5 {
                    let text = format!("{number}, {turn}");
                    socket.send(text.clone().into()).unwrap();
                    assert_eq!(socket.read().unwrap().into_text().unwrap().as_str(), text);
                }
                socket.close(None).unwrap();
                while socket.read().is_ok() {}
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(2), "{taken:?}");
    });
}

fn tls() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    let der = |bytes: &'static [u8]| CertificateDer::from(bytes);
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("certificates/localhost.key.der")[..]);
    let certificate = der(include_bytes!("certificates/localhost.der"));
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(der(include_bytes!("certificates/authority.der")))
        .unwrap();
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[test]
fn rustls_talks_to_itself_over_std_s_sockets() {
    let _alone = alone();
    let (server, client) = tls();
    run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            for stream in listener.incoming() {
                let (stream, server) = (stream.unwrap(), Arc::clone(&server));
                sedge::spawn(move || {
                    let connection = rustls::ServerConnection::new(server).unwrap();
                    let mut stream = rustls::StreamOwned::new(connection, stream);
                    let mut bytes = vec![0; 100_000];
                    stream.read_exact(&mut bytes).unwrap();
                    stream.write_all(&bytes).unwrap();
                    stream.conn.send_close_notify();
                    stream.flush().unwrap();
                });
            }
        };
        Builder::new().daemon(true).spawn(serve).unwrap();
        let clients = (0..20).map(|number: u8| {
            let client = Arc::clone(&client);
            sedge::spawn(move || {
                let name = ServerName::try_from("localhost").unwrap();
                let connection = rustls::ClientConnection::new(client, name).unwrap();
                let stream = TcpStream::connect(address).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                stream.write_all(&vec![number; 100_000]).unwrap();
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).unwrap();
                assert!(bytes.len() == 100_000 && bytes.iter().all(|byte| *byte == number));
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
    });
}
