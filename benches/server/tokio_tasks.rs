//! The same in tokio's words: a task for each connection, on a runtime of one OS thread.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::session::{Protocol, Session};
use crate::{ANY_PORT, announce};

pub(crate) fn serve(protocol: Protocol) -> io::Result<()> {
    sedge_benches::tokio().block_on(async {
        // The future of `block_on` is polled in another way than tasks are.
        let accept = tokio::spawn(accept(protocol));
        accept.await.expect("it does not panic")
    })
}

async fn accept(protocol: Protocol) -> io::Result<()> {
    let listener = TcpListener::bind(ANY_PORT).await?;
    announce(listener.local_addr())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(talk(stream, protocol));
    }
}

async fn talk(mut stream: TcpStream, protocol: Protocol) -> io::Result<()> {
    let mut session = Session::new(protocol);
    loop {
        let count = stream.read(session.room()).await?;
        session.answer(count)?;
        if !session.output.is_empty() {
            stream.write_all(&session.output).await?;
            session.output.clear();
        }
    }
}
