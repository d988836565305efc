//! Just enough HTTP/1.1 for loopback: one request, one answer, connection closed. Never used beyond 127.0.0.1.

use crate::fault::{Doing as _, Fault, Outcome};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Outcome<Value> {
        serde_json::from_str(&self.body).doing(|| format!("not JSON (status {}): {}", self.status, self.body))
    }
}

/// `GET` of a path on a port of this machine.
pub fn get(port: u16, path: &str, token: Option<&str>) -> Outcome<Answer> {
    send(port, "GET", path, token, "", None)
}

/// `POST` of JSON to a path on a port of this machine.
pub fn post(port: u16, path: &str, token: Option<&str>, body: &Value) -> Outcome<Answer> {
    send(port, "POST", path, token, "application/json", Some(&body.to_string()))
}

/// `POST` of a form to a path on a port of this machine.
pub fn post_form(port: u16, path: &str, form: &str) -> Outcome<Answer> {
    send(port, "POST", path, None, "application/x-www-form-urlencoded", Some(form))
}

/// `PUT` with headers of the caller's.
pub fn put(port: u16, path: &str, headers: &[(&str, &str)], body: &str) -> Outcome<Answer> {
    send_with(port, "PUT", path, headers, body)
}

/// Any method, with headers of the caller's.
pub fn send_with(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Outcome<Answer> {
    let lines = headers.iter().fold(String::new(), |lines, (name, value)| lines + name + ": " + value + "\r\n");
    exchange(port, method, path, &format!("{lines}Content-Length: {}\r\n", body.len()), body)
}

fn send(port: u16, method: &str, path: &str, token: Option<&str>, media: &str, body: Option<&str>) -> Outcome<Answer> {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let kind = body.map(|body| format!("Content-Type: {media}\r\nContent-Length: {}\r\n", body.len()));
    exchange(port, method, path, &format!("{bearer}{}", kind.unwrap_or_default()), body.unwrap_or_default())
}

fn exchange(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Outcome<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let what = || format!("{method} http://{address}{path}");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).doing(what)?;
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).and_then(|()| stream.set_write_timeout(limit)).doing(what)?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).doing(what)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).doing(what)?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| Fault::new(format!("{}: not an HTTP answer", what())))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.lines().any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("transfer-encoding:") && line.contains("chunked")
    });
    let body = if chunked { unchunk(body)? } else { body.to_owned() };
    Some(Answer { status, body })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_chunked_answers() {
        let plain = parse("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert_eq!((plain.status, plain.body.as_str()), (201, "{}"));
        let chunked =
            parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap();
        assert_eq!(chunked.body, "abcde");
        assert!(parse("nonsense").is_none());
    }
}
