//! The wire between an engine and a cluster, which can be cut, and can fall silent.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Line;

/// Bytes that are passed on at once.
const PIECE: usize = 16 * 1024;

/// Passes connections on as long as the line is open; ends when it is dropped.
pub(super) struct Wire {
    address: SocketAddr,
    line: watch::Sender<Line>,
    _tasks: JoinSet<()>,
}

impl Wire {
    /// Leads to a server.
    pub(super) async fn to(server: String) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (line, watched) = watch::channel(Line::Open);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                let Ok((connection, _)) = listener.accept().await else {
                    continue;
                };
                connections.spawn(pass(connection, server.clone(), watched.clone()));
            }
        });
        Ok(Self {
            address,
            line,
            _tasks: tasks,
        })
    }

    /// Where it begins.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does from now on.
    pub(super) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

/// Passes one connection on until the line is cut.
async fn pass(near: TcpStream, server: String, mut line: watch::Receiver<Line>) {
    if *line.borrow() == Line::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(server).await else {
        return;
    };
    let (near_out, near_in) = near.into_split();
    let (far_out, far_in) = far.into_split();
    let (there, back) = (line.clone(), line.clone());
    tokio::select! {
        // Whichever ends first, the connection is over.
        () = copy(near_out, far_in, there) => {}
        () = copy(far_out, near_in, back) => {}
        _ = line.wait_for(|line| *line == Line::Cut) => {}
    }
}

/// Copies one direction; what comes while the line is silent waits.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
) {
    let mut piece = vec![0; PIECE];
    loop {
        let Ok(length) = from.read(&mut piece).await else {
            return;
        };
        let is_over = line.wait_for(|line| *line != Line::Silent).await.is_err();
        if length == 0 || is_over || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
