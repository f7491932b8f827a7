//! The smallest server that Prometheus needs: `GET /metrics`, one connection after the other.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Snapshot, render};

/// How long one connection may take to ask, and to read the answer.
const WITHIN: Duration = Duration::from_secs(2);

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Most header lines of a request.
const HEADERS_MAX: usize = 64;

/// After a failure to accept, such as a want of descriptors.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Serves for as long as the process lives.
pub(super) fn start(address: SocketAddr, shared: Arc<Mutex<Arc<Snapshot>>>) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    thread::Builder::new().name("evs-metrics".to_owned()).spawn(move || run(&listener, &shared))?;
    Ok(())
}

fn run(listener: &TcpListener, shared: &Mutex<Arc<Snapshot>>) {
    loop {
        match listener.accept() {
            // Whoever asks and does not read the answer has had one.
            Ok((stream, _)) => drop(serve(stream, shared)),
            Err(_) => thread::sleep(AGAIN_AFTER),
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Mutex<Arc<Snapshot>>) -> io::Result<()> {
    stream.set_write_timeout(Some(WITHIN))?;
    let snapshot = || Arc::clone(&shared.lock().unwrap_or_else(PoisonError::into_inner));
    let (status, kind, body) = match read(&mut stream)? {
        Asked::Metrics => match render(&snapshot()) {
            Ok(text) => ("200 OK", OPEN_METRICS, text),
            Err(_) => ("500 Internal Server Error", PLAIN, "no text\n".to_owned()),
        },
        Asked::Other => ("404 Not Found", PLAIN, "only GET /metrics is served\n".to_owned()),
        Asked::Nonsense => ("400 Bad Request", PLAIN, "this is no request\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

enum Asked {
    Metrics,
    Other,
    Nonsense,
}

fn read(stream: &mut TcpStream) -> io::Result<Asked> {
    let until = Instant::now() + WITHIN;
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while head.len() <= HEAD_BYTES_MAX {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&chunk[..read]);
        if let Some(asked) = parse(&head) {
            return Ok(asked);
        }
    }
    Ok(Asked::Nonsense)
}

/// What is asked for; `None` if the request is not complete.
fn parse(head: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some(Asked::Nonsense),
    }
    let path = request.path.unwrap_or_default().split('?').next();
    let metrics = request.method == Some("GET") && path == Some("/metrics");
    Some(if metrics { Asked::Metrics } else { Asked::Other })
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
