//! Tests of what is said to systemd, with a socket that plays it.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;

/// A systemd that listens at an abstract name.
struct Fake(UnixDatagram, String);

impl Fake {
    fn new(name: &str) -> Fake {
        let name = format!("sedge-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        Fake(socket, format!("@{name}"))
    }

    fn client(&self) -> Systemd {
        Systemd {
            socket: Some(self.1.clone().into()),
            watchdog: None,
        }
    }

    fn heard(&self) -> String {
        let mut buffer = [0; 4096];
        let count = self.0.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }
}

#[test]
fn each_thing_is_said_in_systemds_words() {
    let fake = Fake::new("words");
    let systemd = fake.client();
    assert!(systemd.listens());
    systemd.ready("2 workers").unwrap();
    assert_eq!(fake.heard(), "READY=1\nSTATUS=2 workers\n");
    systemd.stopping().unwrap();
    assert_eq!(fake.heard(), "STOPPING=1\n");
    systemd.status("a\nREADY=1").unwrap();
    assert_eq!(fake.heard(), "STATUS=a READY=1\n");
    systemd.extend(Duration::from_secs(30)).unwrap();
    assert_eq!(fake.heard(), "EXTEND_TIMEOUT_USEC=30000000\n");
    systemd.watchdog().unwrap();
    assert_eq!(fake.heard(), "WATCHDOG=1\n");
}

#[test]
fn a_reload_tells_the_time() {
    let fake = Fake::new("reload");
    let before = super::super::board::now() / 1000;
    fake.client().reloading().unwrap();
    let after = super::super::board::now() / 1000;
    let heard = fake.heard();
    let time = heard.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    let time: u64 = time.trim_end().parse().unwrap();
    assert!((before..=after).contains(&time));
}

#[test]
fn a_socket_with_a_path_will_do() {
    let path = std::env::temp_dir().join(format!("sedge-notify-{}", std::process::id()));
    let socket = UnixDatagram::bind(&path).unwrap();
    let fake = Fake(socket, path.to_str().unwrap().to_owned());
    fake.client().stopping().unwrap();
    assert_eq!(fake.heard(), "STOPPING=1\n");
    fs::remove_file(path).unwrap();
}

#[test]
fn where_nobody_listens_nothing_is_said() {
    let systemd = Systemd::default();
    assert!(!systemd.listens());
    systemd.ready("").unwrap();
    systemd.reloading().unwrap();
    assert_eq!(systemd.watchdog_interval(), None);
}

#[test]
fn one_that_has_gone_is_an_error() {
    let fake = Fake::new("gone");
    let systemd = fake.client();
    drop(fake);
    assert!(systemd.ready("").is_err());
}

#[test]
fn the_watchdog_is_told_twice_as_often_as_it_looks() {
    let systemd = Systemd {
        watchdog: Some(Duration::from_secs(10)),
        ..Systemd::default()
    };
    assert_eq!(systemd.watchdog_interval(), Some(Duration::from_secs(5)));
}

/// The environment is one for all tests, so this runs as a process of its own, started below.
#[test]
fn helper_that_is_activated() {
    let Some(out) = std::env::var_os("SEDGE_TEST_ACTIVATED") else {
        return;
    };
    let told = match take_sockets() {
        Ok(sockets) => {
            assert!(take_sockets().unwrap().is_empty());
            let told = sockets
                .iter()
                .map(|Activated { name, socket }| match socket {
                    ActivatedSocket::Tcp(tcp) => format!("{name} {}", tcp.local_addr().unwrap()),
                    ActivatedSocket::Unix(unix) => {
                        format!("{name} {:?}", unix.local_addr().unwrap())
                    }
                });
            told.collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    };
    let systemd = Systemd::from_env();
    let told = format!("{told}\n{:?} {:?}", systemd.listens(), systemd.watchdog);
    fs::write(out, told).unwrap();
}

/// What the helper says when it gets these two, with `variables` for the shell that becomes it.
fn activated_with(name: &str, first: impl AsFd, second: impl AsFd, variables: &str) -> String {
    let out: PathBuf =
        std::env::temp_dir().join(format!("sedge-activated-{name}-{}", std::process::id()));
    let mut shell = Command::new("sh");
    let helper = "launch::systemd::tests::helper_that_is_activated";
    let script =
        format!("exec 3<&0 4<&2; export LISTEN_PID=$$ {variables}; exec \"$0\" --exact {helper}");
    shell
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap());
    shell.env("SEDGE_TEST_ACTIVATED", &out);
    shell.stdin(first.as_fd().try_clone_to_owned().unwrap());
    shell.stderr(second.as_fd().try_clone_to_owned().unwrap());
    shell.stdout(Stdio::null());
    assert!(shell.status().unwrap().success());
    let told = fs::read_to_string(&out).unwrap();
    fs::remove_file(out).unwrap();
    told
}

#[test]
fn sockets_are_taken_with_their_names() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    tcp.set_nonblocking(true).unwrap();
    let name = format!("sedge-activated-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let unix = UnixListener::bind_addr(&address).unwrap();
    let variables = "LISTEN_FDS=2 LISTEN_FDNAMES=web:admin NOTIFY_SOCKET=/x WATCHDOG_USEC=7000000";
    let told = activated_with("both", &tcp, &unix, variables);
    let tcp = tcp.local_addr().unwrap();
    assert_eq!(told, format!("web {tcp}\nadmin {address:?}\ntrue Some(7s)"));
}

#[test]
fn what_does_not_listen_is_refused_by_name() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (stream, _other) = UnixDatagram::pair().unwrap();
    let told = activated_with("bad", &tcp, &stream, "LISTEN_FDS=2 LISTEN_FDNAMES=web:log");
    assert!(
        told.starts_with("descriptor 4 (log) from systemd is no listening"),
        "{told}"
    );
}

#[test]
fn sockets_for_another_process_are_not_taken() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let told = activated_with("other", &tcp, &tcp, "LISTEN_FDS=2 LISTEN_PID=1");
    assert_eq!(told, "\nfalse None");
}
