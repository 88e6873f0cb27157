//! Tests of the control socket.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net as std_net;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory of its own, which goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sedge-control-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("sedge.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn echo(command: Command) -> Answer {
    Ok(format!("{command:?}"))
}

fn ask(path: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn run(test: impl FnOnce()) {
    let limit = Duration::from_secs(10);
    crate::run(|| crate::timeout(limit, test).unwrap_or_else(|_| give_up()));
}

/// Who has not come to an end, for all to see: `run` would wait for them for ever.
fn give_up() -> ! {
    let mut stderr = io::stderr();
    for thread in crate::thread::all() {
        let _ = writeln!(stderr, "{thread:?}: {}", thread.state());
    }
    std::process::abort()
}

#[test]
fn it_answers_each_command() {
    run(|| {
        let folder = Folder::new();
        let _socket = ControlSocket::bind(&folder.path(), echo).unwrap();
        for (line, answer) in [
            ("status\n", "ok\nStatus\n"),
            (" metrics \r\n", "ok\nMetrics\n"),
            ("reload\n", "ok\nReload\n"),
            ("stop\n", "ok\nStop\n"),
            ("add\n", "ok\nAdd\n"),
            ("remove\n", "ok\nRemove\n"),
            ("kill 3\n", "ok\nKill(3)\n"),
            ("upgrade\n", "ok\nUpgrade\n"),
            ("kill x\n", "error: \"x\" is no worker's number\n"),
            ("kill\n", "error: kill whom? kill ID, as status shows it\n"),
        ] {
            assert_eq!(ask(&folder.path(), line), answer);
        }
        assert!(ask(&folder.path(), "dance\n").starts_with("error: no command \"dance"));
        assert!(ask(&folder.path(), "\n").starts_with("error: no command; there are status,"));
    });
}

#[test]
fn a_refusal_is_one_line_and_no_words_are_just_ok() {
    run(|| {
        let folder = Folder::new();
        let _socket = ControlSocket::bind(&folder.path(), |command| match command {
            Command::Stop => Ok(String::new()),
            _ => Err("not now\nreally\n".to_owned()),
        });
        assert_eq!(ask(&folder.path(), "add\n"), "error: not now; really\n");
        assert_eq!(ask(&folder.path(), "stop\n"), "ok\n");
    });
}

#[test]
fn a_slow_answer_holds_nobody_up() {
    run(|| {
        let folder = Folder::new();
        let _socket = ControlSocket::bind(&folder.path(), |command| {
            if command == Command::Reload {
                crate::sleep(Duration::from_millis(100));
            }
            Ok(String::new())
        });
        let path = folder.path();
        let slow = crate::spawn(move || ask(&path, "reload\n"));
        crate::yield_now();
        assert_eq!(ask(&folder.path(), "status\n"), "ok\n");
        assert!(!slow.is_finished());
        assert_eq!(slow.join().unwrap(), "ok\n");
    });
}

#[test]
fn it_waits_for_clients_without_spinning() {
    run(|| {
        let folder = Folder::new();
        let _socket = ControlSocket::bind(&folder.path(), echo).unwrap();
        crate::sleep(Duration::from_millis(10));
        let before = crate::stats().switches;
        crate::sleep(Duration::from_millis(30));
        assert!(crate::stats().switches - before < 10);
        assert_eq!(ask(&folder.path(), "add\n"), "ok\nAdd\n");
    });
}

#[test]
fn an_endless_line_is_refused() {
    run(|| {
        let folder = Folder::new();
        let _socket = ControlSocket::bind(&folder.path(), echo).unwrap();
        assert!(ask(&folder.path(), &"x".repeat(4096)).starts_with("error: no command"));
    });
}

#[test]
fn only_the_owner_may_connect_whatever_the_umask_is() {
    run(|| {
        let folder = Folder::new();
        let _socket = ControlSocket::bind(&folder.path(), echo).unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

#[test]
fn a_dead_launchers_file_is_replaced() {
    run(|| {
        let folder = Folder::new();
        drop(std_net::UnixListener::bind(folder.path()).unwrap());
        assert!(folder.path().exists());
        let _socket = ControlSocket::bind(&folder.path(), echo).unwrap();
        assert_eq!(ask(&folder.path(), "add\n"), "ok\nAdd\n");
    });
}

#[test]
fn a_live_launchers_file_is_not() {
    run(|| {
        let folder = Folder::new();
        let _first = ControlSocket::bind(&folder.path(), echo).unwrap();
        let error = ControlSocket::bind(&folder.path(), echo).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let path = folder.path();
        let path = path.display();
        assert_eq!(
            error.to_string(),
            format!("control socket {path}: somebody answers there")
        );
        assert_eq!(ask(&folder.path(), "add\n"), "ok\nAdd\n");
    });
}

#[test]
fn what_is_no_socket_is_left_alone() {
    run(|| {
        let folder = Folder::new();
        fs::write(folder.path(), "precious").unwrap();
        let error = ControlSocket::bind(&folder.path(), echo).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("a file that is no socket stands there")
        );
        assert_eq!(fs::read_to_string(folder.path()).unwrap(), "precious");
    });
}

#[test]
fn a_missing_directory_is_named() {
    run(|| {
        let path = Path::new("/nowhere/at/all/sedge.sock");
        let error = ControlSocket::bind(path, echo).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let text = error.to_string();
        assert!(
            text.starts_with("control socket /nowhere/at/all/sedge.sock: No such"),
            "{text}"
        );
    });
}

#[test]
fn the_file_goes_with_it_unless_it_is_somebody_elses() {
    run(|| {
        let folder = Folder::new();
        let socket = ControlSocket::bind(&folder.path(), echo).unwrap();
        drop(socket);
        assert!(!folder.path().exists());

        let socket = ControlSocket::bind(&folder.path(), echo).unwrap();
        fs::remove_file(folder.path()).unwrap();
        let _other = std_net::UnixListener::bind(folder.path()).unwrap();
        drop(socket);
        assert!(folder.path().exists());
    });
}
