//! A recording as an asciicast v2 file, which terminal players show: the text of a replay at its own times.
//!
//! Long pauses are shortened, as the file's head says. Recorded data stays inert inside the text.

use super::inert::write_json;
use super::render::Renderer;
use super::transcript::{Step, instant};
use lang::time::Timestamp;
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;

/// The width of the terminal.
const COLUMNS: u32 = 132;
/// Its height.
const LINES: u32 = 40;
/// The longest pause.
const IDLE_MS_MAX: u64 = 5_000;

/// Takes what a renderer writes, and writes it as events of the file.
#[derive(Debug, Default)]
struct Screen {
    text: RefCell<Vec<u8>>,
    at_ms: Cell<u64>,
}

struct Tap(Rc<Screen>);

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.text.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes every step that `next` gives as an asciicast file; `next` ends with `None`.
///
/// # Errors
/// What `next` or the file gives.
pub fn write<E: From<io::Error>>(
    out: &mut dyn Write,
    width: usize,
    next: &mut dyn FnMut() -> Result<Option<Step>, E>,
) -> Result<(), E> {
    let screen = Rc::new(Screen::default());
    let mut tap = Tap(Rc::clone(&screen));
    let mut renderer = Renderer::new(&mut tap, width);
    let mut last: Option<Timestamp> = None;
    let outcome = loop {
        let step = match next() {
            Ok(Some(step)) => step,
            Ok(None) => break Ok(()),
            // What was shown so far stays shown.
            Err(error) => break Err(error),
        };
        let Some(before) = last else {
            head(out, step.at)?;
            last = Some(step.at);
            renderer.step(&step)?;
            emit(out, &screen)?;
            continue;
        };
        screen.at_ms.set(screen.at_ms.get().saturating_add(step.at.ms_since(before).min(IDLE_MS_MAX)));
        last = Some(step.at);
        renderer.step(&step)?;
        emit(out, &screen)?;
    };
    renderer.flush()?;
    emit(out, &screen)?;
    outcome
}

fn head(out: &mut dyn Write, at: Timestamp) -> io::Result<()> {
    let head = serde_json::json!({
        "version": 2, "width": COLUMNS, "height": LINES, "timestamp": at.unix_ms() / 1_000, "idle_time_limit": IDLE_MS_MAX / 1_000,
        "title": format!("leasehold session of {}", instant(at)),
    });
    write_json(out, &head)?;
    out.write_all(b"\n")
}

fn emit(out: &mut dyn Write, screen: &Screen) -> io::Result<()> {
    let bytes = screen.text.take();
    if bytes.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&bytes).replace('\n', "\r\n");
    let (seconds, ms) = (screen.at_ms.get() / 1_000, screen.at_ms.get() % 1_000);
    write!(out, "[{seconds}.{ms:03}, \"o\", ")?;
    write_json(out, &text)?;
    out.write_all(b"]\n")
}
