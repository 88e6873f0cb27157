//! A crawler: follows the links of a site, eight pages at once, each page once.
//!
//! ```text
//! cargo run --example crawler
//! ```
//!
//! The site is one of its own, served on 127.0.0.1: a hundred pages with three links each. The
//! green threads of the pool share the set of pages that were seen, without a lock: between two
//! waits nobody else can come.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use sedge::net::{SocketAddr, TcpListener, TcpStream};
use sedge::pool::Pool;
use sedge::server::Server;

const PAGES: usize = 100;
const AT_ONCE: usize = 8;

fn main() -> io::Result<()> {
    sedge::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let site = Server::new(listener, serve).start()?;

        let pool = Pool::new(AT_ONCE);
        let seen = Rc::new(RefCell::new(HashSet::from([0])));
        let mut new = vec![0];
        while !new.is_empty() {
            println!("pages to read: {}", new.len());
            let seen = Rc::clone(&seen);
            new = pool.map(move |page| read(addr, page, &seen), new).concat();
        }
        site.shutdown(Duration::from_secs(1));
        println!("{} pages were read", seen.borrow().len());
        Ok(())
    })
}

/// What a page links to and nobody has seen yet.
fn read(addr: SocketAddr, page: usize, seen: &RefCell<HashSet<usize>>) -> Vec<usize> {
    match fetch(addr, page) {
        Ok(mut links) => {
            links.retain(|&link| seen.borrow_mut().insert(link));
            links
        }
        Err(error) => {
            eprintln!("page {page}: {error}");
            Vec::new()
        }
    }
}

/// The numbers that a page links to.
fn fetch(addr: SocketAddr, page: usize) -> io::Result<Vec<usize>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET /{page} HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let links = text.split("<a href='/").skip(1);
    Ok(links
        .filter_map(|link| link.split('\'').next()?.parse().ok())
        .collect())
}

/// Answers one request, after a while, as sites do.
fn serve(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    while reader.read_line(&mut String::new())? > 2 {}
    let number = request.split(['/', ' ']).nth(2);
    let page: usize = number.and_then(|page| page.parse().ok()).unwrap_or(0);
    sedge::sleep(Duration::from_millis(5));
    let mut stream = &stream;
    write!(stream, "HTTP/1.0 200 OK\r\n\r\n<h1>Page {page}</h1>")?;
    for link in [2 * page + 1, 2 * page + 2, page * page] {
        write!(stream, "<a href='/{0}'>{0}</a>", link % PAGES)?;
    }
    Ok(())
}
