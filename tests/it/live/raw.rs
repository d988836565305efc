//! A PostgreSQL client by hand, for what no driver would send. Plaintext, which loopback allows.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// The longest wait for one answer.
const ANSWER_SECONDS_MAX: u64 = 20;

/// A connection at the level of bytes.
#[derive(Debug)]
pub(super) struct Raw {
    stream: TcpStream,
}

/// A message of the server: its kind and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) tag: char,
    pub(super) body: Vec<u8>,
}

/// An ErrorResponse.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) severity: String,
    pub(super) code: String,
    pub(super) whole: String,
}

impl Raw {
    /// Connects and says nothing.
    pub(super) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the port is open");
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Sends bytes. A peer that closed already is found out when reading.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// Sends bytes one at a time.
    pub(super) fn trickle(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// The next message; none when the server closed. A server that says nothing fails the test.
    pub(super) fn receive(&mut self) -> Option<Message> {
        let mut head = [0_u8; 5];
        if !self.fill(&mut head) {
            return None;
        }
        let [tag, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
        assert!((4..=1 << 24).contains(&length), "the server sent a length of {length}");
        let mut body = vec![0; length - 4];
        self.fill(&mut body).then_some(Message { tag: char::from(tag), body })
    }

    /// One byte, as the answer to a request for encryption; none when the server closed.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.fill(&mut byte).then_some(byte[0])
    }

    /// Messages up to the next ReadyForQuery, or up to the end.
    pub(super) fn until_ready(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(message) = self.receive() {
            let last = message.tag == 'Z';
            all.push(message);
            if last {
                break;
            }
        }
        all
    }

    /// Whether the server closes the connection, whatever it says before.
    pub(super) fn ends(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(message) = self.receive() {
            assert!(all.len() < 64, "the server talks on: {all:?}");
            all.push(message);
        }
        all
    }

    /// Logs in; the refusal when there is one.
    pub(super) fn login(port: u16, database: &str, token: &str) -> Result<Self, Refusal> {
        let mut raw = Self::connect(port);
        raw.send(&startup(&[("user", "me"), ("database", database)]));
        raw.authenticate(token)?;
        Ok(raw)
    }

    /// Answers the question for the password, and reads until the server is ready.
    pub(super) fn authenticate(&mut self, token: &str) -> Result<(), Refusal> {
        let asked = self.receive().expect("the server asks for a password");
        if let Some(refusal) = asked.refusal() {
            return Err(refusal);
        }
        assert_eq!(
            (asked.tag, asked.body.as_slice()),
            ('R', [0, 0, 0, 3].as_slice()),
            "AuthenticationCleartextPassword"
        );
        let mut password = token.as_bytes().to_vec();
        password.push(0);
        self.send(&message(b'p', &password));
        let answer = self.until_ready();
        match answer.iter().find_map(Message::refusal) {
            Some(refusal) => Err(refusal),
            None => {
                assert!(answer.last().is_some_and(|last| last.tag == 'Z'), "neither ready nor refused: {answer:?}");
                Ok(())
            }
        }
    }

    /// Runs a simple query: the text of its first column, row by row, or the error.
    pub(super) fn query(&mut self, sql: &str) -> Result<Vec<String>, Refusal> {
        let mut text = sql.as_bytes().to_vec();
        text.push(0);
        self.send(&message(b'Q', &text));
        let answer = self.until_ready();
        match answer.iter().find_map(Message::refusal) {
            Some(refusal) => Err(refusal),
            None => {
                assert!(answer.last().is_some_and(|last| last.tag == 'Z'), "the connection ended: {answer:?}");
                Ok(answer.iter().filter(|message| message.tag == 'D').map(Message::first_column).collect())
            }
        }
    }

    /// Reads a part exactly; false when the server closed before it was whole.
    fn fill(&mut self, part: &mut [u8]) -> bool {
        match self.stream.read_exact(part) {
            Ok(()) => true,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("the server said nothing for {ANSWER_SECONDS_MAX} s and did not close")
            }
            Err(_) => false,
        }
    }
}

impl Message {
    /// The error, when this is one.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if self.tag != 'E' {
            return None;
        }
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let field = |kind: char| {
            text.split('\0').find_map(|field| field.strip_prefix(kind)).map(str::to_owned).unwrap_or_default()
        };
        Some(Refusal { severity: field('S'), code: field('C'), whole: text.clone() })
    }

    pub(super) fn first_column(&self) -> String {
        let length = u32::from_be_bytes(self.body[2..6].try_into().unwrap());
        if length == u32::MAX {
            return "∅".to_owned();
        }
        String::from_utf8_lossy(&self.body[6..6 + usize::try_from(length).unwrap()]).into_owned()
    }
}

/// A message of a client, its length right.
pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// A StartupMessage of protocol 3.0.
pub(super) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for part in [name, value] {
            body.extend_from_slice(part.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
}

/// The request for TLS.
pub(super) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
