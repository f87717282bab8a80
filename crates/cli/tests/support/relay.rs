//! A relay between the server and PostgreSQL that can swallow the answer to a COMMIT: the database has committed, and
//! whoever asked will never hear of it (F-4).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// A relay on a port of its own.
pub struct Relay {
    /// Address of the database through the relay.
    pub address: String,
    state: Arc<State>,
}

struct State {
    socket: PathBuf,
    armed: AtomicBool,
    swallowed: AtomicU64,
}

impl Relay {
    /// Relays to the unix socket of an instance.
    pub async fn start(socket: PathBuf) -> Self {
        let state = Arc::new(State { socket, armed: AtomicBool::new(false), swallowed: AtomicU64::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("postgres://kiban@{}/kiban", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    // An end on either side ends both.
                    let _ = state.relay(client).await;
                });
            }
        });
        Self { address, state }
    }

    /// The answer to the next COMMIT will not arrive.
    pub fn arm(&self) {
        self.state.armed.store(true, Ordering::SeqCst);
    }

    /// How many were swallowed.
    pub fn swallowed(&self) -> u64 {
        self.state.armed.store(false, Ordering::SeqCst);
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

impl State {
    async fn relay(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut database = UnixStream::connect(&self.socket).await?;
        let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let bytes = &asked[..read?];
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    database.write_all(bytes).await?;
                    let commits = bytes.windows(7).any(|window| window == b"COMMIT\0");
                    if commits && self.armed.swap(false, Ordering::SeqCst) {
                        // Its answer says that it is durable; nobody hears it.
                        let _unheard = database.read(&mut answered).await?;
                        self.swallowed.fetch_add(1, Ordering::SeqCst);
                        return Ok(());
                    }
                }
                read = database.read(&mut answered) => {
                    let bytes = &answered[..read?];
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    client.write_all(bytes).await?;
                }
            }
        }
    }
}
