//! Messages as lines of a stream, none longer than the limit: one that is, is passed over while it comes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What comes next in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its end.
    Text(Vec<u8>),
    /// A line that was too long: it is gone.
    TooLong,
    /// Nothing more.
    End,
}

/// The lines of a stream.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    stream: R,
    limit: usize,
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins.
    start: usize,
    /// How much of the buffer was looked through for the end of the line.
    scanned: usize,
    is_too_long: bool,
    at_end: bool,
}

const CHUNK: usize = 64 << 10;

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(stream: R, limit: usize) -> Self {
        Self {
            stream,
            limit,
            buffer: Vec::with_capacity(CHUNK),
            start: 0,
            scanned: 0,
            is_too_long: false,
            at_end: false,
        }
    }

    /// Whether the next line is here already.
    pub(crate) fn is_ready(&self) -> bool {
        self.buffer.get(self.scanned..).unwrap_or_default().contains(&b'\n')
    }

    pub(crate) async fn next(&mut self) -> io::Result<Line> {
        loop {
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let behind = self.scanned.saturating_add(end).saturating_add(1);
                let line = self.buffer.get(self.start..behind).unwrap_or_default().to_vec();
                (self.start, self.scanned) = (behind, behind);
                return Ok(self.line(line));
            }
            // Only the start of a line is left in it.
            self.buffer.drain(..std::mem::take(&mut self.start));
            if self.buffer.is_empty() && self.buffer.capacity() > CHUNK.saturating_mul(16) {
                self.buffer = Vec::with_capacity(CHUNK);
            }
            if self.buffer.len() > self.limit {
                self.is_too_long = true;
                self.buffer.clear();
            }
            self.scanned = self.buffer.len();
            if self.at_end {
                let line = std::mem::take(&mut self.buffer);
                self.scanned = 0;
                return Ok(if line.is_empty() && !self.is_too_long { Line::End } else { self.line(line) });
            }
            self.buffer.reserve(CHUNK);
            self.at_end = self.stream.read_buf(&mut self.buffer).await? == 0;
        }
    }

    fn line(&mut self, mut line: Vec<u8>) -> Line {
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        if std::mem::take(&mut self.is_too_long) || line.len() > self.limit { Line::TooLong } else { Line::Text(line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that gives a few bytes at a time.
    fn read(text: &[u8], limit: usize) -> (Vec<Line>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let chunks = tokio_chunks(text);
            let mut lines = Lines::new(chunks, limit);
            let (mut all, mut most) = (Vec::new(), 0);
            loop {
                let line = lines.next().await.unwrap();
                most = most.max(lines.buffer.capacity());
                if line == Line::End {
                    return (all, most);
                }
                all.push(line);
            }
        })
    }

    fn tokio_chunks(text: &[u8]) -> impl AsyncRead + Unpin + '_ {
        text
    }

    #[test]
    fn lines_end_as_they_may_and_none_is_too_long() {
        let text = |text: &str| Line::Text(text.into());
        assert_eq!(read(b"a\nb\r\n\nc", 10).0, [text("a"), text("b"), text(""), text("c")]);
        assert_eq!(read(b"12345\n123456\n1\n", 5).0, [text("12345"), Line::TooLong, text("1")]);
        assert_eq!(read(b"123456", 5).0, [Line::TooLong]);
        assert_eq!(read(b"", 5).0, []);
        let long = [vec![b'x'; 50 << 20], b"\nz\n".to_vec()].concat();
        let (lines, most) = read(&long, 1 << 20);
        assert_eq!(lines, [Line::TooLong, text("z")]);
        assert!(most < 3 << 20, "{most}");
    }
}
